"""Cells shaped like the published ones run in one process, in order, twice.

Same calls, keywords and order; fewer epochs, and the embedded digits in
place of the downloads. Nothing of the package's own new names is used.
"""

import matplotlib.pyplot as plt
import pytest
import torch

from dldna import data
from dldna.chapter_04.utils.data import get_data_loaders
from dldna.models import MODELS, PatchTransformer

CELLS = {
    "initialization methods": """
import torch
import torch.nn as nn
import numpy as np
from dldna.chapter_05.initialization.base import (
    init_methods, init_weights_lecun, init_weights_scaled_orthogonal,
    init_weights_lmomentum)

torch.manual_seed(7)
layer = nn.Linear(20, 10)
for name, method in init_methods.items():
    method(layer.weight)
    assert torch.isfinite(layer.weight).all(), name
""",
    "initialization analysis": """
from dldna.chapter_04.models.base import SimpleNetwork
from dldna.chapter_04.utils.data import get_data_loaders, get_device
from dldna.chapter_05.initialization.analysis import (
    analyze_initialization, create_detailed_analysis_table)

device = get_device()
train_dataloader, test_dataloader = get_data_loaders(
    dataset="FashionMNIST", batch_size=256)
results = analyze_initialization(
    model_class=lambda: SimpleNetwork(act_func=nn.PReLU()),
    init_methods=init_methods,
    train_loader=train_dataloader,
    test_loader=test_dataloader,
    epochs=1,
    device=device,
)
create_detailed_analysis_table(results)
""",
    "own optimizer": """
from dldna.chapter_05.optimizers.basic import BaseOptimizer

class MySGD(BaseOptimizer):
    def __init__(self, params, lr, maximize=False, momentum=0.0):
        super().__init__(params, lr)
        self.maximize = maximize
        self.momentum = momentum
        self.momentum_buffer_list = [None] * len(self.params)

    def step(self):
        for i, p in enumerate(self.params):
            grad = p.grad if not self.maximize else -p.grad
            if self.momentum != 0.0:
                buf = self.momentum_buffer_list[i]
                buf = grad.clone() if buf is None else (
                    self.momentum * buf + grad)
                self.momentum_buffer_list[i] = grad = buf
            with torch.no_grad():
                p.data = p.data - self.lr * grad
""",
    "train with an own optimizer": """
from dldna.chapter_04.experiments.model_training import train_model

torch.manual_seed(7)
model = SimpleNetwork(act_func=nn.ReLU()).to(device)
optimizer = MySGD(params=model.parameters(), lr=1e-2, momentum=0.9)
history = train_model(
    model, train_dataloader, test_dataloader, device,
    optimizer=optimizer, epochs=1, batch_size=256,
    save_dir="./tmp/opts/mine", retrain=False)
""",
    "train with the package's": """
from dldna.chapter_05.optimizers.basic import Adam, SGD, AdaGrad, AdamW

model = SimpleNetwork(act_func=nn.ReLU()).to(device)
optimizer = Adam(params=model.parameters(), lr=1e-3, beta1=0.9, beta2=0.999,
                 eps=1e-8)
history2 = train_model(
    model, train_dataloader, test_dataloader, device, optimizer=optimizer,
    epochs=1, batch_size=256, save_dir="./tmp/opts/adam", retrain=False)
""",
    "basic experiments": """
from dldna.chapter_05.experiments.basic import run_basic_experiment
from dldna.chapter_05.optimizers.advanced import Lion, Sophia, AdaFactor
from dldna.chapter_05.visualization.optimization import plot_training_results

configs = {
    SGD: {"lr": 0.01, "momentum": 0.9}, Adam: {"lr": 1e-3},
    Lion: {"lr": 1e-4, "weight_decay": 1e-5},
}
results = {
    cls.__name__: run_basic_experiment(
        cls, train_dataloader, test_dataloader, config, device, epochs=2)
    for cls, config in configs.items()
}
plot_training_results(
    results, metrics=["loss", "accuracy", "gradient_norm", "memory"],
    mode="train", title="Optimizer comparison on FashionMNIST")
""",
    "advanced experiments": """
from dldna.chapter_05.experiments.advanced import run_advanced_experiment

cifar_train, cifar_test = get_data_loaders(dataset="CIFAR100", batch_size=8)
cnn = {
    cls.__name__: run_advanced_experiment(
        cls, "cnn", cifar_train, cifar_test, config, device, epochs=1)
    for cls, config in (
        (SGD, {"lr": 0.01, "momentum": 0.9}), (Adam, {"lr": 1e-3}),
        (Lion, {"lr": 1e-4}), (Sophia, {"lr": 1e-3, "rho": 0.04, "k": 10}),
        (AdaFactor, {}))
}
plot_training_results(cnn, mode="all", title="CNN on CIFAR100")
transformer = run_advanced_experiment(
    Lion, "transformer", cifar_train, cifar_test, {"lr": 1e-4}, device,
    epochs=1)
""",
    "checkpoints and a line": """
from dldna.chapter_04.utils.metrics import load_model, load_models_by_pattern
from dldna.chapter_05.visualization.loss_surface import (
    linear_interpolation, visualize_linear_interpolation)

loss_func = nn.CrossEntropyLoss()
trainset_loader, testset_loader = get_data_loaders(batch_size=64)
relu, config = load_model(
    model_file="SimpleNetwork-ReLU.pth", path="tmp/models/")
tanh, config = load_model(
    model_file="SimpleNetwork-Tanh.pth", path="tmp/models/")
alphas, losses, accuracies = linear_interpolation(
    relu, tanh, testset_loader, loss_func, device, num_points=21)
visualize_linear_interpolation(
    alphas, losses, accuracies, "ReLU-Tanh", size=(6, 4))
""",
    "weight space": """
from dldna.chapter_05.visualization.loss_surface import (
    analyze_weight_space, visualize_weight_space)

models, labels = load_models_by_pattern(
    activation_types=["ReLU"], epochs=[1, 2, 3])
embedded = analyze_weight_space(models, labels, method="pca")
visualize_weight_space(embedded, labels, method="PCA")
embedded = analyze_weight_space(models, labels, method="tsne", perplexity=1)
visualize_weight_space(embedded, labels, method="t-SNE", size=(6, 4))
""",
    "loss surface": """
from dldna.chapter_05.visualization.loss_surface import (
    xy_perturb_loss, visualize_loss_surface, hessian_eigenvectors)

batch = [next(iter(testset_loader))]
top_n, d_min, d_max, d_num = 2, -0.2, 0.2, 8
lambda1 = np.linspace(d_min, d_max, d_num).astype(np.float32)
lambda2 = np.linspace(d_min, d_max, d_num).astype(np.float32)
top_eigenvalues, top_eigenvectors = hessian_eigenvectors(
    model=relu, loss_func=loss_func, data_loader=batch, top_n=top_n,
    is_cuda=True)
x, y, z = xy_perturb_loss(
    model=relu, top_eigenvectors=top_eigenvectors, data_loader=batch,
    loss_func=loss_func, lambda1=lambda1, lambda2=lambda2, device=device)
axes = visualize_loss_surface(
    data=(x, y, z), act_name="ReLU", color="C0", size=6, alpha=0.7,
    levels=20, plot_3d=True)
""",
    "scales": """
from dldna.chapter_05.visualization.loss_surface import (
    analyze_loss_surface_multiscale)

coeffs = analyze_loss_surface_multiscale(relu, batch, loss_func, device)
""",
    "Gaussian fit": """
from dldna.chapter_05.visualization.gaussian_loss_surface import (
    get_opt_params, visualize_gaussian_fit, train_loss_surface,
    visualize_optimization_path)

popt, pcov, offset = get_opt_params(x, y, z)
visualize_gaussian_fit(x, y, z, popt, offset)
""",
    "paths": """
init_weights = [d_min, d_max]
gaussian_params = (*popt, offset)
points_sgd = train_loss_surface(
    lambda params: SGD(params, lr=0.1), init_weights, 100, gaussian_params)
points_sgd_m = train_loss_surface(
    lambda params: SGD(params, lr=0.05, momentum=0.8), init_weights, 100,
    gaussian_params)
points_adam = train_loss_surface(
    lambda params: Adam(params, lr=0.1), init_weights, 100, gaussian_params)
visualize_optimization_path(
    x, y, z, popt, offset, [points_sgd, points_sgd_m, points_adam],
    act_name="ReLU", d_min=d_min, d_max=d_max, d_num=30)
""",
    "dynamics": """
from dldna.chapter_05.visualization.train_dynamics import (
    visualize_training_dynamics)

model = SimpleNetwork(act_func=nn.ReLU()).to(device)
optimizer = SGD(model.parameters(), lr=0.01)
metrics = visualize_training_dynamics(
    model, optimizer, train_dataloader, loss_func, num_epochs=2,
    device=device)
""",
}
FALLS_BACK = "ignore:there is no CUDA device:UserWarning"
TWO_ACTIVATIONS = "ignore:the networks differ in more:UserWarning"


@pytest.fixture
def readers_machine(tmp_path, monkeypatch):
    """An empty folder, small data, a small transformer."""
    monkeypatch.chdir(tmp_path)
    small = data.load("digits").take(300, n_test=128)
    x = torch.rand(24, 3, 32, 32) * 2 - 1
    y = torch.arange(24) % 3
    pictures = data.Dataset("CIFAR100", x, y, x[:8], y[:8], tuple("abc"))
    sets = {"FashionMNIST": small, "CIFAR100": pictures}
    monkeypatch.setattr("dldna.published.data.load", sets.get)
    monkeypatch.setitem(
        MODELS,
        "arena-transformer",
        lambda shape, classes: PatchTransformer(
            shape, classes, patch=8, width=16
        ),
    )
    yield tmp_path
    plt.close("all")


def run_all() -> dict:
    names: dict = {}
    for title, source in CELLS.items():
        exec(compile(source, f"<{title}>", "exec"), names)
        plt.close("all")
    return names


def make_checkpoints():
    from dldna.cli import main

    words = "make-checkpoints --data digits --epochs 3 --activations ReLU Tanh"
    assert main(words.split()) == 0


@pytest.mark.filterwarnings(FALLS_BACK, TWO_ACTIVATIONS)
def test_all_cells_run_and_a_second_time_nothing_is_trained_again(
    readers_machine, capsys, monkeypatch
):
    given = {"nn": torch.nn, "get_data_loaders": get_data_loaders}
    with pytest.raises(FileNotFoundError, match="dldna make-checkpoints"):
        exec(CELLS["checkpoints and a line"], given)
    make_checkpoints()
    capsys.readouterr()
    first = run_all()
    said = capsys.readouterr().out
    assert "Initialization Method | Error Rate (%)" in said
    assert said.count("Starting training for SimpleNetwork-ReLU.") == 2
    assert said.count("Execution completed for SimpleNetwork-ReLU, ") == 2
    assert first["embedded"].shape == (3, 2)
    assert first["z"].shape == (64,)
    assert len(first["coeffs"]) == 3
    assert first["points_adam"].shape == (100, 3)
    assert len(first["axes"]) == 2
    assert len(list(readers_machine.glob("*_cnn_*.csv"))) == 5

    # Stop the optimizers that trained, and run everything once more.
    for cell in ("own optimizer", "train with the package's"):
        stop = (
            "\nimport pytest\n"
            "_step = {0}.step\n"
            "{0}.step = lambda *a, **k: pytest.fail('it trains again')\n"
        ).format("MySGD" if cell == "own optimizer" else "Adam")
        source = CELLS[cell]
        if cell != "own optimizer":
            source = source.replace("\nmodel =", stop + "\nmodel =")
            source += "\nAdam.step = _step\n"
        else:
            source += stop
        monkeypatch.setitem(CELLS, cell, source)
    second = run_all()
    for name in ("history", "history2", "labels", "top_eigenvalues"):
        assert first[name] == second[name], name
    for name in ("x", "y", "z", "losses", "popt", "points_sgd"):
        assert (first[name] == second[name]).all(), name
    for a, b in zip(first["coeffs"][1:], second["coeffs"][1:], strict=True):
        assert (a[0] == b[0]).all()
