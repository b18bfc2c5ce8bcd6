"""What a matrix of curvature is held to before its products are used."""

import math
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
import torch
from torch import Tensor, nn

from dldna import batches as bt
from dldna.checks import warn
from dldna.landscape.curvature import kinks, products
from dldna.landscape.curvature.culprits import (
    REMEDY,
    NoSecondDerivative,
    culprit,
    explained,
)
from dldna.objective import NotFinite, Objective
from dldna.params import finite

FEW = 2  # samples of a check
# Steps of differences: small ones meet no kink, large ones no rounding, and a
# part that is calculated in float32 whatever the weights are rounds early.
STEPS = (1e-11, 1e-9, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
WRONG = 0.01  # of a gradient or a product, relative
LARGE = 3e7  # parameters; a check in float64 would take much memory
KEEP_BYTES = 2**31  # of graphs that stay in memory
# Models whose derivatives were held to differences, and with which losses:
# it is the code that is checked, so once is enough while weights change.
_HELD: WeakKeyDictionary[nn.Module, dict] = WeakKeyDictionary()


def check_derivatives(operator: Any) -> None:
    """Hold gradient and product to differences, on a few samples.

    Args:
        operator: the matrix, an :class:`~dldna.landscape.Operator`.

    Raises:
        ValueError: they differ, whatever the step.
        NoSecondDerivative: there is no product, or a wrong one; it is not
            asked for where products are differences.
    """
    loss, seen = operator.loss_fn, _HELD.setdefault(operator.model, {})
    alone = operator.way == "difference"  # products ask for gradients alone
    known = seen.setdefault(
        (operator.statistics, tuple(operator.names), alone), WeakSet()
    )
    if operator.n > LARGE or operator.mixed:
        return
    with suppress(TypeError):  # a loss without a hash is held each time
        if loss in known:
            return
    if _hold_to_differences(operator):
        with suppress(TypeError):
            known.add(loss)


def _hold_to_differences(operator: Any) -> bool:
    """Whether they could be compared; those that differ are refused."""
    batch = operator.given[0]
    batch = bt.cut(batch, 0, FEW) if bt.sliced(batch) else batch
    try:
        wide = Objective(
            operator.model,
            operator.loss_fn,
            [batch],
            names=operator.names,
            dtype=torch.float64,
            statistics=operator.statistics,
        )
    except Exception:  # it cannot be cut, or calculated in float64
        return False
    twice = operator.way != "difference"
    first, second = _gaps(wide, twice)
    if math.isnan(first + second):  # the product itself says where
        return False
    if max(first, second) < WRONG:
        return True
    home = wide.point
    kinks.step_aside(wide)
    if max(_gaps(wide, twice)) < WRONG:  # it is the point, not the code
        wide.point = home
        warn(kinks.sentence(wide, wide.given[0]))
        return True
    wide.point = home
    cause = (
        "a part of the network or of the loss is written so that it cannot "
        "be differentiated (numbers of the network that were taken with "
        "detach() or under no_grad(), as a teacher's or in a custom "
        "backward; checkpointing in the re-entrant way, which "
        "use_reentrant=False mends; a fused kernel)"
    )
    if first >= WRONG:
        raise ValueError(
            "the gradient that torch calculates differs from differences of "
            f"the loss by {first:.0%}: {cause}. Leave that part out with "
            "params=, or replace it by plain operations"
        )
    raise NoSecondDerivative(
        "the product with the Hessian that torch calculates differs from "
        f"differences of the gradient by {second:.0%}"
        f"{culprit(wide, wide.given[0])}: {cause}: {REMEDY}"
    )


def _gaps(wide: Objective, twice: bool) -> tuple[float, float]:
    """How far gradient and product are from differences, at best."""
    first = second = math.inf  # each at the step that suits it best
    for seed, step in enumerate(STEPS):
        try:
            gaps = products.truth(wide, wide.given[0], step, seed, twice)
        except RuntimeError as error:
            raise explained(error, wide, wide.given[0]) from error
        if any(map(math.isnan, gaps)):
            return math.nan, math.nan
        first, second = min(first, gaps[0]), min(second, gaps[1])
        if max(first, second) < WRONG:
            break
    return first, second


def check_finite(operator: Any, out: Tensor) -> None:
    """Refuse a product that is not finite, with the names of its tensors.

    Raises:
        NotFinite: an entry is NaN or infinite.
    """
    if finite(out):
        return
    bad = [
        name
        for name, part in operator.cut(out).items()
        if not bool(torch.isfinite(part).all())
    ]
    raise NotFinite(
        "a product with the matrix of curvature is not finite in "
        f"{', '.join(bad[:3])}: look for a norm or a root at 0, for NaN "
        "or very large parameters, or use float64; params= leaves "
        "tensors out"
    )


def agreeing(
    operator: Any, i: int, plain: products.Product
) -> tuple[products.Product | None, str]:
    """The product by the operator's way, if it equals the plain one.

    Args:
        operator: the matrix.
        i: number of the batch.
        plain: the product by "reverse".

    Returns:
        The product and an empty word; or None, and why it is none.
    """
    make = getattr(products, operator.way)
    try:
        fast = make(operator, operator.batches[i])
        if fast is None:
            return None, (
                "an operation of the network or the loss is not known to be "
                "traced rightly"
            )
        gap = products.agrees(fast, plain, operator.flat(operator.point))
    except Exception as error:  # not all operations have such a form
        return None, f"{type(error).__name__}: {error}"
    if gap <= torch.finfo(operator.dtype).eps ** 0.5:
        return fast, ""
    return None, f"its products differ by {gap:.1e}, relative"


def graphs_fit(operator: Any) -> bool:
    """Whether the graphs of all batches may stay in memory."""
    count = len(operator.batches)
    if count == 1:
        return True
    seen: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        if tensor.layout == torch.strided:
            storage = tensor.untyped_storage()
            seen[storage.data_ptr()] = storage.nbytes()
        else:  # sparse: it has no storage of its own
            seen[id(tensor)] = tensor._nnz() * tensor.element_size()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda t: t):
        operator.plain(operator.batches[0])
    return sum(seen.values()) * count <= KEEP_BYTES


def as_columns(vectors: Any, n: int) -> Tensor:
    """What a matrix can be multiplied with, as a tensor."""
    if isinstance(vectors, np.ndarray):
        vectors = torch.from_numpy(np.ascontiguousarray(vectors))
    if not isinstance(vectors, Tensor):
        hint = ""
        if isinstance(vectors, Mapping):
            hint = "; named tensors become one vector by operator.flat(...)"
        raise TypeError(
            f"expected a vector of shape ({n},) as a tensor or an array, "
            f"not a {type(vectors).__name__}{hint}"
        )
    if vectors.ndim not in (1, 2) or vectors.shape[0] != n:
        raise ValueError(
            f"expected a vector of shape ({n},) or ({n}, k), "
            f"got {tuple(vectors.shape)}"
        )
    return vectors
