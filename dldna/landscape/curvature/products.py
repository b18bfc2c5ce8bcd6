"""Products of one batch's curvature with a vector, in three ways."""

import math
import warnings
from collections.abc import Callable
from operator import getitem
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge
from torch.fx.experimental.proxy_tensor import make_fx

from dldna.objective import Objective
from dldna.objective.function import functional, reads_model
from dldna.objective.own_loss import is_own

Product = Callable[[Tensor], Tensor]


def reverse(f: Objective, batch: Any, keep: bool = True) -> Product:
    r"""Hessian products by a second backward pass, :math:`\nabla(g^\top v)`.

    Args:
        f: the loss.
        batch: one batch.
        keep: whether the gradient's graph serves more than one product.

    Returns:
        The product with a vector (n,).
    """
    with f.placed() as leaves:
        edges = [get_gradient_edge(p) for p in leaves]
        slopes = _gradients(f.batch_loss(batch), leaves)

    def product(v: Tensor) -> Tensor:
        if not slopes:
            return torch.zeros_like(v)
        parts = _parts(f, slopes, v)
        with f.placed():
            found = torch.autograd.grad(
                list(slopes.values()),
                edges,
                parts,
                retain_graph=keep,
                allow_unused=True,
            )
        return flat_of(f, found)

    return product


def gauss_newton(f: Objective, batch: Any, keep: bool = True) -> Product:
    r"""Gauss-Newton products :math:`J^\top(\nabla^2_z\ell)Jv`, all backward.

    :math:`Jv` is the derivative of :math:`u\mapsto v^\top J^\top u`, which
    is linear in :math:`u`: two backward passes make a forward one.

    Args:
        f: the loss.
        batch: one batch.
        keep: whether the graphs serve more than one product.

    Returns:
        The product with a vector (n,).

    Raises:
        TypeError: the model returns something else than one tensor, or the
            loss reads the model past its output.
    """
    check_outputs_alone(f, batch)
    with f.placed() as leaves:
        edges = [get_gradient_edge(p) for p in leaves]
        z = f.output(batch)
        u = torch.zeros_like(z, requires_grad=True)
        jtu = _gradients(z, leaves, u)
        at = z.detach().requires_grad_()
        loss = f.value(at, batch)
        (slope,) = torch.autograd.grad(loss, at, create_graph=True)

    def product(v: Tensor) -> Tensor:
        if not jtu or not slope.requires_grad:
            return torch.zeros_like(v)  # a loss linear in the outputs
        starts = _parts(f, jtu, v)
        with f.placed():
            (jv,) = torch.autograd.grad(
                list(jtu.values()), u, starts, retain_graph=keep
            )
            (hjv,) = torch.autograd.grad(slope, at, jv, retain_graph=keep)
            found = torch.autograd.grad(
                z, edges, hjv, retain_graph=keep, allow_unused=True
            )
        return flat_of(f, found)

    return product


def check_outputs_alone(f: Objective, batch: Any) -> None:
    """Refuse a loss that is no function of one tensor of outputs alone.

    Raises:
        TypeError: there is no Gauss-Newton matrix of it.
    """
    if is_own(f.loss_fn):
        raise TypeError(
            "loss_fn='model' is no function of the outputs alone, so there is "
            "no Gauss-Newton matrix: take matrix='hessian', or a loss of your "
            "own, loss(output, batch)"
        )
    if reads_model(f, batch):
        raise TypeError(
            "the loss reads the network itself, so it is no function of the "
            "outputs alone, and there is no Gauss-Newton matrix: take "
            'matrix="hessian", or leave the penalty out of the loss'
        )
    with f.placed(), torch.no_grad():
        z = f.output(batch)
    if not isinstance(z, Tensor):
        raise TypeError(
            "the Gauss-Newton matrix needs a model that returns one "
            f"tensor, not {type(z).__name__}"
        )


# Operations whose forward derivative torch traces rightly: the gradient of
# a network made of these alone goes through `torch.func.linearize`. Others
# write into folded constants, so that each product changes the next, or end
# the process (mean squared error, torch 2.13).
TRACED_NAMES = """
_adaptive_avg_pool2d.default _adaptive_avg_pool2d_backward.default
_log_softmax.default _log_softmax_backward_data.default
_native_batch_norm_legit_no_training.default _to_copy.default
_unsafe_view.default add.Tensor addmm.default avg_pool2d.default
avg_pool2d_backward.default clone.default convolution.default
convolution_backward.default detach.default div.Scalar div.Tensor
empty.memory_format expand.default max_pool2d_with_indices.default
max_pool2d_with_indices_backward.default mean.default mean.dim mm.default
mul.Scalar mul.Tensor native_batch_norm.default
native_batch_norm_backward.default neg.default nll_loss_backward.default
nll_loss_forward.default ones_like.default permute.default relu.default
scalar_tensor.default squeeze.dim squeeze.dims sum.default sum.dim_IntList
t.default tanh.default tanh_backward.default threshold_backward.default
transpose.int unsqueeze.default view.default zeros_like.default
"""
TRACED = {f"aten.{name}" for name in TRACED_NAMES.split()}


def linearize(f: Objective, batch: Any) -> Product | None:
    """Hessian products by the gradient's forward derivative, traced once.

    It is tried on networks alone whose gradient is made of operations that
    are known to be traced rightly.

    Args:
        f: the loss.
        batch: one batch.

    Returns:
        The product with a vector (n,), or None where an operation is not
        among those.
    """
    slope = torch.func.grad(lambda p: functional(f, p, batch))
    with f.placed(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.fx about its own graph
        calls = [
            node.target
            for node in make_fx(slope)(f.point).graph.nodes
            if node.op == "call_function"
        ]
        if not {str(c) for c in calls if c is not getitem} <= TRACED:
            return None
        _, derivative = torch.func.linearize(slope, f.point)
    return lambda v: f.flat(derivative(f.cut(v)))


def agrees(fast: Product, plain: Product, like: Tensor) -> float:
    """Largest relative difference of a product to the plain one.

    Three products, two of them with one vector: a product that changes
    the next is found out.

    Args:
        fast: what is tried.
        plain: what is right.
        like: (n,) any vector of the right type.

    Returns:
        The largest length of a difference, relative; NaN counts as inf.
    """
    generator = torch.Generator().manual_seed(0)
    a, b = (
        torch.randn(len(like), generator=generator, device="cpu").to(like)
        for _ in "ab"
    )
    worst = 0.0
    for v in (a, b, a):
        right = plain(v)
        gap = float((fast(v) - right).norm())
        size = float(right.norm())
        relative = gap / size if size else gap
        worst = max(worst, math.inf if math.isnan(relative) else relative)
    return worst


def forward(f: Objective, batch: Any) -> Product:
    """Hessian products forward over reverse; nothing is kept.

    Args:
        f: the loss.
        batch: one batch.

    Returns:
        The product with a vector (n,).
    """
    slope = torch.func.grad(lambda p: functional(f, p, batch))

    def product(v: Tensor) -> Tensor:
        with f.placed(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch about its own script
            _, hv = torch.func.jvp(slope, (f.point,), (f.cut(v),))
        return f.flat(hv)

    return product


def _parts(f: Objective, slopes: dict[int, Tensor], v: Tensor) -> list[Tensor]:
    parts = list(f.cut(v).values())
    return [parts[i].to(g.dtype) for i, g in slopes.items()]


def flat_of(f: Objective, found: Any) -> Tensor:
    """Gradients by position as one vector; None stands for zeros."""
    # detached: torch 2.4 fills in zeros that ask for a gradient
    parts = [
        torch.zeros_like(p) if g is None else g.detach()
        for g, p in zip(found, f.point.values(), strict=True)
    ]
    return f.flat(dict(zip(f.names, parts, strict=True)))


def _gradients(
    y: Tensor, leaves: list[Tensor], start: Tensor | None = None
) -> dict[int, Tensor]:
    """Gradients that can be differentiated again, by position."""
    if not y.requires_grad:
        return {}
    found = torch.autograd.grad(
        y, leaves, start, create_graph=True, allow_unused=True
    )
    return {
        i: g for i, g in enumerate(found) if g is not None and g.requires_grad
    }


def truth(
    f: Objective,
    batch: Any,
    step: float = 1e-11,
    seed: int = 0,
    second: bool = True,
) -> tuple[float, float]:
    r"""How far gradient and Hessian product are from differences.

    .. math:: g^\top v \approx \frac{L(w+hv)-L(w-hv)}{2h},\qquad
        Hv \approx \frac{g(w+hv)-g(w-hv)}{2h}

    in float64. With a small step no kink of a ReLU lies between; with a
    large one rounding is small beside small gradients.

    Args:
        f: the loss, in float64.
        batch: one batch.
        step: :math:`h`, in units of the weights.
        seed: of the direction.
        second: whether the product is looked at.

    Returns:
        Both differences, relative; the second one is that of ``reverse``,
        or 0 where it is not looked at.
    """
    generator = torch.Generator().manual_seed(seed)
    w = f.flat(f.point)
    v = torch.randn(f.n, generator=generator, device="cpu").to(w)
    h = step * float(1 + w.square().mean().sqrt())
    (up, ahead), (down, behind), (_, g) = (
        f.slope(batch, f.cut(w + a * v)) for a in (h, -h, 0.0)
    )
    rise, bend = (up - down) / (2 * h), (ahead - behind) / (2 * h)
    hv = reverse(f, batch, keep=False)(v) if second else bend
    noise = 1e-12 / h  # of a difference, relative, at a hundredth
    size = float(g.norm()) + noise * abs(up)
    first = abs(rise - float(g @ v)) / max(size, 1e-12)
    size = float(bend.norm()) + noise * float(g.norm())
    return first, float((bend - hv).norm()) / max(size, 1e-12)
