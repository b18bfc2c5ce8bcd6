"""What every optimizer of this package does beside its arithmetic."""

import difflib
import inspect
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from dldna import checks
from dldna.optim import state_dicts

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {}
"""Every optimizer of this package by its class name."""

MISNOMERS = {
    "learning_rate": "lr",
    "wd": "weight_decay",
    "decay": "weight_decay",
    "beta1": "betas",
    "beta2": "betas",
    "beta": "betas",
}
"""Other packages' names of settings."""


class Base(torch.optim.Optimizer):
    """Groups that are checked, states that are taken up or refused.

    A class whose name begins with a letter enters :data:`OPTIMIZERS` where
    it is defined.

    Attributes:
        needs_closure: whether a step evaluates the loss itself.
        once: settings that the whole network has only once.
        optional: state tensors that come and go with a setting, by name.
    """

    needs_closure: ClassVar[bool] = False
    once: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.needs_closure or hasattr(cls, "rule"):
            rest = {"params", "base", "hyper", "unknown"}
            names = inspect.signature(cls).parameters.keys() - rest
            state_dicts.SETTINGS.update(names)
            if not cls.__name__.startswith("_"):
                OPTIMIZERS.setdefault(cls.__name__, cls)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters that came later, checked like the first ones."""
        if not isinstance(param_group, dict):
            raise TypeError(
                "a group must be a dict with its parameters under 'params', "
                f"not {type(param_group).__name__}"
            )
        for name in param_group.keys() - {"params", *self.defaults}:
            self._label(name)
        for name in self.once:
            if self.param_groups:
                param_group.setdefault(name, self.param_groups[0][name])
        merged = self.defaults | param_group
        self.check({k: merged[k] for k in self.defaults})
        super().add_param_group(param_group)
        try:
            self.check_together(self.param_groups)
            for p in self.param_groups[-1]["params"]:
                self.check_parameter(p, self.param_groups[-1])
        except (TypeError, ValueError):
            self.param_groups.pop()
            raise

    def _label(self, name: str) -> None:
        """Refuse a group's key that is meant for a setting and is none."""
        near = difflib.get_close_matches(name, self.defaults, 1, 0.8)
        near = near or [MISNOMERS.get(name, "")]
        if near[0] or name in state_dicts.SETTINGS:
            hint = f"did you mean {near[0]!r}? " if near[0] else ""
            raise TypeError(
                f"unknown setting {name!r} in a group of "
                f"{type(self).__name__}: {hint}Known: "
                f"{', '.join(sorted(self.defaults))}"
            )

    def check(self, hyper: dict[str, Any]) -> None:
        """Refuse a group's settings that cannot be meant."""

    def check_together(self, groups: list[dict[str, Any]]) -> None:
        """Refuse groups that differ in what the network has only once."""
        for group in groups[1:]:
            for name in self.once:
                if group[name] != groups[0][name]:
                    raise ValueError(
                        f"{type(self).__name__} has one {name} for the whole "
                        f"network: {name} must be the same in all groups, "
                        f"not {groups[0][name]} and {group[name]}"
                    )

    def check_parameter(self, p: Tensor, group: dict[str, Any]) -> None:
        """Refuse a tensor that cannot be moved."""
        if not p.is_floating_point():
            raise TypeError(
                f"{type(self).__name__} needs real floating-point "
                f"parameters, got {p.dtype}: pass torch.view_as_real(p) "
                "for complex ones"
            )

    def expected(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state that this optimizer keeps for a parameter."""
        raise NotImplementedError

    def state_dict(self) -> dict[str, Any]:
        """The state, under torch's names where torch has this optimizer."""
        found = super().state_dict()
        state = state_dicts.outward(type(self).__name__, found["state"])
        return {**found, "state": state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a saved state, so that the run goes on bit by bit.

        The state may come from ``torch.optim``'s optimizer of the same
        name. Settings that it lacks keep this optimizer's own values.

        Args:
            state_dict: what :meth:`state_dict` gave.

        Raises:
            ValueError: it was saved by another optimizer, or for other
                parameters; nothing is changed.
        """
        found: dict[Tensor, dict] = {}

        def before(_: Any, given: dict[str, Any]) -> dict[str, Any]:
            rest, state = state_dicts.adapted(self, given)
            found.update(state)
            return rest

        def after(_: Any) -> None:
            self.state = defaultdict(dict, {**self.state, **found})

        first = self.register_load_state_dict_pre_hook(before)
        last = self.register_load_state_dict_post_hook(after, prepend=True)
        try:
            super().load_state_dict(state_dict)
        finally:
            first.remove()
            last.remove()

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        for group in self.param_groups:
            for name, value in self.defaults.items():
                group.setdefault(name, value)

    def gradient(self, p: Tensor) -> Tensor:
        """A parameter's gradient; refuses a sparse one."""
        if p.grad.layout != torch.strided:
            raise RuntimeError(
                f"{type(self).__name__} does not support sparse gradients: "
                "use sparse=False in the embedding, or p.grad.to_dense()"
            )
        return p.grad

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """Have a GradScaler call the step, which then explains itself."""
        return self.needs_closure


class LossStepper(Base):
    """What steps by evaluating the loss itself, more than once."""

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: clears the gradients, computes the loss and its
                gradients, and returns the loss.

        Returns:
            The loss at the weights.

        Raises:
            ValueError: no closure.
        """
        return self._step_by(self._needed(closure))

    def _step_by(self, evaluate: Callable[[], Any]) -> Any:
        """Take one step by the closure with gradients on; give its loss."""
        raise NotImplementedError

    def _needed(self, closure: Callable[[], Any] | None) -> Callable[[], Any]:
        """The closure with gradients on, or an error that explains it."""
        owner = type(self).__name__
        if hasattr(self, "grad_scale"):  # as a GradScaler leaves it
            del self.grad_scale, self.found_inf
            raise RuntimeError(
                f"{owner} evaluates the loss itself, so a GradScaler cannot "
                "unscale the gradients before the step: call "
                "dldna.optim.scaled_step(optimizer, loss, scaler)"
            )
        if closure is None:
            raise ValueError(
                f"{owner} evaluates the loss more than once a "
                "step: call step(closure), where closure() clears the "
                "gradients, computes the loss, calls backward and returns it"
            )
        return torch.enable_grad()(closure)


def listed(params: Any) -> list:
    """Refuse an empty list of parameters before torch sees it."""
    if isinstance(params, Tensor):
        raise TypeError(
            "params must be a list of tensors or of dicts, not one tensor: "
            "write [w]"
        )
    params = list(params)
    if not params:
        raise ValueError(
            "no parameters to optimize: pass model.parameters() afresh (a "
            "generator is empty after its first use)"
        )
    return params


def evaluated(closure: Callable[[], Any] | None) -> Any:
    """The closure's loss, its gradients on; None where there is none."""
    if closure is None:
        return None
    with torch.enable_grad():
        return closure()


def refuse_unknown(owner: str, hyper: Iterable[str], known: list) -> None:
    """Meet an unknown keyword with the nearest known one."""
    for name in hyper:
        try:
            checks.choice(f"argument of {owner}", name, known)
        except ValueError as error:
            raise TypeError(str(error)) from None
