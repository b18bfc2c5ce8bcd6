"""Muon: momentum made orthogonal."""

import math
from typing import Any

from torch import Tensor

from dldna import checks
from dldna.optim.ops import Hyper, State, decay, ema
from dldna.optim.rule import register, several, zeros
from dldna.optim.shell import RuleOptimizer

QUINTIC = (3.4445, -4.7750, 2.0315)


def muon(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-3,
    weight_decay: Hyper = 0.1,
    momentum: Hyper = 0.95,
    nesterov: bool = True,
    ns_coefficients: tuple[float, float, float] = QUINTIC,
    eps: float = 1e-7,
    ns_steps: int = 5,
    adjust_lr_fn: str | None = None,
    flatten: bool = False,
) -> tuple[Tensor, State]:
    r"""Step along the momentum with its singular values set near 1.

    .. math::
        B_t = \mu B_{t-1} + (1 - \mu) G_t, \qquad
        W_t = (1 - \eta\lambda) W_{t-1} - \eta s\, \mathrm{NS}(U_t)

    with Nesterov's :math:`U_t = \mu B_t + (1 - \mu) G_t`, or
    :math:`U_t = B_t`, and :math:`s = \sqrt{\max(1, rows/columns)}`. With
    ``flatten`` a kernel is the matrix of its output channels' rows.
    """
    B = ema(state["B"], g, momentum)
    U = ema(B, g, momentum) if nesterov else B
    U = U.flatten(1) if flatten else U
    O = newton_schulz(U, ns_coefficients, ns_steps, eps)
    s = shape_factor(*U.shape, adjust_lr_fn)
    O = O.reshape(w.shape) if flatten else O
    return decay(w, lr * weight_decay) - lr * s * O, {"B": B}


def newton_schulz(
    G: Tensor,
    coefficients: tuple[float, float, float] = QUINTIC,
    steps: int = 5,
    eps: float = 1e-7,
) -> Tensor:
    r"""Push the singular values of a matrix towards 1.

    Starting from :math:`X = G / |G|_F`, each step takes
    :math:`X \leftarrow a X + (b\, X X^\top + c\, (X X^\top)^2) X`. The
    limit would be the polar factor :math:`U V^\top`; the usual
    coefficients trade it for speed and leave values of about 0.7 to 1.2.

    Args:
        G: shape (rows, columns).
        coefficients: a, b, c.
        steps: iterations.
        eps: floor of the Frobenius norm.

    Returns:
        A matrix of the same shape.

    Example:
        >>> import torch
        >>> X = newton_schulz(torch.diag(torch.tensor([100.0, 1.0])))
        >>> 0.5 < X.diag().min() and X.diag().max() < 1.5
        tensor(True)
    """
    a, b, c = coefficients
    rows, columns = G.shape
    X = G.mT if rows > columns else G
    X = X / X.norm().clamp(min=eps)
    for _ in range(steps):
        A = X @ X.mT
        X = a * X + (b * A + c * A @ A) @ X
    return X.mT if rows > columns else X


def shape_factor(rows: int, columns: int, kind: str | None) -> float:
    """How a step's length depends on the matrix's shape.

    Example:
        >>> shape_factor(400, 100, "original")
        2.0
        >>> shape_factor(400, 100, "match_rms_adamw")
        4.0
    """
    if kind == "match_rms_adamw":
        return 0.2 * math.sqrt(max(rows, columns))
    return math.sqrt(max(1, rows / columns))


def _kind(name: str, value: str | None) -> None:
    if value is not None:
        checks.choice(name, value, ["original", "match_rms_adamw"])


class Muon(RuleOptimizer):
    r"""Muon, for matrices and kernels. Rule: :func:`muon`.

    Give it the hidden layers' weights; biases, embeddings and the last
    layer belong to another optimizer, such as AdamW:
    :func:`dldna.optim.muon_and_adamw` sorts a network's parameters. The
    iteration runs in the weights' own type (torch's class rounds it to
    bfloat16).

    Args:
        params: matrices (with ``flatten`` also kernels), or dicts of them
            with their own settings.
        lr: learning rate :math:`\eta`.
        weight_decay: :math:`\lambda`, decoupled.
        momentum: :math:`\mu` in [0, 1).
        nesterov: look ahead.
        ns_coefficients: :func:`newton_schulz`'s a, b, c.
        eps: floor of the Frobenius norm.
        ns_steps: iterations.
        adjust_lr_fn: ``"original"`` (also None) or ``"match_rms_adamw"``,
            with which AdamW's learning rate and decay can be kept.
        flatten: take a kernel (out, in, height, width) as a matrix
            (out, in * height * width), as the method's authors do.
        maximize: climb instead of descending.

    Raises:
        ValueError: a parameter is not a matrix, nor a kernel with
            ``flatten``.

    Example:
        >>> import torch
        >>> model = torch.nn.Linear(3, 2)
        >>> Muon(model.parameters())  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: Muon moves matrices only, not a tensor of shape (2,): ...

    References:
        Jordan, K., et al., 2024, "Muon: an optimizer for hidden layers in
        neural networks". Liu, J., et al., 2025, arXiv 2502.16982.
    """

    rule = register(
        muon,
        zeros("B"),
        "matrix",
        ns_steps=checks.count,
        ns_coefficients=lambda name, v: several(name, v, 3),
        adjust_lr_fn=_kind,
    )

    def check_parameter(self, p: Tensor, group: dict[str, Any]) -> None:
        """Refuse what is no matrix."""
        super().check_parameter(p, group)
        if p.dim() == 2 or (p.dim() > 2 and group["flatten"]):
            return
        hint = "give biases and the like to AdamW"
        if p.dim() > 2:
            hint = "flatten=True takes a kernel as the matrix (out, rest)"
        raise ValueError(
            "Muon moves matrices only, not a tensor of shape "
            f"{tuple(p.shape)}: {hint}, or let "
            "dldna.optim.muon_and_adamw(model) sort them"
        )
