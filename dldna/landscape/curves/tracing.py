"""Which axes of a network's tensors hold the same units, by one run."""

from typing import Any

import torch
from torch import Tensor, nn

from dldna.landscape.curves import layer_rules  # noqa: F401, lists its rules
from dldna.landscape.curves.operations import (
    RULES,
    NotUnderstood,
    Seen,
    fresh,
    pointwise,
)
from dldna.landscape.curves.orders import fix, is_fixed
from dldna.torch_internals import TorchDispatchMode, tree_map

FILLED = {  # with one number, or soon to be written
    *("zeros", "ones", "full", "empty", "scalar_tensor", "empty_strided"),
    *("zeros_like", "ones_like", "full_like", "empty_like", "fill_"),
    *("new_zeros", "new_ones", "new_full", "new_empty", "zero_"),
    "new_empty_strided",
}
SAME = {  # each number by itself, though torch does not say so
    *("clone", "detach", "detach_", "alias", "_to_copy", "lift_fresh"),
    "_prelu_kernel",
}


class Trace(TorchDispatchMode):
    """Runs a forward and notes which orders of units depend on each other.

    Args:
        where: names of the modules whose forward is under way.
    """

    def __init__(self, where: list[str]):
        super().__init__()
        self.where, self.seen, self.kept = where, Seen(), []

    def enter(self, tensor: Tensor, fixed: bool) -> None:
        """A tensor that the forward starts from."""
        self.note(tensor, fresh(tensor.shape, fixed=fixed))

    def note(self, tensor: Tensor, axes: list | None) -> None:
        self.kept.append(tensor)  # or its id is given to another
        self.seen.axes[id(tensor)] = axes
        if axes is not None:
            self.seen.passed.append(axes)

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        tensors = [t for t in _flat((args, kwargs)) if isinstance(t, Tensor)]
        for t in tensors:
            if id(t) not in self.seen.axes:  # made outside: a constant
                self.enter(t, True)
        made = [t for t in _flat(out) if isinstance(t, Tensor)]
        made = [t for t in made if id(t) not in self.seen.axes]
        try:
            axes = self._axes(func, args, kwargs, tensors, made)
        except NotUnderstood:
            layer = self.where[-1] if self.where else ""
            raise ValueError(
                f"layer {layer!r} calls {func.overloadpacket.__name__!r}, and "
                "what that does to the order of units is not known: write a "
                "spec"
            ) from None
        for t, found in zip(made, axes, strict=True):
            self.note(t, found)
        return out

    def _axes(self, func, args, kwargs, tensors, made) -> list:
        """The axes of what an operation returned."""
        name = func.overloadpacket.__name__
        if name in FILLED:
            return [fresh(t.shape, filled=True) for t in made]
        if name in RULES:
            found = RULES[name](self.seen, *args, **kwargs)
            if found and isinstance(found[0], list):
                return found
            return [_result(found, t, k) for k, t in enumerate(made)]
        if torch.Tag.pointwise in func.tags or name in SAME:
            found = pointwise(self.seen, tensors)
            return [found for _ in made]
        if not all(is_fixed(o) for t in tensors for o in self.seen(t)):
            raise NotUnderstood
        return [fresh(t.shape, fixed=True) for t in made]


def _result(found: list, tensor: Tensor, k: int) -> list | None:
    """The axes of an operation's k-th result, from those of its first."""
    shape = list(tensor.shape)
    if k == 0:  # what convolution and pooling leave of an image is fixed
        return [*found, *fresh(shape[len(found) :], fixed=True)]
    if len(found) == len(shape):  # the same, or summed along some axes
        pairs = list(zip(found, shape, strict=True))
        if all(n in (1, o.n) for o, n in pairs):
            return [o if o.n == n else fresh([1])[0] for o, n in pairs]
    return None


def _flat(tree: Any) -> list:
    found: list = []
    tree_map(found.append, tree)
    return found


def fix_all(trace: Trace, tree: Any) -> None:
    """No unit of an output may move."""
    for t in _flat(tree):
        if isinstance(t, Tensor) and id(t) in trace.seen.axes:
            for o in trace.seen(t):
                fix(o)


def watch(model: nn.Module, where: list[str]) -> list:
    """Note in ``where`` which module's forward is under way; handles."""
    names = {id(m): name for name, m in model.named_modules()}

    def begin(module, _):
        if id(module) in names:
            where.append(names[id(module)] or type(module).__name__)

    def end(module, _, __):
        if id(module) in names:
            where.pop()

    hooks = nn.modules.module
    return [
        hooks.register_module_forward_pre_hook(begin),
        hooks.register_module_forward_hook(end),
    ]
