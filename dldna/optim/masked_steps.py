"""The cautious mask: no weight moves against its own gradient."""

import functools
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from dldna.optim.adam import AdamW
from dldna.optim.base_optimizer import OPTIMIZERS
from dldna.optim.ops import State, decay, l2
from dldna.optim.rule import RULES, Rule, stay
from dldna.optim.shell import RuleOptimizer
from dldna.optim.state_dicts import IN_TORCH


def cautious_mask(u: Tensor, g: Tensor) -> Tensor:
    r"""What to multiply a step by, so that it follows the gradient.

    .. math::
        \phi_i = \frac{d}{n + 1} \, [u_i g_i > 0], \qquad
        n = \#\{i : u_i g_i > 0\}

    for a tensor of :math:`d` weights that would move by :math:`-u`. The
    factor keeps the size of the step; the 1 keeps it finite.

    Example:
        >>> u = torch.tensor([1.0, -1.0, 2.0, 0.0])
        >>> cautious_mask(u, torch.ones(4))
        tensor([1.3333, 0.0000, 1.3333, 0.0000])
    """
    agrees = (u * g > 0).to(u.dtype)
    count = agrees.sum(dtype=torch.promote_types(u.dtype, torch.float32))
    return agrees * (u.numel() / (count + 1)).to(u.dtype)


@functools.cache
def cautious(cls: type[RuleOptimizer]) -> type[RuleOptimizer]:
    r"""A cautious twin of any optimizer that works number by number.

    Its steps are those of the optimizer times :func:`cautious_mask`.
    Decoupled weight decay is not masked; an L2 penalty belongs to the
    gradient that the mask looks at. State and settings are the same.

    Args:
        cls: a class of this package whose rule is elementwise.

    Returns:
        A class by the name of ``"Cautious"`` and the optimizer's, in the
        table of optimizers as others are.

    Raises:
        ValueError: an optimizer that looks at whole tensors, at the loss
            or at its curvature, or that evaluates at other weights.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
        >>> optimizer = cautious(AdamW)([w], lr=0.5, weight_decay=0.0)
        >>> for slope in (1.0, -0.1):  # the mean still says: down
        ...     w.grad = torch.tensor([1.0, slope])
        ...     before = w.detach().clone()
        ...     optimizer.step()
        >>> (w - before)[1].item()
        0.0

    References:
        Liang, Chen, Liu, Liu, 2024, arXiv 2411.16085. The authors' code
        divides by the share of agreeing weights, at least 0.001, instead
        of adding 1 to their number.
    """
    rule = getattr(cls, "rule", None)
    plain = rule is not None and rule.kind == "elementwise"
    plain = plain and rule.point is stay
    if not plain or cls.needs_closure or hasattr(cls, "needs_curvature"):
        raise ValueError(
            f"cautious() needs an optimizer that moves each weight by its "
            f"own gradients alone, as AdamW and Lion do, not {cls.__name__}"
        )
    name = f"Cautious{cls.__name__}"
    doc = (
        f":class:`{cls.__name__}` with the cautious mask.\n\n"
        f"    Rule and settings are those of :class:`{cls.__name__}`; see "
        f":func:`cautious`."
    )
    masked = replace(
        rule,
        name=f"cautious_{rule.name}",
        update=_masked(rule),
        kind="tensor",
    )
    RULES.setdefault(masked.name, masked)
    if cls.__name__ in IN_TORCH:  # each takes up what the other saved
        IN_TORCH[name] = IN_TORCH[cls.__name__]
    fields = {"rule": masked, "__module__": __name__, "__doc__": doc}
    return type(cls)(name, (cls,), fields)


def _masked(rule: Rule) -> Callable[..., tuple[Tensor, State]]:
    """The rule's update, its step masked and its decay apart."""
    apart = _decays_apart(rule)

    @functools.wraps(rule.update)
    def update(
        w: Tensor, g: Tensor, state: State, t: int, **given: Any
    ) -> tuple[Tensor, State]:
        hyper = {**rule.defaults, **given}
        rate = hyper.get("weight_decay", 0.0)
        if "weight_decay" in hyper:
            hyper["weight_decay"] = 0.0
        if hyper.get("decoupled_weight_decay", apart):
            w = decay(w, hyper["lr"] * rate)
        else:
            g = l2(w, g, rate)
        # Without decay a step depends on no weight: taken from 0 it is
        # exact, and no difference of two large numbers.
        moved, new = rule.update(torch.zeros_like(w), g, state, t, **hyper)
        return w + moved * cautious_mask(-moved, g), new

    update.__name__ = update.__qualname__ = f"cautious_{rule.name}"
    return update


def _decays_apart(rule: Rule) -> bool:
    """Whether weight decay leaves the state alone, and so is decoupled.

    Without a state to tell by it is taken for a penalty.
    """
    if "weight_decay" not in rule.defaults:
        return False
    w, g = torch.ones(1, device="cpu"), torch.zeros(1, device="cpu")
    state = rule.init(w, **rule.defaults)
    with_decay, without = (
        rule.update(w, g, state, 1, **{**rule.defaults, "weight_decay": d})[1]
        for d in (1.0, 0.0)
    )
    same = [torch.equal(with_decay[k], without[k]) for k in without]
    return bool(same) and all(same)


def __getattr__(name: str) -> type[RuleOptimizer]:
    """Twins made elsewhere, so that a saved one is found again."""
    base = OPTIMIZERS.get(name.removeprefix("Cautious"))
    if name.startswith("Cautious") and base is not None:
        return cautious(base)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


CautiousAdamW = cautious(AdamW)
