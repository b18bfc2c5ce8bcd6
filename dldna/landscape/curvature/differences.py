r"""Products of curvature that need no second derivative.

With the gradient :math:`g`, central differences give

.. math:: Hv \approx \frac{g(w+hv)-g(w-hv)}{2h},\qquad
    Gv \approx J^\top\,\frac{s(w+hv)-s(w-hv)}{2h},

where :math:`s=\nabla_z\ell` is the slope of the loss in the outputs
:math:`z(w)`, whose derivative along :math:`v` is
:math:`(\nabla^2_z\ell)\,Jv`. Their error is
:math:`O(h^2\|v\|^3)` from the third derivative and
:math:`O(\varepsilon\|g\|/h)` from rounding.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from dldna.checks import warn
from dldna.guard import differentiable
from dldna.landscape.curvature.products import check_outputs_alone, flat_of
from dldna.objective import Objective

UNSURE = 0.1  # relative error of products that is warned of


class Difference(Protocol):
    """A product that may be made with a part of its step."""

    def __call__(self, v: Tensor, part: float = 1.0) -> Tensor: ...


def step(f: Objective, v: Tensor) -> float:
    r"""The step :math:`h=((1+\|w\|)\,\varepsilon)^{1/3}/\|v\|`.

    At a step of the order :math:`\varepsilon^{1/3}` truncation and rounding
    of a central difference are about equal; the norms are those of
    Jacobian-free Newton methods, which take the square root for one-sided
    differences. Of several types :math:`\varepsilon` is that of the
    coarsest.

    Args:
        f: the loss.
        v: (n,) the direction, not zero.

    References:
        Knoll, Keyes, "Jacobian-free Newton-Krylov methods: a survey of
        approaches and applications", J. Comput. Phys. 193, 2004.
    """
    kinds = {p.dtype for p in f.model.parameters() if p.is_floating_point()}
    kinds = kinds if f.mixed else {f.dtype}
    eps = max(torch.finfo(kind).eps for kind in kinds)
    w = float(f.flat(f.point).double().norm())
    return ((1 + w) * eps) ** (1 / 3) / float(v.double().norm())


def product(f: Any, batch: Any) -> Difference:
    """The product of one batch with the operator's matrix.

    Args:
        f: an :class:`~dldna.landscape.Operator`.
        batch: one batch.
    """
    gauss = f.matrix == "gauss-newton"
    return gauss_newton(f, batch) if gauss else hessian(f, batch)


def hessian(f: Objective, batch: Any) -> Difference:
    """Products with the Hessian, from two gradients each.

    Args:
        f: the loss.
        batch: one batch.

    Returns:
        The product with a vector (n,).
    """
    return _central(f, lambda point: f.slope(batch, point)[1])


def gauss_newton(f: Objective, batch: Any) -> Difference:
    """Products with the Gauss-Newton matrix, from first derivatives alone.

    Args:
        f: the loss.
        batch: one batch.

    Returns:
        The product with a vector (n,).
    """
    check_outputs_alone(f, batch)

    def slope(point: Mapping[str, Tensor]) -> Tensor:
        with f.placed(point), differentiable():
            at = f.output(batch).detach().requires_grad_()
            loss = f.value(at, batch)
            return torch.autograd.grad(loss, at)[0]

    bend = _central(f, slope)

    def product_with(v: Tensor, part: float = 1.0) -> Tensor:
        change = bend(v, part)
        with f.placed() as leaves, differentiable():
            z = f.output(batch)
            found = torch.autograd.grad(z, leaves, change, allow_unused=True)
        return flat_of(f, found)

    return product_with


def _central(f: Objective, slope: Any) -> Difference:
    def product_with(v: Tensor, part: float = 1.0) -> Tensor:
        if not bool(v.any()):
            return 0.0 * slope(f.point)
        w = f.flat(f.point)
        h = part * step(f, v)
        up, down = (slope(f.cut(w + a * v)) for a in (h, -h))
        return (up - down) / (2 * h)

    return product_with


class Doubt:
    """The largest relative error of products that were looked at.

    A product is made again with half its step, and the length of the
    change taken for its error: truncation falls to a quarter then, and
    rounding doubles.
    """

    def __init__(self) -> None:
        self.error = 0.0

    def look(self, found: Tensor, halved: Tensor) -> None:
        """Compare two products with one vector, and warn of large errors."""
        size = float(halved.double().norm())
        gap = float((found - halved).double().norm())
        error = gap / size if size else float(gap > 0)
        if error > UNSURE >= self.error:
            wide = found.dtype == torch.float64
            warn(
                f"products by differences are uncertain by {error:.0%}"
                + ("" if wide else ": take dtype='float64'")
            )
        self.error = max(self.error, error)
