"""Is the loss a function of the weights? Small tests before a long job."""

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from hashlib import blake2b
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import batches as batching
from dldna.checks import warn
from dldna.objective import batch_weight, in_place, reduction
from dldna.objective.gradients import values_only
from dldna.params import exact, of

CLOSE = {  # relative and absolute
    "float64": (1e-9, 1e-14),
    "float32": (1e-5, 1e-6),
    "bfloat16": (2e-2, 2e-2),
}


class NotAFunction(UserWarning):
    r"""Evaluating the same weights twice gives two answers.

    A surface draws :math:`L` as a function of the weights. This warning
    says that it is none. The loss at the centre is evaluated twice, and

    .. math:: |L_1 - L_2| > a + r \max(|L_1|, |L_2|)

    where :math:`r = 10^{-5}` and :math:`a = 10^{-6}`: something draws
    random numbers in eval mode. Or the data differ from pass to pass: the
    loader draws or augments its samples anew (another order of the same
    samples is no other data). The surface is made all the same, from one
    pass over the data that is kept in memory; how to read it stands in the
    message and in the record's notes.

    Example:
        >>> class Noisy(nn.Linear):
        ...     def forward(self, x):
        ...         return super().forward(x) + torch.randn(len(x), 1)
        >>> import warnings
        >>> from dldna.landscape import line
        >>> data = torch.ones(8, 1), torch.zeros(8, 1)
        >>> with warnings.catch_warnings(record=True) as caught:
        ...     warnings.simplefilter("always")
        ...     _ = line(Noisy(1, 1), "random", nn.MSELoss(), data,
        ...              resolution=3)
        >>> any(issubclass(w.category, NotAFunction) for w in caught)
        True
    """


def direct_loss(
    model: nn.Module,
    loss_fn: Callable,
    held: list[Any],
    point: Mapping[str, Tensor] | None = None,
    buffers: Mapping[str, Tensor] | None = None,
    known: Mapping[str, Tensor] | None = None,
) -> float:
    """The mean loss of a model as it stands, or at a point, in eval mode.

    No machinery of this package comes between: the model is called on
    every batch. Use inside :func:`dldna.guard.untouched`.

    Args:
        model: the network.
        loss_fn: the loss.
        held: batches in memory.
        point: parameters by name, to be written into the model.
        buffers: buffers by name; by default the model's.
        known: see :func:`dldna.objective.in_place`.

    Returns:
        The mean over the data, summed in float64; batches count as
        :func:`batch_weight` says.
    """
    call = batching.loss_caller(loss_fn)
    summed = reduction(loss_fn) == "sum"
    total = count = 0.0
    device = next(model.parameters()).device
    with (
        values_only(model, loss_fn) as needs,
        in_place(model, needs=needs, write=True, known=known) as put,
    ):
        put(
            point or of(model),
            dict(model.named_buffers()) | dict(buffers or {}),
        )
        for batch in held:
            batch = batching.to(batch, device=device)
            output = batching.apply(model, batching.split(batch)[0])
            loss = call(output, batch)
            weight = batch_weight(loss_fn, batch)
            if weight:  # else every target is ignored, and the mean NaN
                value = exact(loss.detach()).mean()
                total += float(value) * (1 if summed else weight)
                count += weight
    return total / count if count else math.nan


def how_close(model: nn.Module, dtype: str | None) -> str:
    """What agreement can be asked of the model's own arithmetic.

    The coarsest type decides where a model mixes several.

    Example:
        >>> how_close(nn.Linear(1, 1), "float64")
        'float32'
    """
    own = {p.dtype for p in model.parameters() if p.is_floating_point()}
    if dtype == "bfloat16" or own & {torch.float16, torch.bfloat16}:
        return "bfloat16"
    wide = own == {torch.float64} and dtype != "float32"
    return "float64" if wide else "float32"


def arithmetic(model: nn.Module, dtype: str | None) -> str:
    """The type in which a job calculates, for its record.

    Example:
        >>> arithmetic(nn.Linear(1, 1).double(), None)
        'float64'
    """
    own = str(next(model.parameters()).dtype).removeprefix("torch.")
    return own if dtype is None else str(dtype).removeprefix("torch.")


def same_twice(
    first: float, second: float, dtype: str = "float32", slack: float = 1
) -> bool:
    """Whether two evaluations agree; NaN agrees with NaN.

    Near a loss of 0 rounding is absolute: a log-softmax close to 0 is
    the difference of numbers of the logits' size.

    Example:
        >>> same_twice(1.0, 1.1), same_twice(math.nan, math.nan)
        (False, True)
        >>> same_twice(1e-9, 2e-9), same_twice(1e-9, 2e-9, "float64")
        (True, False)
    """
    if not (math.isfinite(first) and math.isfinite(second)):
        return first == second or (math.isnan(first) and math.isnan(second))
    rtol, atol = CLOSE[dtype]
    return (
        abs(first - second)
        <= rtol * max(abs(first), abs(second)) * slack + atol
    )


def probe(
    losses: tuple[float, float],
    data: Any,
    held: list[Any],
) -> list[str]:
    """Say in plain words why repeated surfaces would differ.

    Args:
        losses: the loss at the centre, evaluated twice.
        data: what the caller gave.
        held: its first pass, in memory.

    Returns:
        Sentences; none where all is well. Each is warned of as well.
    """
    said = []
    if not same_twice(*losses):
        said.append(
            "The model is not a function of its weights: two evaluations "
            f"of the same weights gave {losses[0]:.8g} and {losses[1]:.8g}. "
            "Something draws random numbers in eval mode (dropout called "
            "with training=True, noise, sampling). The surface is one draw "
            "of it, and its roughness is noise."
        )
    if _fresh_each_time(data) and not _same_samples(data, held):
        said.append(
            "The data change from pass to pass (the loader draws or "
            "augments its samples anew). One pass is kept in memory and "
            "used for every point, so this surface is smooth, but "
            "another run will see other data; use the same samples, "
            "without augmentation, in every pass."
        )
    for sentence in said:
        warn(sentence, NotAFunction)
    return said


def _fresh_each_time(data: Any) -> bool:
    """Whether iterating again starts again (a loader, no generator)."""
    plain = isinstance(data, (torch.Tensor, Mapping, list, tuple))
    plain = plain or batching.is_whole(data)
    return not plain and iter(data) is not data


def _same_samples(data: Any, held: list[Any]) -> bool:
    """Whether another pass brings what is held, in any order.

    Where the order has not changed, the first batch tells; else the whole
    pass is compared, sample by sample.
    """
    again = iter(data)
    first = next(again, None)
    if first is None or _begins(first, held[0]):
        return True
    left = Counter(key for batch in held for key in _samples(batch))
    cut = sum(left.values())
    for batch in chain([first], again):
        for key in _samples(batch):
            if not left[key]:
                return cut == 0  # more than was held, as far as it goes
            left[key] -= 1
            cut -= 1
    return cut == 0


def _begins(a: Any, b: Any) -> bool:
    """Whether ``b`` is the beginning of ``a``."""
    for x, y in zip(batching.tensors(a), batching.tensors(b), strict=False):
        head = x[: len(y)] if y.ndim else x
        if head.shape != y.shape or not torch.equal(head, y.to(head)):
            return False
    return True


def _samples(batch: Any) -> Iterator[bytes]:
    """A digest of each sample; of the whole where axis 0 is not theirs."""
    found = [t.detach().cpu().contiguous() for t in batching.tensors(batch)]
    n = batching.size(batch) if batching.sliced(batch) else 1
    whole = n == 1 or any(len(t) != n if t.ndim else True for t in found)
    for i in range(1 if whole else n):
        digest = blake2b(digest_size=16)
        for t in found:
            digest.update(_bytes(t if whole else t[i]))
        yield digest.digest()


def _bytes(t: torch.Tensor) -> bytes:
    dense = t if t.layout == torch.strided else t.to_dense()
    return dense.reshape(-1).view(torch.uint8).numpy().tobytes()


def finite_counts(losses: np.ndarray) -> dict[str, int]:
    """How many losses are NaN and how many infinite.

    Example:
        >>> finite_counts(np.array([1.0, np.nan, np.inf]))
        {'nan': 1, 'inf': 1}
    """
    return {
        "nan": int(np.isnan(losses).sum()),
        "inf": int(np.isinf(losses).sum()),
    }
