"""Sharpness-aware minimization: the gradient at the worst point nearby."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.shell import listed


def sam(w: Tensor, g: Tensor, norm: Tensor, *, rho: float) -> Tensor:
    r"""Where to take the gradient: :math:`w + \rho\, g / |g|_2`.

    ``norm`` is the length of the gradient over all parameters.
    """
    return w + rho * g / norm


def asam(w: Tensor, g: Tensor, norm: Tensor, *, rho: float) -> Tensor:
    r"""The same in weights scaled by their size.

    .. math::
        w + \rho \frac{T^2 g}{|T g|_2}, \qquad T = |w| + 0.01

    ``norm`` is the length of :math:`T g` over all parameters.
    """
    return w + rho * size(w) ** 2 * g / norm


def size(w: Tensor) -> Tensor:
    r""":math:`T = |w| + 0.01`, ASAM's measure of a weight's scale."""
    return w.abs() + 0.01


class SAM(torch.optim.Optimizer):
    r"""Sharpness-aware minimization around any optimizer. Rule: :func:`sam`.

    A step evaluates the closure twice, on the same batch: at the weights,
    and at the point of steepest ascent at distance ``rho``. The weights
    are put back and the base optimizer steps with the second gradient.
    Layers with running statistics see both passes.

    Args:
        params: parameters, or dicts of them with their own settings.
        base: name or class of the optimizer that takes the step.
        rho: radius :math:`\rho`.
        **hyper: the base optimizer's arguments.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer = SAM([w], lr=0.25, rho=0.5)
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (w**2).sum() / 2
        ...     loss.backward()
        ...     return loss
        >>> optimizer.step(closure).item()
        0.5
        >>> w.item()
        0.625

    References:
        Foret, Kleiner, Mobahi, Neyshabur, 2021, ICLR, arXiv 2010.01412.
    """

    needs_closure = True
    default_rho = 0.05

    def __init__(
        self,
        params: Iterable,
        base: str | type[torch.optim.Optimizer] = "SGD",
        rho: float | None = None,
        **hyper: Any,
    ) -> None:
        rho = self.default_rho if rho is None else rho
        from dldna.optim.make import make  # whose table holds this class

        params = listed(params)
        if isinstance(base, str):
            self.base = make(base, params, **hyper)
        else:
            self.base = base(params, **hyper)
        super().__init__(
            self.base.param_groups, self.base.defaults | {"rho": rho}
        )
        self.param_groups, self.state = self.base.param_groups, self.base.state

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"base": self.base}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters that came later."""
        rho = param_group.setdefault("rho", self.defaults["rho"])
        checks.nonnegative("rho", rho)
        if self.param_groups is self.base.param_groups:
            self.base.add_param_group(param_group)
        else:
            super().add_param_group(param_group)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a saved state, so that the run goes on bit by bit."""
        self.base.load_state_dict(state_dict)
        self.param_groups, self.state = self.base.param_groups, self.base.state

    def perturb(
        self, w: Tensor, g: Tensor, norm: Tensor, rho: float
    ) -> Tensor:
        """The point to take the second gradient at."""
        return sam(w, g, norm, rho=rho)

    def scaled(self, w: Tensor, g: Tensor) -> Tensor:
        """What ``norm`` is the length of."""
        return g

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: clears the gradients, computes the loss and its
                gradients, and returns the loss.

        Returns:
            The loss at the weights, from the first pass.

        Raises:
            ValueError: no closure.
        """
        evaluate = needed(closure, self)
        loss = evaluate()
        active = [
            (p, -p.grad if group.get("maximize") else p.grad, group["rho"])
            for group in self.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        norm = length([self.scaled(p, g) for p, g, _ in active])
        before = [p.clone() for p, _, _ in active]
        try:
            for p, g, rho in active:
                there = self.perturb(p, g, norm, rho)
                p.copy_(torch.where(norm > 0, there, p))
            evaluate()
        finally:
            for (p, _, _), kept in zip(active, before, strict=True):
                p.copy_(kept)
        self.base.step()
        return loss


class ASAM(SAM):
    r"""Adaptive SAM: a radius in units of the weights. Rule: :func:`asam`.

    Args:
        params: parameters, or dicts of them with their own settings.
        base: name or class of the optimizer that takes the step.
        rho: radius :math:`\rho`, 0.5 by default.
        **hyper: the base optimizer's arguments.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> ASAM([w], lr=0.25).param_groups[0]["rho"]
        0.5

    References:
        Kwon, Kim, Park, Choi, 2021, ICML, arXiv 2102.11600.
    """

    default_rho = 0.5

    def perturb(
        self, w: Tensor, g: Tensor, norm: Tensor, rho: float
    ) -> Tensor:
        """The point to take the second gradient at."""
        return asam(w, g, norm, rho=rho)

    def scaled(self, w: Tensor, g: Tensor) -> Tensor:
        """What ``norm`` is the length of."""
        return size(w) * g


def needed(
    closure: Callable[[], Any] | None, owner: torch.optim.Optimizer
) -> Callable[[], Any]:
    """The closure with gradients on, or an error that explains it."""
    if closure is None:
        raise ValueError(
            f"{type(owner).__name__} evaluates the loss more than once a "
            "step: call step(closure), where closure() clears the "
            "gradients, computes the loss, calls backward and returns it"
        )
    return torch.enable_grad()(closure)


def length(tensors: list[Tensor]) -> Tensor:
    """Euclidean length over all tensors.

    Example:
        >>> length([torch.tensor([3.0]), torch.tensor([4.0])])
        tensor(5.)
    """
    return torch.stack([x.norm() for x in tensors]).norm()
