"""The promise that the user's model and random state stay as they were."""

import copy
import random
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np
import torch
from torch import nn

from dldna.module_state import (
    AllAttributes,
    KeptAttributes,
    KeptModule,
    hidden_modules,
)
from dldna.torch_internals import fresh_weights


@contextmanager
def untouched(
    *models: nn.Module, trains: bool = False
) -> Iterator[list[KeptModule]]:
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

    Inside, what the caller has set around it has no say (:func:`alone`).

    Args:
        *models: the modules to watch.
        trains: it has a say all the same, as in a training of his own.

    Returns:
        A context; what it gives are the states as they were.

    Example:
        >>> layer = nn.BatchNorm1d(2)
        >>> with untouched(layer):
        ...     _ = layer.train()(torch.randn(8, 2))
        >>> layer.running_mean
        tensor([0., 0.])
    """
    states, kept = RandomStates(), [KeptModule(model) for model in models]
    try:
        with nullcontext() if trains else alone():
            yield kept
    finally:
        for state in kept:
            state.put_back()
        states.put_back()


@contextmanager
def alone() -> Iterator[None]:
    """No autocast and no cached weights, whatever the caller has set.

    What is measured is then what its record says, in the type of the
    weights, and weights that are computed from others follow them. What a
    model sets in its own forward stays.

    Example:
        >>> a = torch.ones(1, 1)
        >>> with torch.autocast("cpu", torch.bfloat16):
        ...     half = a @ a
        ...     with alone():
        ...         half.dtype, (a @ a).dtype
        (torch.bfloat16, torch.float32)
    """
    with ExitStack() as stack:
        stack.enter_context(fresh_weights())
        for device in ("cpu", "cuda", "mps", "xpu"):
            known = torch.amp.is_autocast_available(device)
            if known and torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


class RandomStates:
    """The global random states of Python, NumPy and torch, as they are now.

    Example:
        >>> before = RandomStates()
        >>> before == RandomStates()
        True
        >>> with untouched():
        ...     _ = torch.rand(1)
        ...     before == RandomStates()
        False
    """

    def __init__(self) -> None:
        self.python, self.numpy = random.getstate(), np.random.get_state()  # noqa: NPY002
        self.torch = torch.random.get_rng_state()
        self.cuda = torch.cuda.get_rng_state_all() if _cuda_in_use() else []

    def put_back(self) -> None:
        """Make them the global ones again."""
        random.setstate(self.python)
        np.random.set_state(self.numpy)  # noqa: NPY002
        torch.random.set_rng_state(self.torch)
        if self.cuda:
            torch.cuda.set_rng_state_all(self.cuda)

    def __eq__(self, other: Any) -> bool:
        return self._bits() == other._bits()

    __hash__ = None

    def _bits(self) -> tuple:
        _, keys, *rest = self.numpy
        tensors = [t.numpy().tobytes() for t in (self.torch, *self.cuda)]
        return self.python, keys.tobytes(), *rest, *tensors


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
    kept = AllAttributes(model, deep)
    try:
        yield
    finally:
        kept.put_back()


NOT_KEPT = (type, FunctionType, ModuleType)  # what no loss writes into


@contextmanager
def loss_kept(loss_fn: Any) -> Iterator[None]:
    """Put back what a loss of one's own writes into itself.

    Tensors and attributes of a loss module, or of any object that is
    called; functions, and torch's losses, keep nothing.

    Args:
        loss_fn: the loss.

    Example:
        >>> class Counting(nn.MSELoss):
        ...     calls = 0
        >>> loss = Counting()
        >>> with loss_kept(loss):
        ...     loss.calls += 1
        >>> loss.calls
        0
    """
    home = loss_fn
    while isinstance(home, partial):
        home = home.func
    home = home.__self__ if isinstance(home, MethodType) else home
    kept: list = []
    if isinstance(home, nn.Module):
        if not type(home).__module__.startswith("torch.nn"):
            kept = [KeptModule(home)]
    elif hasattr(home, "__dict__") and not isinstance(home, NOT_KEPT):
        kept = [KeptAttributes(home, deep=True)]
        kept += hidden_modules(kept, set())
    try:
        yield
    finally:
        for each in kept:
            each.put_back()


def keeping(model: nn.Module, loss_fn: Any) -> Callable:
    """A context that puts back what forward and loss write into themselves.

    Args:
        model: the network; what is in it decides how deep to look.
        loss_fn: the loss.

    Returns:
        A function without arguments that makes the context.

    Example:
        >>> net = nn.ReLU()
        >>> net.counts = torch.zeros(1)
        >>> with keeping(net, nn.MSELoss())():
        ...     net.counts += 1
        >>> net.counts
        tensor([0.])
    """
    deep = keeps_inside(model)

    @contextmanager
    def context() -> Iterator[None]:
        inside = attributes_kept(model, deep=True) if deep else nullcontext()
        with inside, loss_kept(loss_fn):
            yield

    return context


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
        found = KeptAttributes(module, deep=True)
        top = sum(
            isinstance(v, (list, dict, set)) for v in found.before.values()
        )
        if found.numbers or found.modules or len(found.contents) > top:
            return True
    return False
