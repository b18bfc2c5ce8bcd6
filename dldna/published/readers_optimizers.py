"""Optimizers that readers wrote, of whatever class, as the rooms take them.

Class names decide nothing. What is asked is what an object can do: whether
it has a ``step``, what that wants, and where it keeps its state.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dldna.published.optimizers import Adapter, BaseOptimizer
from dldna.training.stepping import needs_closure


def keeps_state(optimizer: torch.optim.Optimizer) -> bool:
    """Whether ``state_dict()`` holds all that the next steps depend on.

    A reader's subclass that keeps buffers or counters in attributes of its
    own does not: such a run cannot go on where it was killed.

    Example:
        >>> class Counts(BaseOptimizer):
        ...     steps = 0
        >>> mine = Counts([torch.zeros(1)], 0.1)
        >>> keeps_state(mine)
        True
        >>> mine.steps = 1
        >>> keeps_state(mine)
        False
    """
    if isinstance(optimizer, Foreign):
        return False
    if not isinstance(optimizer, BaseOptimizer) or isinstance(
        optimizer, Adapter
    ):
        return True
    plain = vars(BaseOptimizer([torch.zeros(1, device="cpu")], 1.0))
    return all(
        name in plain or isinstance(value, (bool, float, str, type(None)))
        for name, value in vars(optimizer).items()
    )


def as_optimizer(
    optimizer: Any, owner: nn.Module | Iterable[Tensor]
) -> torch.optim.Optimizer:
    """An optimizer as the rooms take it, whatever class the reader wrote.

    Args:
        optimizer: any object with ``step()``; torch's own classes and
            their subclasses come back as they are, unless they keep
            something of their own under torch's name ``state``.
        owner: the model whose parameters it moves, or these.

    Raises:
        TypeError: it has no ``step``.

    Example:
        >>> class Mine:
        ...     def __init__(self, params, lr):
        ...         self.params, self.lr = list(params), lr
        ...
        ...     def step(self):
        ...         for p in self.params:
        ...             p.data -= self.lr * p.grad
        >>> net = nn.Linear(1, 1)
        >>> found = as_optimizer(Mine(net.parameters(), 0.1), net)
        >>> isinstance(found, torch.optim.Optimizer), found.lr
        (True, 0.1)
    """
    if isinstance(optimizer, torch.optim.Optimizer):
        plain = isinstance(optimizer.state, Mapping)
        return optimizer if plain else Foreign(optimizer, owner)
    if not callable(getattr(optimizer, "step", None)):
        raise TypeError(
            "an optimizer has step() and zero_grad(), which "
            f"{type(optimizer).__name__} has not"
        )
    if hasattr(optimizer, "param_groups"):  # a wrapper, as of accelerate
        return optimizer
    return Foreign(optimizer, owner)


def describe(optimizer: Any) -> str:
    """An optimizer in a few words.

    Example:
        >>> w = torch.zeros(2, requires_grad=True)
        >>> describe(torch.optim.SGD([w], lr=0.05, momentum=0.8))
        'SGD, lr 0.05, momentum 0.8'
    """
    if isinstance(optimizer, Foreign):
        optimizer = optimizer.inner
    groups = getattr(optimizer, "param_groups", None) or [{}]
    lr = groups[0].get("lr", getattr(optimizer, "lr", None))
    momentum = groups[0].get("momentum") or getattr(optimizer, "momentum", 0)
    words = [type(optimizer).__name__]
    words += [f"lr {lr:.3g}"] if isinstance(lr, float | int) else []
    if isinstance(momentum, float | int) and momentum:
        words.append(f"momentum {momentum:.3g}")
    return ", ".join(words)


class Foreign(torch.optim.Optimizer):
    """A reader's optimizer that comes from nothing of torch's.

    Args:
        inner: the object; its ``step()`` moves the weights.
        owner: the model whose parameters it moves, or these.
    """

    def __init__(self, inner: Any, owner: nn.Module | Iterable[Tensor]):
        lr = getattr(inner, "lr", None)
        lr = float(lr) if isinstance(lr, (int, float)) else float("nan")
        parameters = getattr(owner, "parameters", lambda: owner)()
        super().__init__(parameters, {"lr": lr})
        self.inner, self.lr = inner, lr
        self.needs_closure = needs_closure(inner)

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Its own, where it has one; and the model's."""
        getattr(self.inner, "zero_grad", lambda: None)()
        super().zero_grad(set_to_none)

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the reader's."""
        if self.needs_closure:
            return self.inner.step(closure)
        loss = None if closure is None else closure()
        self.inner.step()
        return loss
