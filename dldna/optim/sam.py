"""Sharpness-aware minimization: the gradient at the worst point nearby."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from dldna import checks
from dldna.optim import state_dicts
from dldna.optim.base_optimizer import Base, LossStepper, listed
from dldna.optim.ops import wide


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


class SAM(LossStepper):
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

    With a gradient scaler take :func:`dldna.optim.scaled_step`.

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
        from dldna.optim.registry import find  # whose table holds this class

        rho = self.default_rho if rho is None else rho
        groups = listed(params)
        if not isinstance(groups[0], dict):
            groups = [{"params": groups}]
        radii = [_radius(group, rho) for group in groups]
        groups = [
            {k: group[k] for k in group if k != "rho"} for group in groups
        ]
        if isinstance(base, str):
            self.base = find(base).build(groups, **hyper)
        else:
            self.base = base(groups, **hyper)
        for group, radius in zip(self.base.param_groups, radii, strict=True):
            group["rho"] = radius
        defaults = self.base.defaults | {"rho": rho}
        super().__init__(self.base.param_groups, defaults)
        self._share()

    def _share(self) -> None:
        self.param_groups, self.state = self.base.param_groups, self.base.state

    def __getstate__(self) -> dict[str, Any]:
        return super().__getstate__() | {"base": self.base}

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters that came later."""
        if self.param_groups is not self.base.param_groups:  # at the start
            torch.optim.Optimizer.add_param_group(self, param_group)
            return
        radius = _radius(param_group, self.defaults["rho"])
        rest = {k: v for k, v in param_group.items() if k != "rho"}
        self.base.add_param_group(rest)
        self.param_groups[-1]["rho"] = radius

    def state_dict(self) -> dict[str, Any]:
        """The base optimizer's state, with ``rho`` in its groups."""
        found = super().state_dict()
        name = type(self.base).__name__
        if isinstance(self.base, Base):
            found["state"] = state_dicts.outward(name, found["state"])
        return found

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a saved state, so that the run goes on bit by bit.

        Args:
            state_dict: what :meth:`state_dict` gave; or the state of the
                base optimizer alone, which has no ``rho``.

        Raises:
            ValueError: another optimizer saved it; nothing is changed.
        """

        def before(_: Any, given: dict[str, Any]) -> dict[str, Any]:
            self.base.load_state_dict(given)
            for group in self.base.param_groups:
                group.setdefault("rho", self.defaults["rho"])
            return {**given, "state": {}}

        def after(_: Any) -> None:
            self._share()

        first = self.register_load_state_dict_pre_hook(before)
        last = self.register_load_state_dict_post_hook(after, prepend=True)
        try:
            torch.optim.Optimizer.load_state_dict(self, state_dict)
        finally:
            first.remove()
            last.remove()

    def perturb(
        self, w: Tensor, g: Tensor, norm: Tensor, rho: float
    ) -> Tensor:
        """The point to take the second gradient at."""
        return sam(w, g, norm, rho=rho)

    def scaled(self, w: Tensor, g: Tensor) -> Tensor:
        """What ``norm`` is the length of."""
        return g

    def _step_by(self, evaluate: Callable[[], Any]) -> Any:
        """Take one step; the loss at the weights."""
        loss = evaluate()
        active = [
            (p, -p.grad if group.get("maximize") else p.grad, group["rho"])
            for group in self.param_groups
            for p in group["params"]
            if p.grad is not None
        ]
        if not active:
            return loss
        norm = length([self.scaled(p, g) for p, g, _ in active])
        before = [p.clone() for p, _, _ in active]
        try:
            for p, g, rho in active:
                n = norm.to(p.device)
                p.copy_(torch.where(n > 0, self.perturb(p, g, n, rho), p))
            evaluate()
        finally:
            for (p, _, _), kept in zip(active, before, strict=True):
                p.copy_(kept)
        # The base's own step, without the hooks that this one has run.
        step = type(self.base).step
        getattr(step, "__wrapped__", step)(self.base)
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


def _radius(group: dict[str, Any], rho: float) -> float:
    """A group's own radius, or the one of all."""
    return checks.nonnegative("rho", group.get("rho", rho))


def length(tensors: list[Tensor]) -> Tensor:
    """Euclidean length over all tensors, on the first one's device.

    Example:
        >>> length([torch.tensor([3.0]), torch.tensor([4.0])])
        tensor(5.)
    """
    each = [wide(x).norm().to(tensors[0].device) for x in tensors]
    return torch.stack(each).norm()
