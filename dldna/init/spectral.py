r"""The spectral condition, and spectral normalization as what it is.

The condition: features of every layer keep their size, and learn, at any
width exactly if

.. math:: \|W\|_2 = \Theta(\sqrt{n_{out}/n_{in}}) = \|\Delta W\|_2 .

It is muP said in one line. Spectral normalization is another thing: not a
start but a reparametrisation, :math:`W / \sigma_{max}(W)` in every forward
pass of training.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from dldna import checks
from dldna.init._draw import check_weight, normal_
from dldna.init.fans import fans
from dldna.init.parametrized import TABLES
from dldna.init.weight_matrices import check_model, first_names, weight_blocks
from dldna.torch_internals import Convolution, TransposedConvolution

Generator = torch.Generator | None


def spectral(
    tensor: Tensor, *, gain: float = 1.0, generator: Generator = None
) -> Tensor:
    r"""Gaussian start that meets the spectral condition.

    .. math:: \sigma = \frac{g}{\sqrt{n_{in}}}
        \min\left(1, \sqrt{n_{out}/n_{in}}\right)

    A Gaussian's spectral norm is about
    :math:`\sigma(\sqrt{n_{in}}+\sqrt{n_{out}})`, so this one's lies
    between 1 and 2 times :math:`g\sqrt{n_{out}/n_{in}}`.

    Args:
        tensor: weight (c_out, c_in, \*kernel), filled in place.
        gain: the factor g.
        generator: source of the numbers.

    Returns:
        The same tensor.

    References:
        Yang, Simon, Bernstein, 2023, arXiv 2310.17813.
    """
    checks.positive("gain", gain)
    n_in, n_out = fans(check_weight(tensor))
    std = gain / n_in**0.5 * min(1.0, (n_out / n_in) ** 0.5)
    return normal_(tensor, std, generator)


def spectral_param_groups(
    model: nn.Module, lr: float, *, optimizer: str = "sgd"
) -> list[dict[str, Any]]:
    r"""One parameter group per matrix, rates by the spectral condition.

    SGD's rate is :math:`\eta\, n_{out}/n_{in}`, Adam's
    :math:`\eta / n_{in}`. The groups of a convolution count together
    in :math:`n_{out}`. A bias counts as a matrix with :math:`n_{in} = 1`.
    Embeddings (whoever shares their table), computed weights and
    parameters of unknown layers keep ``lr``.

    Args:
        model: the model to train.
        lr: the width-free rate :math:`\eta`.
        optimizer: "sgd" or "adam".

    Returns:
        Groups for any ``torch.optim`` optimizer, each with "params",
        "lr" and "names".

    Example:
        >>> groups = spectral_param_groups(nn.Linear(100, 10), 0.5)
        >>> [(g["names"], g["lr"]) for g in groups]
        [(['weight'], 0.05), (['bias'], 5.0)]

    References:
        Yang, Simon, Bernstein, 2023, arXiv 2310.17813.
    """
    checks.positive("lr", lr)
    checks.choice("optimizer", optimizer, ["adam", "sgd"])
    check_model(model)
    first = first_names(model)
    known = {}
    for block in weight_blocks(model):
        n_in, n_out = block.fans
        known[first[block.param]] = n_in, n_out * len(block.views)
    for prefix, layer in model.named_modules():
        if isinstance(layer, TABLES):
            for own in layer._parameters:
                known.pop(first.get(f"{prefix}.{own}".lstrip(".")), None)
    groups = []
    for name, p in model.named_parameters():
        n_in, n_out = known.get(name, (1, p.numel() if p.ndim == 1 else 1))
        rate = lr * (n_out / n_in if optimizer == "sgd" else 1 / n_in)
        groups.append({"params": [p], "lr": rate, "names": [name]})
    return groups


def spectral_normalize(
    model: nn.Module,
    names: Sequence[str] | None = None,
    *,
    n_power_iterations: int = 1,
    seed: int = 0,
) -> list[str]:
    r"""Divide weights by their largest singular value while training.

    Registers torch's parametrisation on the layers: from now on
    ``layer.weight`` is :math:`W / \sigma`, with :math:`\sigma` followed by
    power iteration, one step for each forward pass in training mode.
    Undo it with ``torch.nn.utils.parametrize.remove_parametrizations``.

    Args:
        model: changed in place.
        names: of the layers; None takes all linear and convolutional
            ones.
        n_power_iterations: steps per forward pass.
        seed: of the start of the power iteration.

    Returns:
        The names of the layers.

    Raises:
        ValueError: an unknown name, or a layer that already has it.

    Example:
        >>> net = nn.Sequential(nn.Linear(6, 4), nn.ReLU())
        >>> spectral_normalize(net, n_power_iterations=50)
        ['0']
        >>> norm = torch.linalg.matrix_norm(net[0].weight.detach(), 2)
        >>> bool((norm - 1).abs() < 1e-3)
        True

    References:
        Miyato, Kataoka, Koyama, Yoshida, ICLR 2018, arXiv 1802.05957.
    """
    checks.count("n_power_iterations", n_power_iterations)
    layers = dict(model.named_modules())
    if names is None:
        inner = {
            id(m.out_proj)
            for m in layers.values()
            if isinstance(m, nn.MultiheadAttention)
        }
        names = [
            k
            for k, m in layers.items()
            if isinstance(m, (nn.Linear, Convolution)) and id(m) not in inner
        ]
    for name in names:
        layer = layers.get(name)
        if not isinstance(getattr(layer, "weight", None), Tensor):
            raise ValueError(
                f"no layer with a weight is named {name!r}; there are "
                + ", ".join(k for k in layers if k)
            )
        if parametrize.is_parametrized(layer, "weight"):
            raise ValueError(f"the weight of {name!r} is parametrized already")
    with torch.random.fork_rng(devices=[]):
        torch.random.default_generator.manual_seed(seed)
        for name in names:
            layer = layers[name]
            parametrizations.spectral_norm(
                layer,
                n_power_iterations=n_power_iterations,
                dim=1 if isinstance(layer, TransposedConvolution) else 0,
            )
    return list(names)
