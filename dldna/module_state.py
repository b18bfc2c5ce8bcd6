"""What a module was like, so that it can be put back."""

import operator
import random
from collections import deque
from collections.abc import Callable
from functools import partial
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import nn


class KeptModule:
    """One model's state as it was."""

    def __init__(self, model: nn.Module, seen: set[int] | None = None):
        self.modules = modules = list(model.modules())
        self.attributes = [KeptAttributes(m, deep=True) for m in modules]
        known = {*(seen or ()), *map(id, modules)}
        self.hidden = hidden_modules(self.attributes, known)
        self.buffers = [
            (m, name, buffer, None if buffer is None else buffer.clone())
            for m in modules
            for name, buffer in m._buffers.items()
        ]
        self.slots = [
            (m, name, p) for m in modules for name, p in m._parameters.items()
        ]
        self.params = [
            (p, p.data, p.detach().clone(), p.requires_grad, p.grad)
            for p in model.parameters()
        ]
        self.grads = [
            None if p.grad is None else p.grad.clone()
            for p in model.parameters()
        ]

    def weights(self, model: nn.Module) -> dict[str, torch.Tensor]:
        """The copies of a model's parameters, by name; not to be written."""
        values = {id(p): value for p, _, value, *_ in self.params}
        return {
            name: values[id(p)]
            for name, p in model.named_parameters()
            if p.is_floating_point() or p.is_complex()
        }

    def put_back(self) -> None:
        with torch.no_grad():
            for attributes in self.attributes:
                attributes.put_back()
            for hidden in self.hidden:
                hidden.put_back()
            self._forget_new()
            for module, name, buffer, value in self.buffers:
                module._buffers[name] = buffer
                if buffer is not None:
                    _write(buffer, value)
            for module, name, p in self.slots:
                if module._parameters.get(name) is not p:
                    module._parameters[name] = p
            for (p, home, value, needs, grad), old in zip(
                self.params, self.grads, strict=True
            ):
                if not same_place(p, home):
                    p.data = home
                if not same_bits(p, value):
                    p.copy_(value)
                p.requires_grad_(needs)
                p.grad = grad
                if grad is not None:
                    grad.copy_(old)

    def _forget_new(self) -> None:
        """Drop buffers and parameters that were registered meanwhile."""
        known: dict[nn.Module, set[str]] = {}
        for module, name, *_ in (*self.buffers, *self.slots):
            known.setdefault(module, set()).add(name)
        for module in self.modules:
            for home in (module._buffers, module._parameters):
                for name in home.keys() - known.get(module, set()):
                    del home[name]


def hidden_modules(
    attributes: "list[KeptAttributes]", seen: set[int]
) -> list[KeptModule]:
    """Modules that stand in plain lists and the like."""
    return [
        KeptModule(module, seen)
        for each in attributes
        for module in each.modules
        if id(module) not in seen
    ]


class AllAttributes:
    """The attributes of a model's modules as they were, but for its tensors.

    Putting them back is cheap where nothing has changed: all is looked at
    in a few passes, whatever the number of modules.

    Args:
        model: the module to watch, with all modules inside.
        deep: see :class:`KeptAttributes`.
    """

    def __init__(self, model: nn.Module, deep: bool = False):
        modules = list(model.modules())
        self.kept: list = [KeptAttributes(m, deep) for m in modules]
        self.slots = [(m._buffers, dict(m._buffers)) for m in modules]
        self.kept += hidden_modules(self.kept, {*map(id, modules)})
        watched = []
        for each in self.kept:
            if isinstance(each, KeptAttributes) and not each.numbers:
                watched += [each.home, *(c for c, _ in each.contents)]
        self.watched = [c for c in watched if c]
        self.empty = [c for c in watched if not c]
        self.empty += [home for home, before in self.slots if not before]
        self.slots = [slot for slot in self.slots if slot[1]]
        self.rest = [
            each
            for each in self.kept
            if not isinstance(each, KeptAttributes) or each.numbers
        ]
        self.tables = [c for c in self.watched if isinstance(c, dict)]
        self.before = self._now()
        self.often: list[KeptAttributes] = []

    def _now(self) -> tuple[list, list]:
        """Lengths, and all keys and values, of what is watched."""
        inside = list(chain.from_iterable(self.watched))
        inside += chain.from_iterable(map(dict.values, self.tables))
        return list(map(len, self.watched)), inside

    def unchanged(self) -> bool:
        """Whether all that is watched is as it was."""
        lengths, inside = self._now()
        return lengths == self.before[0] and all(
            map(operator.is_, inside, self.before[1])
        )

    def put_back(self) -> None:
        for home, before in self.slots:
            home.clear()
            home.update(before)
        if any(self.empty):
            for container in self.empty:
                container.clear()
        for each in self.often:
            each.put_back()
        for each in self.rest if self.unchanged() else self._found():
            each.put_back()

    def _found(self) -> list:
        """The modules that changed, which are tried first from now on."""
        known = {id(each) for each in self.rest}
        own = [each for each in self.kept if id(each) not in known]
        changed = [each for each in own if each.changed()]
        self.often += changed
        return changed + self.rest


_TENSORS = ("_parameters", "_buffers", "_modules")


class KeptAttributes:
    """One module's attributes as they were, but for its tensors.

    Args:
        module: the module; those inside it are not looked at.
        deep: also what is in containers inside containers, the numbers of
            arrays and of tensors that are neither parameter nor buffer,
            and the states of generators.
    """

    def __init__(self, module: nn.Module, deep: bool = False):
        self.home = vars(module)
        self.before = {k: v for k, v in self.home.items() if k not in _TENSORS}
        self.contents = [
            (v, v.copy())
            for v in self.before.values()
            if isinstance(v, (list, dict, set))
        ]
        self.numbers: list[Callable[[], None]] = []
        self.modules: list[nn.Module] = []
        if deep:
            seen = {id(v) for v, _ in self.contents}
            for name, value in self.before.items():
                if not name.startswith("_"):
                    self._look(value, seen)

    def _look(self, value: Any, seen: set[int]) -> None:
        inner = isinstance(value, (list, dict, set, tuple, deque))
        if inner and not isinstance(value, tuple) and id(value) not in seen:
            self.contents.append((value, value.copy()))
        if inner:
            seen.add(id(value))
            for item in value.values() if isinstance(value, dict) else value:
                if id(item) not in seen:
                    self._look(item, seen)
        elif isinstance(value, nn.Module):
            self.modules.append(value)
        elif isinstance(value, torch.Tensor):
            if value.layout == torch.strided and value.is_leaf:
                self.numbers.append(partial(_write, value, value.clone()))
        elif isinstance(value, np.ndarray):
            self.numbers.append(partial(np.copyto, value, value.copy()))
        elif isinstance(value, torch.Generator):
            self.numbers.append(partial(value.set_state, value.get_state()))
        elif isinstance(value, random.Random):
            self.numbers.append(partial(value.setstate, value.getstate()))
        elif isinstance(value, np.random.Generator):
            bits = value.bit_generator
            self.numbers.append(partial(setattr, bits, "state", bits.state))

    def changed(self) -> bool:
        """Whether an attribute, or what is in one, is another."""
        own = {k: v for k, v in self.home.items() if k not in _TENSORS}
        return not _same_content(own, self.before) or not all(
            _same_content(*pair) for pair in self.contents
        )

    def put_back(self) -> None:
        for name in [k for k in self.home if k not in _TENSORS]:
            if name not in self.before:
                del self.home[name]
        self.home.update(self.before)
        for container, content in self.contents:
            if _same_content(container, content):
                continue
            container.clear()
            add = getattr(container, "extend", None) or container.update
            add(content)
        for put in self.numbers:
            put()


def _write(tensor: torch.Tensor, value: torch.Tensor) -> None:
    if not same_bits(tensor, value):
        with torch.no_grad():
            tensor.data.copy_(value)


def _same_content(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        a, b = [*a.keys(), *a.values()], [*b.keys(), *b.values()]
    return len(a) == len(b) and all(map(operator.is_, a, b))


_WHOLE = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


def same_place(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors show the same memory as the same numbers.

    Tensors without entries all begin at 0, whatever their type.
    """
    return (a.data_ptr(), a.dtype, a.shape, a.stride()) == (
        b.data_ptr(), b.dtype, b.shape, b.stride(),
    )  # fmt: skip


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors are equal bit by bit, NaN included."""
    try:
        whole = _WHOLE.get(a.element_size(), a.dtype)
        return torch.equal(a.detach().view(whole), b.view(whole))
    except (RuntimeError, NotImplementedError):  # sparse, without storage
        return False
