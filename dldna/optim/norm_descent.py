"""Scion: each layer steps in the norm that fits it."""

import math
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from dldna import checks
from dldna.optim.mixed import TABLES, matrices
from dldna.optim.muon import newton_schulz
from dldna.optim.ops import Hyper, State, decay, ema
from dldna.optim.rule import register, zeros
from dldna.optim.shell import RuleOptimizer


def scion(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-3,
    momentum: Hyper = 0.9,
    norm: str = "auto",
    scale: Hyper = 1.0,
    unconstrained: bool = False,
    eps: float = 1e-8,
    ns_steps: int = 5,
) -> tuple[Tensor, State]:
    r"""Step to the steepest point of a ball in the layer's own norm.

    .. math::
        B_t = \mu B_{t-1} + (1 - \mu) G_t, \qquad
        W_t = (1 - \eta) W_{t-1} - \eta \rho\, D(B_t)

    with :math:`D(B) = \arg\max_{\|D\| \le 1} \langle B, D \rangle`. So the
    weights stay in the ball of radius :math:`\rho`; the unconstrained form
    leaves out the factor :math:`1 - \eta`.
    """
    B = ema(state["B"], g, momentum)
    D = steepest(B, norm, eps, ns_steps)
    w = w if unconstrained else decay(w, lr)
    return w - lr * scale * D, {"B": B}


def steepest(
    G: Tensor, norm: str = "auto", eps: float = 1e-8, ns_steps: int = 5
) -> Tensor:
    r"""The direction of a unit ball that goes furthest along a gradient.

    ====================  ===================================================
    ``norm``              direction, for a matrix of ``out`` by ``in``
    ====================  ===================================================
    ``"spectral"``        :math:`\sqrt{out/in}\, U V^\top`, for a kernel over
                          its area; :func:`newton_schulz` gives
                          :math:`U V^\top`
    ``"spectral_input"``  the same, its factor at least 1: for a first layer
    ``"sign"``            :math:`\operatorname{sign} G / in`
    ``"column"``          columns with a root mean square of 1
    ``"row"``             rows of length :math:`1/\sqrt{in}`
    ``"embedding"``       rows with a root mean square of 1
    ``"rms"``             a vector with a root mean square of 1
    ``"auto"``            ``"rms"`` for vectors, ``"spectral"`` for the rest
    ====================  ===================================================

    Example:
        >>> import torch
        >>> steepest(torch.tensor([[3.0, -4.0]]), "sign")
        tensor([[ 0.5000, -0.5000]])
        >>> steepest(torch.tensor([1.0, -7.0]))
        tensor([ 0.2000, -1.4000])
    """
    if norm == "auto":
        norm = "rms" if G.dim() < 2 else "spectral"
    if norm == "sign":
        return G.sign() / G.shape[1]
    if norm in LENGTHS:
        axis, length = LENGTHS[norm](G)
        size = G if axis is None else G.norm(dim=axis, keepdim=True)
        size = size.norm() if axis is None else size
        return G * length / (size + eps * length)
    rows, columns = G.shape[:2]
    area = math.prod(G.shape[2:])
    factor = math.sqrt(rows / columns)
    factor = max(1.0, factor) if norm == "spectral_input" else factor
    O = newton_schulz(G.flatten(1), steps=ns_steps, eps=eps)
    return (factor / area) * O.reshape(G.shape)


LENGTHS: dict[str, Callable[[Tensor], tuple[int | None, float]]] = {
    "column": lambda G: (0, math.sqrt(G.shape[0])),
    "row": lambda G: (-1, 1 / math.sqrt(G.shape[-1])),
    "embedding": lambda G: (-1, math.sqrt(G.shape[-1])),
    "rms": lambda G: (None, math.sqrt(G.numel())),
}
"""Norms that set lengths: along which axis, and to what."""

NORMS = ("auto", "spectral", "spectral_input", "sign", *LENGTHS)


def scion_param_groups(
    model: nn.Module, hidden: float = 50.0, last: float = 3000.0
) -> list[dict[str, Any]]:
    """A network's parameters in groups, each with its layer's norm.

    The last matrix (also where it is tied to an embedding) has the sign
    norm, tables of embeddings have that of their rows, a first layer has
    the spectral one with a factor of at least 1, all others ``"auto"``.

    Args:
        model: layers count in the order in which they were defined.
        hidden: radius of all but the last matrix.
        last: radius of the last matrix.

    Returns:
        Groups for :class:`Scion`, each with a ``name``.

    Example:
        >>> net = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 9))
        >>> {g["name"]: g["norm"] for g in scion_param_groups(net)}
        {'last': 'sign', 'embedding': 'embedding', 'hidden': 'auto'}
    """
    found = [p for p in matrices(model) if p.dim() == 2]
    tables = {
        id(p)
        for m in model.modules()
        if isinstance(m, TABLES)
        for p in m.parameters(recurse=False)
    }
    norms = {"last": "sign", "embedding": "embedding"}
    norms |= {"first": "spectral_input", "hidden": "auto"}
    names = dict.fromkeys(tables, "embedding")
    if found and not tables:
        names[id(found[0])] = "first"
    if found:
        names[id(found[-1])] = "last"
    params = [p for p in model.parameters() if p.requires_grad]
    groups = []
    for name, norm in norms.items():
        own = [p for p in params if names.get(id(p), "hidden") == name]
        scale = last if name == "last" else hidden
        if own:
            groups.append(
                {"params": own, "name": name, "norm": norm, "scale": scale}
            )
    return groups


def _norm(name: str, value: str) -> None:
    checks.choice(name, value, NORMS)


class Scion(RuleOptimizer):
    r"""Scion. Rule: :func:`scion`.

    :func:`scion_param_groups` sorts a network's parameters. The authors
    count momentum the other way: their :math:`\alpha` is
    :math:`1 - \mu`.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`; at most 1 unless unconstrained.
        momentum: :math:`\mu` in [0, 1).
        norm: see :func:`steepest`.
        scale: radius :math:`\rho` of the ball.
        unconstrained: do not shrink the weights.
        eps: floor of the lengths that are divided by.
        ns_steps: iterations of :func:`newton_schulz`.
        maximize: climb instead of descending.

    Raises:
        ValueError: a norm of matrices for another tensor.

    Example:
        >>> import torch
        >>> w = torch.nn.Parameter(torch.tensor([[1.0, 1.0]]))
        >>> w.grad = torch.tensor([[7.0, -0.1]])
        >>> Scion([w], lr=0.5, norm="sign").step()
        >>> w.tolist()
        [[0.25, 0.75]]

    References:
        Pethick, et al., 2025, ICML, arXiv 2502.07529.
    """

    rule = register(
        scion,
        zeros("B"),
        "matrix",
        norm=_norm,
        scale=checks.positive,
        ns_steps=checks.count,
    )

    def check_parameter(self, p: Tensor, group: dict[str, Any]) -> None:
        """Refuse a tensor that the norm is not made for."""
        super().check_parameter(p, group)
        norm = group["norm"]
        kernels = norm.startswith("spectral") and p.dim() > 2
        if norm not in ("auto", "rms") and p.dim() != 2 and not kernels:
            raise ValueError(
                f"the norm {norm!r} is one of matrices, not of a tensor of "
                f"shape {tuple(p.shape)}: give such tensors a group with "
                "norm='auto', or take scion_param_groups(model)"
            )
