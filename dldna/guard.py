"""The promise that the user's model and random state stay as they were."""

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn


@contextmanager
def untouched(*models: nn.Module) -> Iterator[None]:
    """Put models and all global random states back, whatever happens.

    Parameters, buffers, gradients, ``requires_grad``, the train or eval
    mode of every submodule, and the random states of Python, NumPy and
    torch (CPU and CUDA) are bit-identical afterwards, also after an
    exception or Ctrl-C. Buffers and parameters keep their identity: the
    old values are copied back into the same tensors.

    Parameters are compared and copied back only where a version counter
    says that somebody wrote to them, so guarding a large model is cheap.

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


def _cuda_in_use() -> bool:
    return torch.cuda.is_available() and torch.cuda.is_initialized()


class _Kept:
    """One model's state as it was."""

    def __init__(self, model: nn.Module):
        self.modes = [(m, m.training) for m in model.modules()]
        self.buffers = [
            (m, name, buffer, None if buffer is None else buffer.clone())
            for m in model.modules()
            for name, buffer in m._buffers.items()
        ]
        self.params = [
            (p, p.detach().clone(), p._version, p.requires_grad, p.grad)
            for p in model.parameters()
        ]
        self.grads = [
            None if p.grad is None else p.grad.clone()
            for p in model.parameters()
        ]

    def put_back(self) -> None:
        with torch.no_grad():
            for module, mode in self.modes:
                module.training = mode
            for module, name, buffer, value in self.buffers:
                module._buffers[name] = buffer
                if buffer is not None:
                    buffer.copy_(value)
            for (p, value, version, needs, grad), old in zip(
                self.params, self.grads, strict=True
            ):
                if p._version != version:
                    p.copy_(value)
                p.requires_grad_(needs)
                p.grad = grad
                if grad is not None:
                    grad.copy_(old)
