r"""Fixup: deep residual networks without normalization.

A stack of L residual branches adds up L updates. Fixup starts each branch
at zero and shrinks the layers inside it, so that one step of SGD moves
the network's function by the learning rate, whatever the depth:

- the classifier and the last layer of every branch are 0;
- the other layers of a branch with m layers are Kaiming times
  :math:`L^{-1/(2m-2)}`;
- each branch has one scalar multiplier (1), and a scalar bias (0) stands
  before each layer and each activation (:class:`FixupBlock`).
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from dldna.guard import untouched
from dldna.init._draw import make_generator
from dldna.init.apply import NORMS, initialize
from dldna.init.init_report import InitReport, describe
from dldna.init.parametrized import scaled_blocks, write_scaled
from dldna.init.weight_matrices import check_model, matrices
from dldna.torch_internals import Normalisation

Branches = Sequence[str | Sequence[str]]


class FixupBlock(nn.Module):
    r"""A residual block with Fixup's scalars.

    .. math:: y = s(x) + a\, W_m(\phi(\dots W_1(x + b_1) + b'_1 \dots)
        + b_m) + b_{out}

    Args:
        layers: the branch's layers, from first to last; without bias, the
            scalars take its place.
        activation: between the layers.
        shortcut: s; the identity unless given.

    Example:
        >>> block = FixupBlock([nn.Linear(4, 8), nn.Linear(8, 4)])
        >>> report = fixup(nn.Sequential(block, nn.Linear(4, 2)))
        >>> x = torch.ones(1, 4)
        >>> torch.equal(block(x), x)
        True

    References:
        Zhang, Dauphin, Ma, ICLR 2019, arXiv 1901.09321.
    """

    def __init__(
        self,
        layers: Sequence[nn.Module],
        activation: Callable[[Tensor], Tensor] = torch.relu,
        shortcut: nn.Module | None = None,
    ):
        super().__init__()
        if not layers:
            raise ValueError("a residual branch needs at least one layer")
        self.layers = nn.ModuleList(layers)
        self.activation = activation
        self.shortcut = shortcut or nn.Identity()
        m = len(layers)
        home = next((p.device for p in self.layers.parameters()), None)
        self.scale = nn.Parameter(torch.ones(1, device=home))
        self.bias_layer = nn.Parameter(torch.zeros(m, device=home))
        self.bias_activation = nn.Parameter(torch.zeros(m - 1, device=home))
        self.bias_out = nn.Parameter(torch.zeros(1, device=home))

    def forward(self, x: Tensor) -> Tensor:
        """Shortcut plus branch."""
        h = x
        for i, layer in enumerate(self.layers):
            h = layer(h + self.bias_layer[i])
            if i + 1 < len(self.layers):
                h = self.activation(h + self.bias_activation[i])
        return self.shortcut(x) + self.scale * h + self.bias_out


def fixup(
    model: nn.Module,
    branches: Branches | None = None,
    *,
    classifier: str | None = None,
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> InitReport:
    """Initialize a residual network by Fixup's rules, in place.

    Args:
        model: a residual network, made without normalization.
        branches: what makes a branch. Each item is the name of a module
            that holds one branch's layers in order, or the list of the
            layers' names. None finds every :class:`FixupBlock`.
        classifier: name of the last layer; None takes the last weight
            layer, if it comes after all branches.
        seed: of the Kaiming start.
        generator: instead of the seed.

    Returns:
        A report; its notes name normalization layers, if any are there.

    Raises:
        ValueError: no branches, an unknown name, a branch without
            layers, a weight that is computed from others (weight norm,
            pruning, another parametrization) where Fixup must scale it,
            or one that is shared with a layer that wants another scale.

    Example:
        >>> body = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
        >>> net = nn.ModuleDict({"branch": body, "head": nn.Linear(4, 2)})
        >>> report = fixup(net, ["branch"])
        >>> [f.scheme for f in report.filled if f.fan_in]
        ['kaiming_normal * 1', 'zeros', 'zeros']

    References:
        Zhang, Dauphin, Ma, ICLR 2019, arXiv 1901.09321.
    """
    source = make_generator(seed, generator)
    parts = _branches(check_model(model), branches)
    inside = {name for part in parts for name in part}
    if classifier is None:
        classifier = _classifier(model, inside)
    elif classifier not in _weighted(model):
        raise ValueError(
            f"no weight layer named {classifier!r}; this model has "
            + ", ".join(_weighted(model))
        )
    factors = _factors(parts, classifier)
    blocks = scaled_blocks(model, factors, "Fixup")
    with untouched(model):
        base = initialize(model, "kaiming_normal", generator=source)
        values = {k: p.clone() for k, p in model.named_parameters()}
    how = {f.name: f.scheme for f in base.filled}
    write_scaled(model, values, blocks, how)
    with torch.no_grad():
        left = dict(base.left)
        for name, layer in model.named_modules():
            if isinstance(layer, FixupBlock):
                _scalars(layer, name, how, left)
            if isinstance(layer, Normalisation) and layer.track_running_stats:
                layer.reset_running_stats()
    norms = [n for n, m in model.named_modules() if isinstance(m, NORMS)]
    notes = [f"Fixup is made for nets without normalization: {norms}"] * bool(
        norms
    )
    if classifier is None:
        notes.append("no layer comes after the branches: no classifier")
    return describe(
        model,
        "fixup",
        how,
        left,
        tied=base.tied,
        notes=notes,
        numbers={"branches": parts, "classifier": classifier},
    )


def _weighted(model: nn.Module) -> list[str]:
    every = model.named_modules(remove_duplicate=False)
    return [n for n, m in every if any(matrices(m))]


def _factors(parts, classifier) -> dict[str, float]:
    """Layer name -> what Kaiming's weight is multiplied by."""
    depth, factors = len(parts), {}
    for part in parts:
        m = len(part)
        for name in part[:-1]:
            factors[name] = depth ** (-1 / (2 * m - 2))
        factors[part[-1]] = 0.0
    if classifier is not None:
        factors[classifier] = 0.0
    return factors


def _classifier(model: nn.Module, inside: set[str]) -> str | None:
    """The last weight layer, unless it belongs to a branch."""
    shortcuts = tuple(
        f"{n}.shortcut".lstrip(".")
        for n, m in model.named_modules()
        if isinstance(m, FixupBlock)
    )
    names = [n for n in _weighted(model) if not n.startswith(shortcuts)]
    return names[-1] if names and names[-1] not in inside else None


def _scalars(block: FixupBlock, name: str, how: dict, left: dict) -> None:
    dot = f"{name}." if name else ""
    for own, p in block.named_parameters(recurse=False):
        value = 1.0 if own == "scale" else 0.0
        p.fill_(value)
        left.pop(dot + own, None)
        how[dot + own] = f"constant {value:g}"


def _branches(model, branches) -> list[list[str]]:
    layers = dict(model.named_modules(remove_duplicate=False))
    if branches is None:
        branches = [
            f"{n}.layers".lstrip(".")
            for n, m in layers.items()
            if isinstance(m, FixupBlock)
        ]
    if isinstance(branches, str):
        branches = [branches]
    parts = []
    for branch in branches:
        names = [branch] if isinstance(branch, str) else list(branch)
        for name in names:
            if name not in layers:
                raise ValueError(
                    f"no module named {name!r}; this model has "
                    + ", ".join(n for n in layers if n)
                )
        found = []
        for name in names:
            dot = f"{name}." if name else ""
            found += [
                dot + inner if inner else name
                for inner in _weighted(layers[name])
            ]
        if not found:
            raise ValueError(f"the branch {branch!r} holds no weight layer")
        parts.append(found)
    if not parts:
        raise ValueError(
            "Fixup must know the residual branches: pass their names as "
            "branches=[...], or build the net from FixupBlock"
        )
    return parts
