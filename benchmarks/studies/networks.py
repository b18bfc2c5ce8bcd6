"""Networks and optimizers of the studies, by name."""

import re

import torch
from torch import Tensor, nn

from benchmarks.studies.state import State
from dldna import init, models
from dldna.data import Dataset
from dldna.models.residual import SmallResNet

COPIES = 49  # pixels that VGG-11's pool makes of one


def build(
    name: str, shape: tuple[int, ...], classes: int, seed: int, **options
) -> nn.Module:
    """A network with its first weights.

    ``resnet44-noskip`` and its like are small residual networks of any
    depth 6n + 2; ``vgg11`` comes :class:`Folded`; the rest are
    :data:`dldna.models.MODELS`. With ``zero=1`` the last batch norm of
    each bottleneck begins at zero (Goyal et al. 2017, arXiv:1706.02677).
    """
    zero = options.pop("zero", 0)
    small = re.fullmatch(r"resnet(\d+)(-noskip)?", name)
    if small and name not in models.MODELS:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            skip = small[2] is None
            return SmallResNet(int(small[1]), shape, classes, skip)
    if name == "vgg11":
        return Folded(whole_vgg(shape, classes, seed))
    net = models.make(
        name, seed=seed, in_shape=shape, num_classes=classes, **options
    )
    if zero:
        for module in net.modules():
            if hasattr(module, "bn3"):
                nn.init.zeros_(module.bn3.weight)
    return net


class Folded(nn.Module):
    """VGG-11 on small images without its 49 equal columns.

    The adaptive pool copies one pixel 49 times, so of the first dense
    layer's 25,088 columns always 49 see the same number and get the same
    gradient. Only their sum matters, which a step of SGD or Adam without
    decay moves 49 times as far as each. Training the sum is the same
    training, at half the cost and a quarter of the weights.

    Args:
        net: VGG-11; its layers are shared, but for the first dense one.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        dense = net.classifier[0]
        wide = dense.out_features
        thin = nn.Linear(dense.in_features // COPIES, wide)
        with torch.no_grad():
            thin.weight.copy_(dense.weight.view(wide, -1, COPIES).sum(-1))
            thin.bias.copy_(dense.bias)
        self.features = net.features
        self.classifier = nn.Sequential(thin, *net.classifier[1:])

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, 3, 32, 32)."""
        return self.classifier(self.features(x).flatten(1))

    def groups(self, rate: float) -> list[dict]:
        """Parameters for an optimizer: the sum moves as its parts do."""
        thin = self.classifier[0].weight
        rest = [p for p in self.parameters() if p is not thin]
        return [{"params": rest}, {"params": [thin], "lr": COPIES * rate}]


@torch.no_grad()
def unfolded(folded: Folded, began: nn.Module) -> nn.Module:
    """VGG-11 with all its columns, from where it began and a folded one.

    Args:
        folded: trained, or a point of its path.
        began: VGG-11 as it was before it was folded; it is overwritten.

    Returns:
        ``began``, with the weights that training it would have given.
    """
    dense, thin = began.classifier[0], folded.classifier[0]
    wide = dense.out_features
    parts = dense.weight.view(wide, -1, COPIES)
    moved = (thin.weight - parts.sum(-1)) / COPIES
    dense.weight.copy_((parts + moved[..., None]).view(wide, -1))
    dense.bias.copy_(thin.bias)
    began.features.load_state_dict(folded.features.state_dict())
    began.classifier[1:].load_state_dict(folded.classifier[1:].state_dict())
    return began


def trained(
    state: State, name: str, dataset: Dataset, folded: bool = False
) -> nn.Module:
    """A finished training's network, VGG-11 with all its columns.

    Args:
        state: the folder of its weights.
        name: the training's.
        dataset: what it was trained on.
        folded: leave VGG-11 without its equal columns.

    Raises:
        LookupError: the training is not finished, or not here.
    """
    found = state.result(name)
    if found is None:
        raise LookupError(f"{name} is not trained yet in {state.folder}")
    if not state.weights(name).exists():
        raise LookupError(
            f"{name} was trained elsewhere, and its weights are not in "
            f"{state.folder}: move results/{name}.json away to train it here"
        )
    job = found["job"]
    shape, classes = dataset.shape, len(dataset.classes)
    net = build(
        job["model"], shape, classes, job["seed"], **dict(job["options"])
    )
    net.load_state_dict(torch.load(state.weights(name), weights_only=True))
    if isinstance(net, Folded) and not folded:
        return unfolded(net, whole_vgg(shape, classes, job["seed"]))
    return net


def whole_vgg(shape: tuple[int, ...], classes: int, seed: int) -> nn.Module:
    """VGG-11 as it is before it is folded."""
    net = models.make("vgg11", seed=seed, in_shape=shape, num_classes=classes)
    init.initialize(net, "kaiming_normal", seed=seed)
    return net


def optimizer(
    name: str, net: nn.Module, rate: float, decay: float
) -> torch.optim.Optimizer:
    """SGD with Nesterov's momentum .9, or AdamW.

    Raises:
        ValueError: decay on a folded network, whose columns it would
            move apart from their sum.
    """
    folded = isinstance(net, Folded)
    if folded and decay:
        raise ValueError(
            "a folded VGG-11 is the whole one only without decay: set 0"
        )
    groups = net.groups(rate) if folded else [{"params": net.parameters()}]
    kind = {"lr": rate, "weight_decay": decay, "fused": True}
    if name == "sgd":
        return torch.optim.SGD(groups, momentum=0.9, nesterov=True, **kind)
    if name == "adam":
        return torch.optim.AdamW(groups, **kind)
    raise ValueError(f"optimizer must be 'sgd' or 'adam', not {name!r}")
