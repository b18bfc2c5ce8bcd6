"""The promise that the user's model and random state stay as they were."""

import copy
import operator
import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def untouched(*models: nn.Module) -> Iterator[None]:
    """Put models and all global random states back, whatever happens.

    Parameters, buffers, gradients, ``requires_grad``, the attributes of
    every submodule (its train or eval mode among them; lists, dicts and
    sets hold what they held), and the random states of Python, NumPy and
    torch (CPU and CUDA) are bit-identical afterwards, also after an
    exception or Ctrl-C. Buffers and parameters keep their identity: the
    old values are copied back into the same tensors.

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

    def __init__(self, model: nn.Module):
        modules = list(model.modules())
        self.attributes = [_Attributes(m) for m in modules]
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
            for module, name, buffer, value in self.buffers:
                module._buffers[name] = buffer
                if buffer is not None:
                    buffer.copy_(value)
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


@contextmanager
def attributes_kept(model: nn.Module) -> Iterator[None]:
    """Put back what a forward writes into its modules beside tensors' bits.

    Modes, counters, lists that grow, activations that are kept: each
    attribute is the same object afterwards, and lists, dicts and sets hold
    what they held; the same tensors are the buffers, whatever stands in
    them. Parameters and submodules are not looked at.

    Args:
        model: the module to watch, with all modules inside.

    Example:
        >>> layer = nn.ReLU()
        >>> layer.seen = []
        >>> with attributes_kept(layer):
        ...     layer.seen.append(1)
        ...     layer.training = False
        >>> layer.seen, layer.training
        ([], True)
    """
    kept = [_Attributes(module) for module in model.modules()]
    slots = [(m._buffers, dict(m._buffers)) for m in model.modules()]
    try:
        yield
    finally:
        for attributes in kept:
            attributes.put_back()
        for home, before in slots:
            home.clear()
            home.update(before)


_TENSORS = ("_parameters", "_buffers", "_modules")


class _Attributes:
    """One module's attributes as they were, but for its tensors."""

    def __init__(self, module: nn.Module):
        self.home = vars(module)
        self.before = {k: v for k, v in self.home.items() if k not in _TENSORS}
        self.contents = [
            (v, v.copy())
            for v in self.before.values()
            if isinstance(v, (list, dict, set))
        ]

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


def _same_content(a: list | dict | set, b: list | dict | set) -> bool:
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
