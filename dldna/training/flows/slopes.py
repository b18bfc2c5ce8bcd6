r"""Gradients at many points, and what their differences tell.

With :math:`g_\pm=\nabla L(w\pm s u)` the central differences

.. math::
    \frac{g_+-g_-}{2s}=H(w)u+O(s^2),\qquad
    \frac{g_+-2g+g_-}{s^2}=\nabla_w\,u^\top H(w)u+O(s^2)

give a product with the Hessian and the gradient of a curvature at once,
for two gradients, and need no second derivative of any layer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self

from torch import Tensor

from dldna import checks, guard
from dldna.objective import Objective
from dldna.objective.derivative import over_data, slope_at

OPTIONS = ("params", "statistics", "limit")
REACH = 1e-4  # of the differences, over the length of the weights plus one


class Slopes:
    """Loss and gradient of an objective at points, with their number.

    Args:
        objective: in float64.

    Example:
        >>> import torch
        >>> layer = torch.nn.Linear(1, 1, bias=False).double()
        >>> x = torch.ones(1, 1).double()
        >>> f = Objective(layer, torch.nn.MSELoss(), (x, x))
        >>> with Slopes.of(f) as slopes:
        ...     slopes.at(torch.zeros(1).double()), slopes.spent
        ((1.0, tensor([-2.], dtype=torch.float64)), 1)
    """

    def __init__(self, objective: Objective, leaves: list[Tensor] | None):
        self.objective = objective
        self.leaves = leaves
        self.spent = 0

    @classmethod
    @contextmanager
    def of(cls, objective: Objective) -> Iterator[Self]:
        """Open a model for many points; its own come back afterwards.

        A model that writes to its own parameters is opened for each point
        by itself.

        Args:
            objective: of the model.
        """
        if objective.writes:
            yield cls(objective, None)
            return
        with objective.placed() as leaves, guard.differentiable():
            yield cls(objective, leaves)

    def at(self, w: Tensor) -> tuple[float, Tensor]:
        """Loss and gradient at a point.

        Args:
            w: (n,) weights in the order of ``Objective.flat``.
        """
        f = self.objective
        self.spent += 1
        point = f.cut(w)
        if self.leaves is None:
            return over_data(f, lambda batch: f.slope(batch, point))
        for leaf, value in zip(self.leaves, point.values(), strict=True):
            leaf.data = value
        return over_data(f, lambda batch: slope_at(f, batch, self.leaves))

    def along(self, w: Tensor, g: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        r"""The product :math:`Hu` and the slope of :math:`u^\top Hu`.

        Args:
            w: (n,) weights.
            g: (n,) their gradient.
            u: (n,) direction.
        """
        s = REACH * (1 + float(w.norm())) / float(u.norm())
        ahead, behind = self.at(w + s * u)[1], self.at(w - s * u)[1]
        return (ahead - behind) / (2 * s), (ahead - 2 * g + behind) / s**2


def double(model: Any, loss_fn: Any, data: Any, options: dict) -> Objective:
    """An objective in float64, which differences of gradients need.

    Args:
        model: the network.
        loss_fn: the loss.
        data: the data.
        options: by keyword, as the caller got them.

    Raises:
        ValueError: an unknown option, or parameters of several types.
    """
    for name in options:
        checks.choice("option", name, OPTIONS)
    named = {"names" if k == "params" else k: v for k, v in options.items()}
    f = Objective(model, loss_fn, data, dtype="float64", **named)
    if f.mixed:
        raise ValueError(
            "differences of gradients need float64, and the parameters of "
            "this model are of several types: call double() on a copy of it"
        )
    return f
