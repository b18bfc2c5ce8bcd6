"""The promise that the user's model and random state stay as they were."""

import copy
import operator
import random
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import nn


@contextmanager
def untouched(*models: nn.Module) -> Iterator[None]:
    """Put models and all global random states back, whatever happens.

    Parameters, buffers, gradients, ``requires_grad``, the attributes of
    every submodule (its train or eval mode among them; lists, dicts, sets,
    arrays and generators hold what they held), and the random states of
    Python, NumPy and torch (CPU and CUDA) are bit-identical afterwards,
    also after an exception or Ctrl-C. Buffers and parameters keep their
    identity: the old values are copied back into the same tensors.

    Values are copied back only where their bits differ, so that a graph
    that autograd still needs stays valid. Writes through ``.data``, which
    no version counter sees, are found as well.

    Args:
        *models: the modules to watch.

    Example:
        >>> layer = nn.BatchNorm1d(2)
        >>> with untouched(layer):
        ...     _ = layer.train()(torch.randn(8, 2))
        >>> layer.running_mean
        tensor([0., 0.])
    """
    python, numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
    cpu = torch.random.get_rng_state()
    cuda = torch.cuda.get_rng_state_all() if _cuda_in_use() else []
    kept = [_Kept(model) for model in models]
    try:
        yield
    finally:
        for state in kept:
            state.put_back()
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.random.set_rng_state(cpu)
        if cuda:
            torch.cuda.set_rng_state_all(cuda)


@contextmanager
def differentiable() -> Iterator[None]:
    """Gradients are on, whatever the caller has switched off around it.

    Example:
        >>> with torch.no_grad(), differentiable():
        ...     torch.is_grad_enabled()
        True
    """
    with torch.inference_mode(False), torch.enable_grad():
        yield


def copy_of(model: nn.Module) -> nn.Module:
    """A deep copy, also of a model that keeps results of its forward.

    Activations and weights that were computed (of the older weight norm)
    have a history, which ``copy.deepcopy`` refuses; the copy has them
    without it.

    Args:
        model: any module.

    Example:
        >>> net = nn.ReLU()
        >>> net.seen = net(torch.ones(2, requires_grad=True))
        >>> copy_of(net).seen
        tensor([1., 1.])
    """
    memo = {}
    for module in model.modules():
        for value in vars(module).values():
            if isinstance(value, torch.Tensor) and value.grad_fn is not None:
                memo[id(value)] = value.detach().clone()
    return copy.deepcopy(model, memo)


def _cuda_in_use() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()


class _Kept:
    """One model's state as it was."""

    def __init__(self, model: nn.Module, seen: set[int] | None = None):
        modules = list(model.modules())
        self.attributes = [_Attributes(m, deep=True) for m in modules]
        known = {*(seen or ()), *map(id, modules)}
        self.hidden = _hidden(self.attributes, known)
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

    def put_back(self) -> None:
        with torch.no_grad():
            for attributes in self.attributes:
                attributes.put_back()
            for hidden in self.hidden:
                hidden.put_back()
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
                if p.data_ptr() != home.data_ptr():
                    p.data = home
                if not same_bits(p, value):
                    p.copy_(value)
                p.requires_grad_(needs)
                p.grad = grad
                if grad is not None:
                    grad.copy_(old)


def _hidden(attributes: "list[_Attributes]", seen: set[int]) -> list[_Kept]:
    """Modules that stand in plain lists and the like."""
    return [
        _Kept(module, seen)
        for each in attributes
        for module in each.modules
        if id(module) not in seen
    ]


@contextmanager
def attributes_kept(model: nn.Module, deep: bool = False) -> Iterator[None]:
    """Put back what a forward writes into its modules beside tensors' bits.

    Modes, counters, lists that grow, activations that are kept: each
    attribute is the same object afterwards, and lists, dicts and sets hold
    what they held; the same tensors are the buffers, whatever stands in
    them. Parameters and submodules are not looked at.

    Args:
        model: the module to watch, with all modules inside.
        deep: also what :func:`keeps_inside` looks for.

    Example:
        >>> layer = nn.ReLU()
        >>> layer.seen = []
        >>> with attributes_kept(layer):
        ...     layer.seen.append(1)
        ...     layer.training = False
        >>> layer.seen, layer.training
        ([], True)
    """
    modules = list(model.modules())
    kept: list = [_Attributes(module, deep) for module in modules]
    slots = [(m._buffers, dict(m._buffers)) for m in modules]
    kept += _hidden(kept, {*map(id, modules)})
    try:
        yield
    finally:
        for each in kept:
            each.put_back()
        for home, before in slots:
            home.clear()
            home.update(before)


def keeps_inside(model: nn.Module) -> bool:
    """Whether a forward could write where only a deep look finds it.

    Tensors that are neither parameters nor buffers, arrays, generators,
    containers inside containers, and modules in plain lists.

    Args:
        model: any module.

    Example:
        >>> net = nn.ReLU()
        >>> keeps_inside(net)
        False
        >>> net.counts = torch.zeros(3)
        >>> keeps_inside(net)
        True
    """
    for module in model.modules():
        found = _Attributes(module, deep=True)
        top = sum(
            isinstance(v, (list, dict, set)) for v in found.before.values()
        )
        if found.numbers or found.modules or len(found.contents) > top:
            return True
    return False


_TENSORS = ("_parameters", "_buffers", "_modules")


class _Attributes:
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


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors are equal bit by bit, NaN included."""
    try:
        whole = _WHOLE.get(a.element_size(), a.dtype)
        return torch.equal(a.detach().view(whole), b.view(whole))
    except (RuntimeError, NotImplementedError):  # sparse, without storage
        return False
