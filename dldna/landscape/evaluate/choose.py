"""The choice of a way to evaluate."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dldna import batches as bt
from dldna.checks import choice, positive, renamed
from dldna.landscape.evaluate.captured import Captured
from dldna.landscape.evaluate.evaluator import Evaluator
from dldna.landscape.evaluate.frozen import Frozen
from dldna.landscape.evaluate.graph import Unsupported
from dldna.landscape.evaluate.layered import Layered
from dldna.landscape.evaluate.losses import per_sample
from dldna.landscape.evaluate.mlp import TILE, Mlp, perceptron
from dldna.landscape.evaluate.oracle import Truth
from dldna.landscape.evaluate.slow import Slow, forward, placed
from dldna.landscape.evaluate.subspace import Subspace, is_large
from dldna.module_state import same_bits
from dldna.params import Params

FAST: dict[str, Callable[[Subspace, float], Evaluator]] = {
    "mlp": Mlp,
    "layered": Layered,
    "captured": Captured,
    "frozen": Frozen,
}
WAYS = ("slow", *FAST)
OWN = ("captured", "frozen")  # these run the model itself
TINY = 2**15  # bytes an operation makes, below which calling it costs more


@renamed(path="way", precision="dtype")
def choose(
    model: nn.Module,
    loss_fn: Callable,
    batches: list[Any],
    origin: Params,
    directions: Sequence[Params],
    *,
    metrics: Mapping[str, Callable] | None = None,
    way: str = "auto",
    dtype: str | torch.dtype | None = None,
    statistics: str = "eval",
    buffer_directions: Sequence[Mapping[str, Tensor]] | None = None,
    memory: float | None = None,
) -> Evaluator:
    """The fastest way to evaluate that gives what the slow way gives.

    A way is chosen by what the model is made of and by how much memory a
    point takes, never by a stopwatch, so that the same call gives the
    same numbers. Each candidate is held against the slow way on a few
    samples, at the origin and at two points of the plane, and then on all
    data at a further point; one that fails or differs by more than 1e-5
    (5e-2 if the model's own weights are half precision) is passed over, and
    the next is tried. With bfloat16 the largest difference is noted instead.

    Args:
        model: any module; see :meth:`Subspace.of` for this and what follows.
        loss_fn: the loss.
        batches: from :func:`dldna.batches.held`.
        origin: parameters at coordinates 0.
        directions: one point per coordinate.
        metrics: functions of output and batch, by name.
        way: "auto"; or "slow", "mlp", "layered", "captured", "frozen" to
            insist.
        dtype: "float32", "float64", "bfloat16" or the type itself; None
            for the model's own.
        statistics: "eval", "train", "recalibrate" or "interpolate".
        buffer_directions: for "interpolate".
        memory: bytes that may be used; by default half of what is free.

    Returns:
        An evaluator. Its ``name`` and ``notes`` belong into the record:
        ``notes["checked"]`` is the largest relative difference to the slow
        way, ``notes["passed over"]`` says why faster ways were not taken.

    Raises:
        ValueError: an unknown word, or the way asked for does not apply or
            does not agree with the slow way.

    Example:
        >>> from dldna import params
        >>> model = nn.Sequential(nn.Linear(2, 2))
        >>> data = [(torch.eye(2), torch.tensor([0, 1]))]
        >>> w = params.of(model)
        >>> choose(model, nn.CrossEntropyLoss(), data, w, [w, w]).name
        'mlp'
    """
    choice("way", way, ("auto", *WAYS))
    given = Subspace.of(
        model,
        loss_fn,
        batches,
        origin,
        directions,
        metrics=metrics,
        dtype=dtype,
        statistics=statistics,
        buffer_directions=buffer_directions,
    )
    if memory is None:
        memory = free_memory(given.device) / 2
    positive("memory", memory)
    if way == "slow":
        return Slow(given)
    trial = _Trial(given, memory)
    if way == "auto":
        return trial.best()
    found = trial.of(way)
    if found is None:
        raise ValueError(
            f"way={way!r} does not fit this model: {trial.passed[way]}; "
            "use way='auto'"
        )
    return found


class _Trial:
    """Ways that are tried one after the other.

    Attributes:
        passed: why ways were not taken.
    """

    def __init__(self, given: Subspace, memory: float):
        self.given, self.memory = given, memory
        self.truth = Truth(given)
        self.passed: dict[str, str] = {}
        self.checked: dict[str, float] = {}
        self.tried: dict[str, Evaluator] = {}

    def best(self) -> Evaluator:
        """The fastest way that gives what the slow way gives.

        Points of a perceptron are matrix products. Else calling operations
        is most of the cost where a point is tiny, and their arithmetic
        where it is large; between the two it matters whether the layers
        are of a kind that can be rearranged.
        """
        given = self.given
        large = is_large(given)  # no room for trials of its weights
        if not large and perceptron(given.model):
            found = self.of("mlp")
            if found is not None:
                return found
        captured = None if large else self.try_out("captured")
        mapped = captured and captured.points(given) > 1
        if not (mapped and captured.grain(together(given)) < TINY):
            layered = self.try_out("layered")
            if layered and not (mapped and layered.foreign):
                found = self.full("layered")
                if found is not None:
                    return found
        for name in OWN:
            found = self.of(name)
            if found is not None:
                return found
        slow = Slow(given)
        slow.notes["passed over"] = self.passed
        return slow

    def of(self, name: str) -> Evaluator | None:
        """A way that agrees with the slow one, or None."""
        known = name in self.checked or self.try_out(name) is not None
        return self.full(name) if known else None

    def try_out(self, name: str) -> Any:
        """A way on a few samples, if it agrees with the slow one there."""
        if name in self.passed:
            return None
        try:
            if name not in OWN:
                self._may_be_elsewhere()
            self.truth.values()  # which settles the samples
            candidate = FAST[name](self.truth.small, self.memory)
            self.checked[name] = self.truth.check(candidate)
            self.tried[name] = candidate
        except Unsupported as reason:
            self.passed[name] = str(reason)
        except Exception as error:  # the user's model inside a rearrangement
            self.passed[name] = f"{type(error).__name__}: {error}"
        else:
            return candidate
        return None

    def full(self, name: str) -> Evaluator | None:
        """A way that was tried out, on all the data."""
        same = self.truth.small.batches is self.given.batches
        if name != "frozen":
            self.truth.far()  # first: two ways at once take more memory
        try:
            if same:  # nothing could be cut
                found = self.tried[name]
            else:
                found = FAST[name](self.given, self.memory)
            if name != "frozen":  # which runs the model itself
                self.truth.check_all(found)
            if name == "captured":
                found.alone = False
        except Unsupported as reason:
            self.passed[name] = str(reason)
            return None
        found.notes["checked"] = self.checked[name]
        if self.passed:
            found.notes["passed over"] = self.passed
        return found

    def _may_be_elsewhere(self) -> None:
        """Refuse where the weights must be in the model itself."""
        if not all(map(bt.sliced, self.given.batches)):
            raise Unsupported("axis 0 of the data is not the samples")
        reason = bound(self.given)
        if reason:
            raise Unsupported(reason)


def together(given: Subspace) -> int:
    """How many samples an operation gets where batches may be joined.

    Ways that rearrange the layers join small batches, where the loss is
    known; the model itself is called with one after the other.

    Example:
        >>> from dldna import params
        >>> model = nn.Linear(2, 2)
        >>> data = [(torch.eye(2), torch.tensor([0, 1]))] * 3
        >>> w = params.of(model)
        >>> together(Subspace.of(model, nn.CrossEntropyLoss(), data, w, [w]))
        6
    """
    largest = max(given.sizes)
    if per_sample(given) is None:
        return largest
    return max(largest, min(sum(given.sizes), TILE))


def free_memory(device: torch.device) -> float:
    """Bytes that are free on a device, as far as the system tells."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    try:
        with open("/proc/meminfo") as file:
            for line in file:
                if line.startswith("MemAvailable"):
                    return float(line.split()[1]) * 1024
    except OSError:
        pass
    return 4.0 * 2**30


def bound(given: Subspace) -> str:
    """Why the weights must be in the model itself, as far as can be seen.

    A loss that reads parameters past the output (a penalty, a second
    forward), or a forward that writes into them. What cannot be seen is
    found by comparison.
    """
    if isinstance(bt.split(given.batches[0])[0], bt.Called):
        return "the model gives its loss by a call of its own"
    names = tuple(k for k, v in given.origin.items() if v.is_floating_point())
    named = dict(given.model.named_parameters())
    for batch in (bt.cut(given.batches[0], 0, 2), given.batches[0]):
        try:
            with placed(given, needs=names) as put:
                put(given.origin, given.buffers_at([]))
                before = [p._version for p in named.values()]
                with torch.no_grad():
                    output = forward(given, batch)
                same = before == [p._version for p in named.values()]
                origin = given.origin.items()  # .data has no version
                if not same or not all(
                    same_bits(named[k], v) for k, v in origin
                ):
                    return "the forward writes into the parameters"
                loss = given.loss(output, batch)
                if not loss.requires_grad:
                    return ""
                found = torch.autograd.grad(
                    loss.sum(), [named[k] for k in names], allow_unused=True
                )
        except Exception:  # bound to its batch; or it differentiates
            continue
        if any(g is not None for g in found):
            return "the loss reads the network itself"
        return ""
    return ""
