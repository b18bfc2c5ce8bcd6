"""Lion, Sophia and AdaFactor, as adapters over :mod:`dldna.optim`.

What differs from print: Lion keeps its momentum with beta2 and its weight
decay is decoupled; Sophia's curvature is Hutchinson's estimate z * (H z),
refreshed every k steps and clipped; AdaFactor, which the published package
lacks, never forms an outer product.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from dldna import checks, optim
from dldna.published.optimizers import Adapter, in_print

__all__ = ["AdaFactor", "Lion", "Sophia"]


class LionAdapter(Adapter):
    """Lion; see :class:`dldna.optim.Lion`.

    Args:
        params: parameters.
        lr: learning rate, the size of every weight's step.
        betas: of the update and of the momentum, each in [0, 1).
        weight_decay: decoupled from the gradient, scaled by the rate.
    """

    def __init__(self, params, lr=1e-4, betas=(0.9, 0.99), weight_decay=0.0):
        super().__init__(
            optim.Lion(params, lr=lr, betas=betas, weight_decay=weight_decay)
        )


Lion = in_print(LionAdapter)


class Sophia(Adapter):
    """Sophia; see :class:`dldna.optim.SophiaH`.

    The method needs second derivatives, which a plain ``step()`` cannot
    give it. Say where they come from, once by the attribute or at the
    step::

        optimizer.step(curvature=lambda: loss_fn(model(x), y))

    Without that the squared gradient stands in, as in the published code,
    and a warning says so: that is not Sophia.

    Args:
        params: parameters.
        lr: learning rate, the largest step of a weight.
        betas: decay rates of gradient and curvature, each in [0, 1).
        rho: scale of the curvature, called gamma in the paper.
        weight_decay: decoupled from the gradient, scaled by the rate.
        k: steps between two estimates of the curvature.

    Attributes:
        curvature: returns the loss with its graph; or None.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> sophia = Sophia([w], lr=0.5, rho=1.0)
        >>> loss = lambda: 2 * (w**2).sum()
        >>> loss().backward()
        >>> sophia.step(curvature=loss)
        >>> w.item()
        0.5
    """

    curvature: Callable[[], Tensor] | None = None
    needs_curvature = "loss"

    def __init__(
        self,
        params,
        lr=1e-3,
        betas=(0.965, 0.99),
        rho=0.04,
        weight_decay=0.0,
        k=10,
    ):
        super().__init__(
            optim.SophiaH(
                params,
                lr=lr,
                betas=betas,
                gamma=rho,
                weight_decay=weight_decay,
                k=k,
            )
        )
        self.told = False

    def step(
        self,
        closure: Callable[[], Any] | None = None,
        curvature: Callable[[], Tensor] | None = None,
    ) -> Any:
        """One step.

        Args:
            closure: computes the loss and its gradients; or None.
            curvature: returns the loss with its graph; by default the
                attribute of that name.

        Returns:
            The closure's loss, or None.

        Warns:
            UserWarning: neither is given; once for each optimizer.
        """
        curvature = curvature or self.curvature
        if curvature is None:
            curvature = self._squares
            if not self.told:
                checks.warn(
                    "Sophia was not told how to see the curvature, and "
                    "takes the squared gradient instead; call "
                    "step(curvature=lambda: loss_fn(model(x), y))"
                )
                self.told = True
        return self.inner.step(closure, curvature=curvature)

    @torch.enable_grad()
    def _squares(self) -> Tensor:
        """A loss whose Hessian is diagonal: the squared gradients."""
        owners = [p for p in self.params if p.grad is not None]
        return sum((p.grad**2 * p**2).sum() / 2 for p in owners)


class AdaFactor(Adapter):
    """AdaFactor; see :class:`dldna.optim.Adafactor`.

    Args:
        params: parameters.
        lr: largest step relative to the size of the weights.
        eps: floors of the root (None: the type's precision) and of the
            size of the weights.
        d: clipping threshold of the update's root mean square.
        decay_rate: exponent of the growing memory, at most 0.
        weight_decay: decoupled from the gradient, scaled by the rate.

    Example:
        >>> w = torch.nn.Parameter(torch.ones(50, 20))
        >>> w.grad = torch.ones(50, 20)
        >>> optimizer = AdaFactor([w])
        >>> optimizer.step()
        >>> optimizer.state[w]["R"].shape, optimizer.state[w]["C"].shape
        (torch.Size([50, 1]), torch.Size([1, 20]))
    """

    def __init__(
        self,
        params,
        lr=1e-2,
        eps=(None, 1e-3),
        d=1.0,
        decay_rate=-0.8,
        weight_decay=0.0,
    ):
        super().__init__(
            optim.Adafactor(
                params,
                lr=lr,
                eps=eps,
                d=d,
                beta2_decay=decay_rate,
                weight_decay=weight_decay,
            )
        )
