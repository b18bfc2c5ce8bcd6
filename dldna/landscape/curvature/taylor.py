r"""Two derivatives of a forward along many directions, beside its values.

Where the weights are :math:`w+tv`, each tensor of the forward is
:math:`z_0+tz_1+\tfrac{t^2}{2}z_2+\dots`, and each operation takes such
coefficients to those of its result (Taylor mode). Of a linear layer,

.. math:: z_1=Wx_1+Vx_0,\qquad z_2=Wx_2+2Vx_1,

which is half of what two nested forward derivatives calculate.
"""

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.func import jvp, vmap
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from dldna.torch_internals import (
    WeakTensorKeyDictionary,
    tree_flatten,
    tree_unflatten,
)

Pair = tuple[Tensor, Tensor]


def derivatives(
    f: Callable[..., tuple], at: list[Tensor], along: list[Pair]
) -> list[Pair]:
    """First and second derivatives of a function along curves.

    Args:
        f: takes tensors, and gives a tuple of them.
        at: where.
        along: (k, ...) first and second derivatives of each of them, for k
            curves.

    Returns:
        The same of each result.

    Example:
        >>> one = torch.ones(1, 1)
        >>> derivatives(lambda x: (x**2,), [one[0]], [(one, 0 * one)])
        [(tensor([[2.]]), tensor([[2.]]))]
    """

    def slope(point, step):
        return jvp(f, tuple(point), tuple(step))[1]

    def both(first, second):
        return jvp(slope, (tuple(at), first), (first, second))

    firsts, seconds = (tuple(each) for each in zip(*along, strict=True))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own, and of slow loops
        return [*zip(*vmap(both)(firsts, seconds), strict=True)]


class Taylor(TorchFunctionMode):
    """A block in which tensors take their derivatives along with them.

    Args:
        moving: the tensors that move, and (k, ...) how, in k directions.

    Raises:
        NotImplementedError: an operation writes into a tensor.

    Example:
        >>> w = torch.ones(1, 2)
        >>> with Taylor([(w, 3 * torch.ones(1, 1, 2))]) as taylor:
        ...     y = F.linear(torch.ones(1, 2), w) ** 2
        >>> taylor.of(y)  # of (2 + 6t)^2
        (tensor([[[24.]]]), tensor([[[72.]]]))
    """

    def __init__(self, moving: list[Pair]):
        super().__init__()
        # weakly, so that what a forward is done with is let go
        self.known = WeakTensorKeyDictionary()
        for w, v in moving:
            self.known[w] = v, torch.zeros_like(v[:1]).expand_as(v)
        self.straight = {id(w) for w, _ in moving}

    def of(self, tensor: Tensor) -> Pair:
        """The derivatives of a tensor; KeyError where it does not move."""
        return self.known[tensor]

    def __torch_function__(
        self,
        func: Callable,
        types: Any,
        args: tuple = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run an operation, and take the derivatives through it."""
        leaves, form = tree_flatten((args, dict(kwargs or {})))
        tensors = [a for a in leaves if isinstance(a, Tensor)]
        before = [a._version for a in tensors]
        out = func(*args, **(kwargs or {}))
        if before != [a._version for a in tensors]:
            raise NotImplementedError(f"{func} writes into a tensor")
        where = [i for i, a in enumerate(leaves) if self._knows(a)]
        results = [*filter(_moves, tree_flatten(out)[0])]
        if not where or all(map(self._knows, results)):
            return out
        if func is F.linear and not kwargs:
            found = [self._linear(out, *args)]
        else:

            def again(*moving):
                full = list(leaves)
                for i, tensor in zip(where, moving, strict=True):
                    full[i] = tensor
                args, kwargs = tree_unflatten(full, form)
                return tuple(
                    filter(_moves, tree_flatten(func(*args, **kwargs))[0])
                )

            at = [leaves[i] for i in where]
            found = derivatives(again, at, [*map(self.of, at)])
        for result, pair in zip(results, found, strict=True):
            self.known[result] = pair
        return out

    def _knows(self, a: Any) -> bool:
        return isinstance(a, Tensor) and a in self.known

    def _linear(
        self, out: Tensor, x: Tensor, w: Tensor, b: Tensor | None = None
    ) -> Pair:
        """Those of a linear layer, bilinear in its input and its weight."""
        (x1, x2), (w1, w2), (b1, b2) = (
            self.of(t) if self._knows(t) else (None, None) for t in (x, w, b)
        )
        first, second = [], []
        if x1 is not None:
            by_weight = vmap(F.linear, (0, None))
            first.append(by_weight(x1, w))
            second.append(by_weight(x2, w))
        if w1 is not None:
            by_input = vmap(F.linear, (None, 0))
            first.append(by_input(x, w1))
            if id(w) not in self.straight:
                second.append(by_input(x, w2))
        if x1 is not None and w1 is not None:
            second.append(2 * vmap(F.linear)(x1, w1))
        for sums, bias in ((first, b1), (second, b2)):
            if bias is not None:
                ones = [1] * (out.ndim - 1)
                sums.append(bias.reshape(len(bias), *ones, -1))
        zero = out.new_zeros(()).expand(len(first[0]), *out.shape)
        return sum(first, zero), sum(second, zero)


def _moves(a: Any) -> bool:
    return isinstance(a, Tensor) and a.is_floating_point()
