"""Products of one batch's curvature with a vector, in three ways."""

import warnings
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dldna.landscape.curvature.mean_loss import MeanLoss

Product = Callable[[Tensor], Tensor]


def reverse(f: MeanLoss, batch: Any, keep: bool = True) -> Product:
    r"""Hessian products by a second backward pass, :math:`\nabla(g^\top v)`.

    Args:
        f: the loss.
        batch: one batch.
        keep: whether the gradient's graph serves more than one product.

    Returns:
        The product with a vector (n,).
    """
    leaves = _leaves(f)
    slopes = _gradients(
        f.batch_loss(dict(zip(f.names, leaves, strict=True)), batch), leaves
    )

    def product(v: Tensor) -> Tensor:
        if not slopes:
            return torch.zeros_like(v)
        parts = list(f.cut(v).values())
        hv = torch.autograd.grad(
            list(slopes.values()),
            leaves,
            [parts[i] for i in slopes],
            retain_graph=keep,
            materialize_grads=True,
        )
        return _flat(hv)

    return product


def gauss_newton(f: MeanLoss, batch: Any, keep: bool = True) -> Product:
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
        TypeError: the model returns something else than one tensor.
    """
    leaves = _leaves(f)
    z = f.output(dict(zip(f.names, leaves, strict=True)), batch)
    if not isinstance(z, Tensor):
        raise TypeError(
            "the Gauss-Newton matrix needs a model that returns one "
            f"tensor, not {type(z).__name__}"
        )
    u = torch.zeros_like(z, requires_grad=True)
    jtu = _gradients(z, leaves, u)
    at = z.detach().requires_grad_()
    loss = f.value(at, batch)
    (slope,) = torch.autograd.grad(loss, at, create_graph=True)

    def product(v: Tensor) -> Tensor:
        if not jtu or not slope.requires_grad:
            return torch.zeros_like(v)  # a loss linear in the outputs
        parts = list(f.cut(v).values())
        (jv,) = torch.autograd.grad(
            list(jtu.values()), u, [parts[i] for i in jtu], retain_graph=keep
        )
        (hjv,) = torch.autograd.grad(slope, at, jv, retain_graph=keep)
        return _flat(
            torch.autograd.grad(
                z, leaves, hjv, retain_graph=keep, materialize_grads=True
            )
        )

    return product


def linearize(f: MeanLoss, batch: Any) -> Product:
    """Hessian products by the gradient's forward derivative, traced once.

    Args:
        f: the loss.
        batch: one batch.

    Returns:
        The product with a vector (n,).
    """
    slope = torch.func.grad(lambda p: f.batch_loss(p, batch))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch.fx about its own graph
        _, derivative = torch.func.linearize(slope, f.point)
    return lambda v: f.flat(derivative(f.cut(v)))


def forward(f: MeanLoss, batch: Any) -> Product:
    """Hessian products forward over reverse; nothing is kept.

    Args:
        f: the loss.
        batch: one batch.

    Returns:
        The product with a vector (n,).
    """
    slope = torch.func.grad(lambda p: f.batch_loss(p, batch))

    def product(v: Tensor) -> Tensor:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch about its own script
            _, hv = torch.func.jvp(slope, (f.point,), (f.cut(v),))
        return f.flat(hv)

    return product


def _leaves(f: MeanLoss) -> list[Tensor]:
    return [v.detach().requires_grad_() for v in f.point.values()]


def _flat(parts: Any) -> Tensor:
    # detached: torch 2.4 fills in zeros that ask for a gradient
    return torch.cat([x.detach().reshape(-1) for x in parts])


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
