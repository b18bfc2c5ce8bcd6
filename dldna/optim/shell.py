"""From a pure rule to a full ``torch.optim.Optimizer``."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from torch import Tensor

from dldna.optim.base_optimizer import (
    Base,
    evaluated,
    listed,
    refuse_unknown,
)
from dldna.optim.ops import off
from dldna.optim.replay import in_pieces, whole
from dldna.optim.rule import Rule


class RuleOptimizer(Base):
    """The shell around a rule: everything but the arithmetic.

    A subclass names its :attr:`rule`; its constructor's arguments are the
    rule's hyperparameters, in their order and with their defaults.
    :attr:`extras` are settings of the shell alone, or other defaults.
    ``torch.compile(optimizer.step)`` works; the compiler then fuses the
    rule. (Steps that evaluate a closure more than once, and Sophia's,
    run through the model and are better left uncompiled.)

    Args:
        params: parameters, or dicts of them with their own settings.

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

    def __init_subclass__(cls, **kwargs: Any) -> None:
        if hasattr(cls, "rule"):
            cls.__signature__ = _signature(cls.rule, cls.extras)
        super().__init_subclass__(**kwargs)

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

    def check(self, hyper: dict[str, Any]) -> None:
        """Refuse a group's settings that cannot be meant."""
        self.rule.check(hyper)

    def expected(self, p: Tensor, group: dict[str, Any]) -> dict[str, Any]:
        """The state that this optimizer keeps for a parameter."""
        with torch.no_grad():
            like = torch.empty_like(p, device="meta")
        hyper = {name: group[name] for name in self.rule.defaults}
        return {"step": 0, **self.rule.init(like, **hyper)}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Take one step.

        Args:
            closure: clears the gradients, computes the loss and its
                gradients, and returns the loss.

        Returns:
            The closure's loss, or None.
        """
        loss = evaluated(closure)
        for group in self.param_groups:
            hyper, plans = self._hyper(group), {}
            update = self.rule.update
            if group["maximize"]:
                update = _climbing(update)
            for p in group["params"]:
                if p.grad is None:
                    continue
                g, state = self.gradient(p), self._state(p, hyper)
                state["step"] += 1
                if self.rule.kind == "elementwise":
                    in_pieces(update, p, g, state, hyper, plans)
                else:
                    whole(update, p, g, state, hyper)
        return loss

    def _hyper(self, group: dict[str, Any]) -> dict[str, Any]:
        return {name: group[name] for name in self.rule.defaults}

    def _state(self, p: Tensor, hyper: dict[str, Any]) -> dict[str, Any]:
        state = self.state[p]
        late = any(
            k not in state and not off(hyper[setting])
            for k, setting in self.optional.items()
        )
        if late or not state:
            fresh = {"step": 0, **self.rule.init(p, **hyper)}
            state |= {k: v for k, v in fresh.items() if k not in state}
        return state


def _climbing(update: Callable) -> Callable:
    """The rule on the negative of the loss."""

    def climb(w: Tensor, g: Tensor, *args: Any, **hyper: Any) -> Any:
        return update(w, -g, *args, **hyper)

    return climb


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
