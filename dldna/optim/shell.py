"""From a pure rule to a full ``torch.optim.Optimizer``."""

import inspect
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor

from dldna import checks
from dldna.optim.replay import in_pieces, whole
from dldna.optim.rule import Rule


class RuleOptimizer(torch.optim.Optimizer):
    """The shell around a rule: everything but the arithmetic.

    A subclass names its :attr:`rule`; its constructor's arguments are the
    rule's hyperparameters, in their order and with their defaults.
    :attr:`extras` are settings of the shell alone, or other defaults.
    ``torch.compile(optimizer.step)`` works; the compiler then fuses the
    rule. (Steps that evaluate a closure more than once, and Sophia's,
    run through the model and are better left uncompiled.)

    Args:
        params: parameters, or dicts of them with their own settings.
        maximize: climb instead of descending.

    Raises:
        ValueError: no parameters, or a hyperparameter out of range.
        TypeError: unknown keyword, complex or integer parameters.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> RuleOptimizer([w])
        Traceback (most recent call last):
        ...
        TypeError: RuleOptimizer has no rule: use one of its subclasses
    """

    rule: ClassVar[Rule]
    extras: ClassVar[dict[str, Any]] = {}
    needs_closure: ClassVar[bool] = False

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if hasattr(cls, "rule"):
            cls.__signature__ = _signature(cls.rule, cls.extras)

    def __init__(self, params: Iterable, *args: Any, **hyper: Any) -> None:
        if not hasattr(self, "rule"):
            raise TypeError(
                f"{type(self).__name__} has no rule: use one of its subclasses"
            )
        known = [*self.rule.defaults, *self.extras, "maximize"]
        refuse_unknown(type(self).__name__, hyper, known)
        given = type(self).__signature__.bind(params, *args, **hyper)
        given.apply_defaults()
        defaults = dict(given.arguments)
        super().__init__(listed(defaults.pop("params")), defaults)

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add parameters that came later, checked like the first ones."""
        merged = self.defaults | param_group
        self.check({k: v for k, v in merged.items() if k != "params"})
        super().add_param_group(param_group)
        for p in self.param_groups[-1]["params"]:
            if not p.is_floating_point():
                self.param_groups.pop()
                raise TypeError(
                    f"{type(self).__name__} needs real floating-point "
                    f"parameters, got {p.dtype}: pass "
                    "torch.view_as_real(p) for complex ones"
                )

    def check(self, hyper: dict[str, Any]) -> None:
        """Refuse a group's settings that cannot be meant."""
        self.rule.check(hyper)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: clears the gradients, computes the loss and its
                gradients, and returns the loss.

        Returns:
            The closure's loss, or None.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            hyper, plans = self._hyper(group), {}
            update = self.rule.update
            if group["maximize"]:
                update = _climbing(update)
            for p in group["params"]:
                if p.grad is None:
                    continue
                g, state = self._gradient(p), self._state(p, hyper)
                state["step"] += 1
                if self.rule.kind == "elementwise":
                    in_pieces(update, p, g, state, hyper, plans)
                else:
                    whole(update, p, g, state, hyper)
        return loss

    def _hyper(self, group: dict[str, Any]) -> dict[str, Any]:
        return {name: group[name] for name in self.rule.defaults}

    def _gradient(self, p: Tensor) -> Tensor:
        if p.grad.layout != torch.strided:
            raise RuntimeError(
                f"{type(self).__name__} does not support sparse gradients: "
                "use sparse=False in the embedding, or p.grad.to_dense()"
            )
        return p.grad

    def _state(self, p: Tensor, hyper: dict[str, Any]) -> dict[str, Any]:
        state = self.state[p]
        if not state:
            state["step"] = 0
            state |= self.rule.init(p, **hyper)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a saved state, so that the run goes on bit by bit.

        torch casts saved state to the parameter's type; here a state
        tensor keeps the type it was saved with.
        """
        super().load_state_dict(state_dict)
        saved = chain(*(g["params"] for g in state_dict["param_groups"]))
        mine = chain(*(g["params"] for g in self.param_groups))
        for key, p in zip(saved, mine, strict=True):
            for name, value in state_dict["state"].get(key, {}).items():
                if isinstance(value, Tensor) and value.dtype != p.dtype:
                    self.state[p][name] = value.to(p.device, copy=True)


def _climbing(update: Callable) -> Callable:
    """The rule on the negative of the loss."""

    def climb(w: Tensor, g: Tensor, *args: Any, **hyper: Any) -> Any:
        return update(w, -g, *args, **hyper)

    return climb


class NetworkOptimizer(RuleOptimizer):
    """The shell of a rule that looks at all weights as one vector.

    The weights, gradients and state of all parameters are joined for the
    step, which takes as much memory again as they do.
    """

    own = "weight_decay"

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step; see :meth:`RuleOptimizer.step`.

        Raises:
            ValueError: groups differ in what the network has only once.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        hyper, parts = self._joint_hyper(), []
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    g = self._gradient(p)
                    g = -g if group["maximize"] else g
                    state = self._state(p, self._hyper(group))
                    parts.append((p, g, state, group[self.own]))
        if parts:
            self._update_all(parts, hyper)
        return loss

    def _joint_hyper(self) -> dict[str, Any]:
        first = self._hyper(self.param_groups[0])
        for group in self.param_groups[1:]:
            for name in first:
                if name != self.own and group[name] != first[name]:
                    raise ValueError(
                        f"{type(self).__name__} estimates one rate for the "
                        f"whole network: {name} must be the same in all "
                        f"groups, not {first[name]} and {group[name]}"
                    )
        return first

    def _update_all(self, parts: list[tuple], hyper: dict[str, Any]) -> None:
        params, gradients, states, owns = zip(*parts, strict=True)
        if len(set(owns)) > 1:
            each = zip(params, owns, strict=True)
            hyper[self.own] = _joined([torch.full_like(p, o) for p, o in each])
        probe = self.rule.init(params[0].new_zeros(2), **hyper)
        full = [k for k, v in probe.items() if v.shape == (2,)]
        scalars = {
            k: v for k, v in states[0].items() if k not in full and k != "step"
        }
        joint = {k: _joined([s[k] for s in states]) for k in full} | scalars
        t = max(s["step"] for s in states) + 1
        w, new = self.rule.update(
            _joined(params), _joined(gradients), joint, t, **hyper
        )
        sizes = [p.numel() for p in params]
        for k in full:
            for s, piece in zip(states, new[k].split(sizes), strict=True):
                s[k].copy_(piece.view_as(s[k]))
        for s in states:
            s["step"] = t
            for k in scalars:
                s[k] = new[k].clone()
        for p, piece in zip(params, w.split(sizes), strict=True):
            p.copy_(piece.view_as(p))


def _joined(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([x.reshape(-1) for x in tensors])


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


def refuse_unknown(owner: str, hyper: Iterable[str], known: list) -> None:
    """Meet an unknown keyword with the nearest known one."""
    for name in hyper:
        try:
            checks.choice(f"argument of {owner}", name, known)
        except ValueError as error:
            raise TypeError(str(error)) from None


def _signature(rule: Rule, extras: dict[str, Any]) -> inspect.Signature:
    """The constructor's: ``params``, the rule's keywords, the extras."""
    kind = inspect.Parameter
    hyper = {
        p.name: p.replace(
            kind=p.POSITIONAL_OR_KEYWORD,
            default=extras.get(p.name, p.default),
        )
        for p in inspect.signature(rule.update).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }
    first = kind("params", kind.POSITIONAL_OR_KEYWORD, annotation=Iterable)
    more = {k: v for k, v in extras.items() if k not in hyper}
    last = [
        kind(name, kind.KEYWORD_ONLY, default=v, annotation=type(v))
        for name, v in (more | {"maximize": False}).items()
    ]
    return inspect.Signature([first, *hyper.values(), *last])
