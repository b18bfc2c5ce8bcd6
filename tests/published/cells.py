"""The fourteen cells of the published chapter, call by call.

Written anew after what the chapter calls: the same functions in the same
order, the same arguments by position and by keyword, the same forms of
containers, results used as the next cell uses them, the same numbers of
epochs. The data that cannot be had everywhere stand in SETUP, once.
"""

CHECKPOINTS = (
    "make-checkpoints --data digits --activations ReLU --batch-size 500"
)
SETUP = """
import matplotlib
matplotlib.use("Agg")
import torch
from dldna import data
from dldna.models import MODELS, PatchTransformer
from dldna.published import loaders as home

clothes = data.load("digits").take(140, n_test=256)
torch.manual_seed(1)
pictures = torch.rand(12, 3, 8, 8) * 2 - 1
names = torch.arange(12) % 3
objects = data.Dataset("CIFAR100", pictures, names, pictures[:6], names[:6],
                       tuple("abc"))
home.load = {"FashionMNIST": clothes, "CIFAR100": objects}.get
MODELS["arena-transformer"] = lambda in_shape, num_classes: PatchTransformer(
    in_shape, num_classes, patch=8, width=16)
"""

SMALL = """
_, test_dataset = get_dataset(dataset="FashionMNIST")
small_dataset = Subset(test_dataset, torch.arange(0, 256))
data_loader = DataLoader(small_dataset, batch_size=256, shuffle=True)
loss_func = nn.CrossEntropyLoss()
"""
HEAD = """
import numpy as np
import torch
import torch.nn as nn
from torch.utils.data import DataLoader, Subset
from dldna.chapter_04.utils.data import get_dataset
from dldna.chapter_04.utils.metrics import load_model
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
"""
TRAINED = """
trained_model, _ = load_model(model_file="SimpleNetwork-ReLU.pth",
                              path="tmp/models/")
trained_model = trained_model.to(device)
"""
EXPERIMENT = """
from dldna.chapter_05.experiments.{module} import {function}
from dldna.chapter_05.visualization.optimization import plot_training_results
from dldna.chapter_04.utils.data import get_data_loaders
from dldna.chapter_05.optimizers.basic import SGD, Adam
from dldna.chapter_05.optimizers.advanced import Lion
import torch

device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
train_loader, test_loader = get_data_loaders({data})
optimizers = {{"SGD": SGD, "Adam": Adam, "Lion": Lion}}
optimizer_configs = {{
    "SGD": {{"lr": 0.01, "momentum": 0.9}},
    "Adam": {{"lr": 0.001}},
    "Lion": {{"lr": 1e-4}},
}}
results = {{}}
for name, config in optimizer_configs.items():
    print(f"\\nStarting experiment with {{name}} optimizer...")
    results[name] = {function}(
        optimizer_class=optimizers[name], {kind}train_loader=train_loader,
        test_loader=test_loader, config=config, device=device,
        epochs={epochs})
plot_training_results(
    results, metrics=["loss", "accuracy", "gradient_norm", "memory"],
    mode="train", title="Optimizer Comparison")
"""


def experiment(module, kind="", data="", epochs=40):
    function = f"run_{module}_experiment"
    return EXPERIMENT.format(
        module=module, function=function, kind=kind, data=data, epochs=epochs
    )


CELLS = {
    "1 initialization methods": """
import torch
import torch.nn as nn
import numpy as np
np.random.seed(7)
torch.manual_seed(7)
from dldna.chapter_05.initialization.base import (
    init_methods, init_weights_lecun, init_weights_scaled_orthogonal,
    init_weights_lmomentum)
init_methods = {
    "lecun": init_weights_lecun,
    "xavier_normal": nn.init.xavier_normal_,
    "kaiming_normal": nn.init.kaiming_normal_,
    "orthogonal": nn.init.orthogonal_,
    "scaled_orthogonal": init_weights_scaled_orthogonal,
    "l-momentum": init_weights_lmomentum,
}
""",
    "2 analysis": """
from dldna.chapter_04.models.base import SimpleNetwork
from dldna.chapter_04.utils.data import get_data_loaders, get_device
from dldna.chapter_05.initialization.base import init_methods
from dldna.chapter_05.initialization.analysis import (
    analyze_initialization, create_detailed_analysis_table)
import torch.nn as nn
device = get_device()
train_dataloader, test_dataloader = get_data_loaders()
results = analyze_initialization(
    model_class=lambda: SimpleNetwork(act_func=nn.PReLU()),
    init_methods=init_methods, train_loader=train_dataloader,
    test_loader=test_dataloader, epochs=3, device=device)
create_detailed_analysis_table(results)
analysis = results
""",
    "3 own optimizer": """
from typing import Iterable, List, Optional
from dldna.chapter_05.optimizers.basic import BaseOptimizer

class SGD(BaseOptimizer):
    def __init__(self, params: Iterable[nn.Parameter], lr: float,
                 maximize: bool = False, momentum: float = 0.0):
        super().__init__(params, lr)
        self.maximize = maximize
        self.momentum = momentum
        self.buffers: List[Optional[torch.Tensor]] = [None] * len(self.params)

    @torch.no_grad()
    def step(self) -> None:
        for i, p in enumerate(self.params):
            g = -p.grad if self.maximize else p.grad
            if self.momentum != 0.0:
                old = self.buffers[i]
                g = g.clone() if old is None else old.mul_(
                    self.momentum).add_(g, alpha=1 - self.momentum)
                self.buffers[i] = g
            p.add_(g, alpha=-self.lr)

OwnSGD = SGD
""",
    "4 one epoch": """
import torch
import torch.nn as nn
from dldna.chapter_04.models.base import SimpleNetwork
from dldna.chapter_04.utils.data import get_data_loaders, get_device
from dldna.chapter_05.optimizers.basic import Adam, SGD
from dldna.chapter_05.optimizers.advanced import Lion, Sophia
from dldna.chapter_04.experiments.model_training import train_model
device = get_device()
model = SimpleNetwork(act_func=nn.ReLU(), hidden_shape=[512, 64]).to(device)
optimizer = SGD(params=model.parameters(), lr=1e-3, momentum=0.9)
train_dataloader, test_dataloader = get_data_loaders()
one = train_model(
    model, train_dataloader, test_dataloader, device, optimizer=optimizer,
    epochs=1, batch_size=256, save_dir="./tmp/opts/ReLU", retrain=True)
""",
    "5 basic experiment": experiment("basic", epochs=20)
    + "basic = results\n",
    "6 CNN": experiment("advanced", "model_type='cnn', ",
                        'dataset="CIFAR100"') + "cnn = results\n",
    "7 transformer": experiment("advanced", "model_type='transformer', ",
                                'dataset="CIFAR100"')
    + "transformer = results\n",
    "8 line": HEAD + SMALL + """
from dldna.chapter_05.visualization.loss_surface import (
    linear_interpolation, visualize_linear_interpolation)
model1, _ = load_model(model_file="SimpleNetwork-ReLU-epoch1.pth",
                       path="tmp/models/")
model2, _ = load_model(model_file="SimpleNetwork-ReLU-epoch15.pth",
                       path="tmp/models/")
model1 = model1.to(device)
model2 = model2.to(device)
alphas, losses, accuracies = linear_interpolation(
    model1, model2, data_loader, loss_func, device)
_ = visualize_linear_interpolation(
    alphas, losses, accuracies, "ReLU(1)-ReLU(15)", size=(6, 4))
""",
    "9 weight space": """
import torch
from dldna.chapter_05.visualization.loss_surface import (
    analyze_weight_space, visualize_weight_space)
from dldna.chapter_04.utils.metrics import load_model, load_models_by_pattern
models, labels = load_models_by_pattern(
    activation_types=["ReLU"],
    epochs=[1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15])
embedded_pca = analyze_weight_space(models, labels, method="pca")
visualize_weight_space(embedded_pca, labels, method="PCA")
print(f"embedded_pca = {embedded_pca}")
embedded_tsne = analyze_weight_space(
    models, labels, method="tsne", perplexity=1)
visualize_weight_space(embedded_tsne, labels, method="t-SNE")
print(f"embedded_tsne = {embedded_tsne}")
""",
    "10 contours": HEAD + SMALL + """
from dldna.chapter_05.visualization.loss_surface import (
    hessian_eigenvectors, xy_perturb_loss, visualize_loss_surface,
    linear_interpolation)
from dldna.chapter_05.optimizers.basic import SGD, Adam
""" + TRAINED + """
data = []
top_n = 4
top_eigenvalues, top_eignevectors = hessian_eigenvectors(
    model=trained_model, loss_func=loss_func, data_loader=data_loader,
    top_n=top_n, is_cuda=True)
lambda1 = np.linspace(-0.2, 0.2, 40).astype(np.float32)
lambda2 = np.linspace(-0.2, 0.2, 40).astype(np.float32)
for i in range(top_n // 2):
    x, y, z = xy_perturb_loss(
        model=trained_model,
        top_eigenvectors=top_eignevectors[i*2:(i+1)*2],
        data_loader=data_loader, loss_func=loss_func, lambda1=lambda1,
        lambda2=lambda2, device=device)
    data.append((x, y, z))
surfaces = data
in_space = visualize_loss_surface(
    data, "ReLU", color="C0", alpha=0.6, plot_3d=True)
from_above = visualize_loss_surface(
    data, "ReLU", color="C0", alpha=0.6, plot_3d=False)
""",
    "11 scales": HEAD + SMALL + """
from dldna.chapter_05.visualization.loss_surface import (
    analyze_loss_surface_multiscale)
model, _ = load_model(model_file="SimpleNetwork-ReLU.pth",
                      path="tmp/models/")
model = model.to(device)
scales = analyze_loss_surface_multiscale(
    model, data_loader, loss_func, device)
""",
    "12 Gaussian fit": HEAD + SMALL + """
from dldna.chapter_05.visualization.loss_surface import (
    hessian_eigenvectors, xy_perturb_loss, visualize_loss_surface,
    linear_interpolation)
from dldna.chapter_05.optimizers.basic import SGD, Adam
from dldna.chapter_05.visualization.gaussian_loss_surface import (
    get_opt_params, visualize_gaussian_fit, train_loss_surface,
    visualize_optimization_path)
""" + TRAINED + """
top_n = 2
top_eigenvalues, top_eignevectors = hessian_eigenvectors(
    model=trained_model, loss_func=loss_func, data_loader=data_loader,
    top_n=top_n, is_cuda=True)
d_min, d_max, d_num = -1, 1, 30
lambda1 = np.linspace(d_min, d_max, d_num).astype(np.float32)
lambda2 = np.linspace(d_min, d_max, d_num).astype(np.float32)
x, y, z = xy_perturb_loss(
    model=trained_model, top_eigenvectors=top_eignevectors,
    data_loader=data_loader, loss_func=loss_func, lambda1=lambda1,
    lambda2=lambda2, device=device)
popt, _, offset = get_opt_params(x, y, z)
visualize_gaussian_fit(x, y, z, popt, offset, d_min, d_max, d_num)
visualize_gaussian_fit(x, y, z, popt, offset, d_min, d_max, d_num,
                       elev=30, azim=45)
""",
    "13 paths": """
popt, _, offset = get_opt_params(x, y, z)
gaussian_params = (*popt, offset)
points_sgd = train_loss_surface(
    lambda params: SGD(params, lr=0.1), [d_min, d_max], 100, gaussian_params)
points_sgd_m = train_loss_surface(
    lambda params: SGD(params, lr=0.05, momentum=0.8),
    [d_min, d_max], 100, gaussian_params)
points_adam = train_loss_surface(
    lambda params: Adam(params, lr=0.1), [d_min, d_max], 100,
    gaussian_params)
path_axes = visualize_optimization_path(
    x, y, z, popt, offset, [points_sgd, points_sgd_m, points_adam],
    act_name="ReLU")
""",
    "14 dynamics": HEAD + """
import torch.optim as optim
from dldna.chapter_05.visualization.train_dynamics import (
    visualize_training_dynamics)
train_dataset, test_dataset = get_dataset(dataset="FashionMNIST")
train_loader = DataLoader(train_dataset, batch_size=256, shuffle=True)
loss_func = nn.CrossEntropyLoss()
""" + TRAINED + """
optimizer = optim.Adam(trained_model.parameters(), lr=0.001)
metrics = visualize_training_dynamics(
    trained_model, optimizer, train_loader, loss_func, num_epochs=20,
    device=device)
print("Final Loss:", metrics["loss"][-1])
print("Final Grad Norm:", metrics["grad_norm"][-1])
print("Final Param Change:", metrics["param_change"][-1])
print("Final Weight Norm:", metrics["weight_norm"][-1])
print("Final Loss Improvement:", metrics["loss_improvement"][-1])
""",
}  # fmt: skip
