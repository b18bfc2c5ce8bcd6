"""Several optimizers that step as one, and Muon with AdamW as the usual."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dldna.optim.adam import AdamW
from dldna.optim.base_optimizer import evaluated
from dldna.optim.muon import Muon

KERNELS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
KERNELS += (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
TABLES = (nn.Embedding, nn.EmbeddingBag)
LAYERS = (nn.Linear, nn.Bilinear, nn.RNNBase, nn.RNNCellBase)
LAYERS += (nn.MultiheadAttention, *KERNELS, *TABLES)


class Mixed(torch.optim.Optimizer):
    """Several optimizers that step as one, each with its own parameters.

    A ``torch.optim.Optimizer`` like any other: schedulers move the rates
    of all its groups, ``state_dict`` holds all its states, and
    :func:`dldna.training.train` takes it.

    Args:
        *parts: the optimizers, of this package or of torch.

    Attributes:
        parts: the optimizers.

    Raises:
        TypeError: a part is no optimizer.
        ValueError: two parts share a parameter, or a part evaluates the
            loss itself.

    Example:
        >>> from dldna.optim import Adam, SGD
        >>> a, b = (nn.Parameter(torch.ones(1)) for _ in "ab")
        >>> both = Mixed(SGD([a], lr=0.5), Adam([b], lr=0.25))
        >>> (a + b).sum().backward()
        >>> both.step()
        >>> round(a.item(), 4), round(b.item(), 4)
        (0.5, 0.75)
    """

    def __init__(self, *parts: torch.optim.Optimizer):
        for part in parts:
            if not hasattr(part, "param_groups"):
                raise TypeError(
                    "Mixed takes optimizers, each with its own parameters, "
                    f"not a {type(part).__name__}: as in "
                    "Mixed(SGD(some, lr=0.1), AdamW(others))"
                )
            if getattr(part, "needs_closure", False) or hasattr(
                part, "needs_curvature"
            ):
                raise ValueError(
                    f"{type(part).__name__} looks at the loss itself, so it "
                    "cannot be one of several: give Mixed optimizers that "
                    "need gradients only"
                )
        self.parts = parts
        super().__init__(self.param_groups, {})

    @property
    def param_groups(self) -> list[dict[str, Any]]:
        """The groups of all parts."""
        return [g for part in self.parts for g in part.param_groups]

    @param_groups.setter
    def param_groups(self, _: Any) -> None:
        """They belong to the parts."""

    @property
    def state(self) -> dict[Tensor, Any]:
        """The states of all parts."""
        return {p: s for part in self.parts for p, s in part.state.items()}

    @state.setter
    def state(self, _: Any) -> None:
        """It belongs to the parts."""

    def __getstate__(self) -> dict[str, Any]:
        return {"defaults": self.defaults, "parts": self.parts}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Say which part a group belongs to.

        Raises:
            ValueError: always; the parts have the method.
        """
        if any(param_group is g for g in self.param_groups):  # at the start
            seen: set[int] = set()
            for p in (p for g in self.param_groups for p in g["params"]):
                if id(p) in seen:
                    raise ValueError(
                        "two parts of Mixed hold the same parameter of shape "
                        f"{tuple(p.shape)}: each belongs to one"
                    )
                seen.add(id(p))
            return
        raise ValueError(
            "a group belongs to one of the parts: call "
            "mixed.parts[i].add_param_group(group)"
        )

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Step with all parts; see :meth:`RuleOptimizer.step`."""
        loss = evaluated(closure)
        for part in self.parts:
            step = type(part).step  # without the hooks that this one has run
            getattr(step, "__wrapped__", step)(part)
        return loss

    def train(self) -> None:
        """Switch the parts that have two points to where they train."""
        self._switch("train")

    def eval(self) -> None:
        """Switch the parts that have two points to where they evaluate."""
        self._switch("eval")

    def _switch(self, mode: str) -> None:
        for part in self.parts:
            getattr(part, mode, lambda: None)()

    def state_dict(self) -> dict[str, Any]:
        """The states of all parts, numbered through."""
        groups, state = [], {}
        for part in self.parts:
            own, first = (
                part.state_dict(),
                sum(len(g["params"]) for g in groups),
            )
            state |= {first + i: s for i, s in own["state"].items()}
            groups += [
                {**g, "params": [first + i for i in g["params"]]}
                for g in own["param_groups"]
            ]
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Take up a saved state, each part its own.

        Raises:
            ValueError: it was saved by other parts.
        """
        groups = list(state_dict["param_groups"])
        counts = [len(part.param_groups) for part in self.parts]
        if len(groups) != sum(counts):
            raise ValueError(
                f"this state has {len(groups)} groups, and the parts have "
                f"{' + '.join(map(str, counts))}"
            )
        before = [part.state_dict() for part in self.parts]
        try:
            for part, count in zip(self.parts, counts, strict=True):
                mine, groups = groups[:count], groups[count:]
                saved = state_dict["state"]
                state = {k: saved[k] for k in state_keys(mine) if k in saved}
                part.load_state_dict({"state": state, "param_groups": mine})
        except ValueError:
            for part, kept in zip(self.parts, before, strict=True):
                part.load_state_dict(kept)
            raise


def state_keys(groups: list[dict[str, Any]]) -> list[Any]:
    """What stands for the parameters in saved groups."""
    return [key for group in groups for key in group["params"]]


def own_matrices(layer: nn.Module) -> list[Tensor]:
    """A layer's own weights of two axes or more."""
    return [p for p in layer.parameters(recurse=False) if p.dim() > 1]


def matrices(model: nn.Module) -> list[Tensor]:
    """Weights of two axes or more that belong to a layer of ``torch.nn``.

    Example:
        >>> [tuple(w.shape) for w in matrices(nn.Linear(3, 2))]
        [(2, 3)]
    """
    layers = [m for m in model.modules() if isinstance(m, LAYERS)]
    return [p for layer in layers for p in own_matrices(layer)]


def hidden_weights(model: nn.Module, kernels: bool = True) -> list[Tensor]:
    """The weights between a network's first and last layer.

    Embeddings, the first and the last layer (also where it is tied to an
    embedding), biases, gains, depthwise kernels and parameters that belong
    to no layer of ``torch.nn`` are left out.

    Args:
        model: layers count in the order in which they were defined.
        kernels: whether to take kernels of convolutions.

    Returns:
        Tensors of two axes or more.

    Example:
        >>> net = nn.Sequential(*(nn.Linear(n, n + 1) for n in (2, 3, 4)))
        >>> [tuple(w.shape) for w in hidden_weights(net)]
        [(4, 3)]
    """
    found, edge = matrices(model), set()
    for layer in model.modules():
        deep = isinstance(layer, KERNELS) and layer.groups > 1
        narrow = deep and layer.groups == layer.in_channels
        if isinstance(layer, TABLES) or narrow:
            edge |= {id(p) for p in own_matrices(layer)}
    # Where there are tables of embeddings, they are the first layer.
    tables = any(isinstance(m, TABLES) for m in model.modules())
    edge |= {id(p) for p in found[-1:] + ([] if tables else found[:1])}
    once = {id(p): p for p in found if id(p) not in edge}
    return [p for p in once.values() if p.dim() == 2 or kernels]


def muon_and_adamw(
    model: nn.Module,
    lr: float = 1e-3,
    *,
    weight_decay: float = 0.01,
    hidden: Iterable[Tensor] | None = None,
    kernels: bool = True,
    muon: Mapping[str, Any] | None = None,
    adamw: Mapping[str, Any] | None = None,
) -> Mixed:
    """Muon on the hidden weights and AdamW on all the rest, at one rate.

    ``match_rms_adamw`` gives Muon's steps the size of AdamW's, so that a
    rate and a decay that are known for AdamW serve both.

    Args:
        model: its parameters that ask for gradients are taken.
        lr: learning rate of both.
        weight_decay: decoupled, of both.
        hidden: what Muon is to move; by default :func:`hidden_weights`.
        kernels: whether those are to include kernels.
        muon: further or other settings of :class:`dldna.optim.Muon`.
        adamw: further or other settings of :class:`dldna.optim.AdamW`.

    Returns:
        One optimizer with two parts, Muon the first.

    Raises:
        ValueError: the network has no hidden matrix.

    Example:
        >>> net = nn.Sequential(*(nn.Linear(n, n + 1) for n in (2, 3, 4)))
        >>> both = muon_and_adamw(net, lr=0.01)
        >>> [len(group["params"]) for group in both.param_groups]
        [1, 5]

    References:
        Jordan, K., et al., 2024, "Muon: an optimizer for hidden layers in
        neural networks". Liu, J., et al., 2025, arXiv 2502.16982.
    """
    inner = hidden_weights(model, kernels) if hidden is None else hidden
    inner = [p for p in inner if p.requires_grad]
    if not inner:
        raise ValueError(
            "Muon needs a hidden matrix: this network has none between its "
            "first and its last layer"
        )
    taken = {id(p) for p in inner}
    rest = [p for p in model.parameters() if id(p) not in taken]
    rest = [p for p in rest if p.requires_grad]
    both = {"lr": lr, "weight_decay": weight_decay}
    matched = {"adjust_lr_fn": "match_rms_adamw", "flatten": kernels}
    return Mixed(
        Muon(inner, **{**both, **matched, **(muon or {})}),
        *([AdamW(rest, **{**both, **(adamw or {})})] if rest else []),
    )
