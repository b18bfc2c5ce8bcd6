"""The published optimizers as thin adapters over :mod:`dldna.optim`.

``BaseOptimizer`` stays open to a reader's own subclass, as printed in the
chapter. The momentum of ``SGD`` is the formula's, v = mu v + g, as in
torch. The published code averaged instead, v = mu v + (1 - mu) g after the
first step, so that its steps were 1 - mu times as large; that is
``dldna.optim.SGD(..., momentum=mu, dampening=mu)``.
"""

import inspect
import math
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from dldna import checks, optim

__all__ = [
    "SGD",
    "AdaGrad",
    "Adam",
    "AdamW",
    "Adapter",
    "BaseOptimizer",
]


class BaseOptimizer(torch.optim.Optimizer):
    """Parameters, a learning rate, ``zero_grad`` and ``step``.

    A subclass writes its own ``step``. It is a ``torch.optim.Optimizer``,
    so schedulers and :func:`dldna.training.train` take it. What a subclass
    keeps in attributes of its own is not part of ``state_dict()``. One that
    sets ``self.params`` and ``self.lr`` by itself need not call
    ``super().__init__``.

    Args:
        params: parameters.
        lr: learning rate.

    Raises:
        ValueError: no parameters, or a rate that is not positive.

    Example:
        >>> class SGD(BaseOptimizer):
        ...     def __init__(self, params, lr):
        ...         super().__init__(params, lr)
        ...
        ...     def step(self):
        ...         with torch.no_grad():
        ...             for p in self.params:
        ...                 p -= self.lr * p.grad
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> w.grad = torch.tensor([2.0])
        >>> SGD([w], lr=0.25).step()
        >>> w.item()
        0.5
    """

    def __init__(self, params: Iterable[Tensor], lr: float):
        params = list(params)
        if not params:
            raise ValueError(
                "no parameters to optimize: pass model.parameters() afresh "
                "(a generator is empty after its first use)"
            )
        vars(self).pop("lr", None)  # set before this was called
        super().__init__(params, {"lr": checks.positive("lr", lr)})
        self.params = [p for g in self.param_groups for p in g["params"]]

    def __getattr__(self, name: str) -> Any:
        """What a subclass that has not called ``super().__init__`` lacks."""
        own = dict(vars(self))
        if "param_groups" in own or "params" not in own:
            kind = type(self).__name__
            raise AttributeError(f"{kind!r} object has no attribute {name!r}",
                                 name=name, obj=self)  # fmt: skip
        vars(self).pop("lr", None)
        lr = own.pop("lr", math.nan)
        super().__init__(own["params"], {"lr": lr})
        vars(self).update(own)
        return getattr(self, name)

    @property
    def lr(self) -> float:
        """The learning rate, of the first group if there are several."""
        early = vars(self).get("lr")
        return self.param_groups[0]["lr"] if early is None else early

    @lr.setter
    def lr(self, value: float) -> None:
        if "param_groups" not in vars(self):
            vars(self)["lr"] = value
            return
        for group in self.param_groups:
            group["lr"] = value

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move the parameters; a subclass says how."""
        raise NotImplementedError("a subclass writes its own step")


class Adapter(BaseOptimizer):
    """The published call around one of the package's optimizers.

    Args:
        inner: the optimizer that does the work.
    """

    def __init__(self, inner: torch.optim.Optimizer):
        super().__init__(inner.param_groups, inner.param_groups[0]["lr"])
        self.inner = inner
        self.param_groups, self.state = inner.param_groups, inner.state

    @property
    def acts_as(self) -> torch.optim.Optimizer | None:
        """The optimizer behind it, unless a subclass steps by itself."""
        own = inspect.unwrap(type(self).step)
        return self.inner if own is inspect.unwrap(Adapter.step) else None

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step of the optimizer behind it."""
        return self.inner.step(closure)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up a saved state."""
        self.inner.load_state_dict(state_dict)
        inner = self.inner
        self.param_groups, self.state = inner.param_groups, inner.state


def in_print(adapter: type[Adapter]) -> type[Adapter]:
    """An adapter under its name in print, which legends and files bear.

    Example:
        >>> SGD.__name__, SGD is SGDAdapter
        ('SGD', True)
    """
    adapter.__name__ = adapter.__name__.removesuffix("Adapter")
    return adapter


class SGDAdapter(Adapter):
    """SGD; see :class:`dldna.optim.SGD`.

    Args:
        params: parameters.
        lr: learning rate.
        maximize: climb instead of descending.
        momentum: of the discounted sum of gradients, in [0, 1).
        weight_decay: added to the gradient, times the weight.
    """

    def __init__(
        self, params, lr, maximize=False, momentum=0.0, weight_decay=0.0
    ):
        super().__init__(
            optim.SGD(
                params,
                lr=lr,
                momentum=momentum,
                weight_decay=weight_decay,
                maximize=maximize,
            )
        )


class AdamAdapter(Adapter):
    """Adam; see :class:`dldna.optim.Adam`.

    Args:
        params: parameters.
        lr: learning rate.
        beta1, beta2: decay rates of both averages, in [0, 1).
        eps: added to the root.
    """

    def __init__(self, params, lr, beta1=0.9, beta2=0.999, eps=1e-8):
        super().__init__(
            optim.Adam(params, lr=lr, betas=(beta1, beta2), eps=eps)
        )


class AdaGrad(Adapter):
    """AdaGrad; see :class:`dldna.optim.Adagrad`.

    Args:
        params: parameters.
        lr: learning rate.
        eps: added to the root.
    """

    def __init__(self, params, lr=1e-2, eps=1e-10):
        super().__init__(optim.Adagrad(params, lr=lr, eps=eps))


class AdamWAdapter(Adapter):
    """AdamW; see :class:`dldna.optim.AdamW`.

    Args:
        params: parameters.
        lr: learning rate.
        beta1, beta2: decay rates of both averages, in [0, 1).
        eps: added to the root.
        weight_decay: decoupled from the gradient, scaled by the rate.
        maximize: climb instead of descending.
    """

    def __init__(
        self,
        params,
        lr,
        beta1=0.9,
        beta2=0.999,
        eps=1e-8,
        weight_decay=0.0,
        maximize=False,
    ):
        super().__init__(
            optim.AdamW(
                params,
                lr=lr,
                betas=(beta1, beta2),
                eps=eps,
                weight_decay=weight_decay,
                maximize=maximize,
            )
        )


SGD = in_print(SGDAdapter)
Adam = in_print(AdamAdapter)
AdamW = in_print(AdamWAdapter)
