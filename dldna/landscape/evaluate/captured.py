"""The way for models of any library: run once, then repeat the operations.

The model, its loss and its metrics run once on each batch, in the model
itself, while a tape is written (:mod:`dldna.landscape.evaluate.tape`). At
the points only the tape's operations run: not a line of the model's Python,
nothing that stands still, and what is linear in the coordinates as a sum of
terms (:mod:`dldna.landscape.evaluate.linear_front`). Where a point is small,
``torch.func.vmap`` maps many of them at once, so that calling an operation
costs next to nothing; where it is large, weights are formed one by one while
they are needed.
"""

import copy
from collections.abc import Callable
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx

from dldna.guard import RandomStates
from dldna.landscape.evaluate.evaluator import Unsupported, Values
from dldna.landscape.evaluate.linear_front import Terms, split
from dldna.landscape.evaluate.losses import measured, per_sample
from dldna.landscape.evaluate.mapped import mappable
from dldna.landscape.evaluate.memory import Earlier, home, shown
from dldna.landscape.evaluate.row import combined
from dldna.landscape.evaluate.slow import Slow, forward, placed
from dldna.landscape.evaluate.subspace import Subspace
from dldna.landscape.evaluate.tape import Tape, record
from dldna.landscape.evaluate.total import Total
from dldna.module_state import AllAttributes, same_bits
from dldna.torch_internals import without_fallback

CACHE = 32 * 2**20  # bytes of activations and weights at once
POINTS = 256
FEWEST = 6  # points that are worth mapping
aten = torch.ops.aten


class Captured:
    """The operations of a model, repeated at many points.

    Args:
        subspace: what is evaluated.
        memory: bytes it may use.

    Raises:
        Unsupported: what the model does cannot be repeated.

    Attributes:
        at_once: points that are mapped together.
        alone: whether it is an error that the slow way must be asked, since
            numbers that steer the model are others at a point.
        asked: for how many points it was.
    """

    name = "captured"

    def __init__(self, subspace: Subspace, memory: float):
        subspace.refuse_statistics_of_data()
        self.subspace = subspace
        self.notes: dict[str, Any] = {}
        self.asked, self.alone = 0, True
        self.exact = per_sample(subspace) is not None
        self.names = ("loss", *subspace.metrics)
        self.room = memory / 4
        self.terms = _moving(subspace)
        self.parts = self._record()
        self.memory = min(CACHE, memory / 8)
        self.at_once = self.points(subspace)
        if self.at_once > 1:
            self.at_once = self._mapped()
        self.chunk = 4 * self.at_once

    def _record(self) -> list["_Part"]:
        subspace, parts = self.subspace, []
        with placed(subspace) as put:
            if torch.is_grad_enabled():
                raise Unsupported("the loss takes derivatives itself")
            kept = AllAttributes(subspace.model)
            model = subspace.model
            put(subspace.origin, subspace.buffers_at([]))
            named = dict(model.named_parameters())
            named |= dict(model.named_buffers())
            moving = {k: named[k] for k in self.terms}
            earlier = Earlier()
            try:  # the state of the modules goes on from batch to batch
                for i, batch in enumerate(subspace.batches):
                    if i and not _as_at_the_start(moving, self.terms):
                        raise Unsupported("a batch writes into what moves")
                    parts.append(self._part(batch, moving, earlier))
            finally:
                kept.put_back()
        return parts

    def _part(self, batch: Any, moving: dict, earlier: Earlier) -> "_Part":
        before = RandomStates()
        named = self.subspace.model.named_parameters()
        own = {shown(p): name for name, p in named}
        try:
            tape = record(
                lambda: self._values(batch), moving, self.room, earlier
            )
        except Unsupported:
            raise
        except Exception as error:  # the user's code, under a mode
            raise Unsupported(f"cannot be recorded: {error}") from error
        if before != RandomStates():
            raise Unsupported("random numbers are drawn")
        self._stay(tape, own)
        earlier.hold(tape.constants)
        _clamped(tape)
        used = {k: self.terms[k] for k in tape.leaves}
        leaves = split(tape, used, self.room)
        held = sum(v.nbytes for v in tape.constants.values())
        new = [n for n in leaves if n.name.startswith("front")]
        held += sum(t.nbytes for n in new for t in leaves[n] if t is not None)
        self.room -= held
        if self.room < 0:
            raise Unsupported("what stands still takes too much memory")
        return _Part(batch, tape, leaves)

    def _stay(self, tape: Tape, own: dict[tuple, str]) -> None:
        """Keep what stands still in the model, which gets its own again."""
        origin, homes = self.subspace.origin, {place[0] for place in own}
        for key, tensor in tape.constants.items():
            at = origin.get(own.get(shown(tensor), ""))
            if at is not None and same_bits(tensor, at):
                tape.constants[key] = at
            elif home(tensor) in homes:
                tape.constants[key] = tensor.clone()

    def _values(self, batch: Any) -> tuple:
        """Loss and metrics of a batch, at the point that is in place."""
        output = forward(self.subspace, batch)
        return measured(self.subspace, output, batch, self.exact)

    def points(self, other: Subspace) -> int:
        """How many points are mapped, if other batches are as large."""
        room = self.memory / self._bytes(max(other.sizes))
        return int(min(POINTS, room)) if room >= FEWEST else 1

    def grain(self, size: int) -> float:
        """Bytes that an operation makes at a point on so many samples."""
        return self._bytes(size) / len(self.parts[0].tape.graph.nodes)

    def _bytes(self, size: int) -> float:
        """Bytes of a point on a batch of so many samples."""
        part = max(self.parts, key=lambda part: part.formed + part.made)
        more = size / max(self.subspace.sizes)
        return part.formed + max(more, 1.0) * part.made

    def _mapped(self) -> int:
        """How many points are mapped: one, if an operation cannot be."""
        k = len(self.subspace.directions)
        few = torch.zeros(2, k, dtype=torch.float64, device="cpu")
        few[1] = 0.2
        try:
            with torch.no_grad(), without_fallback():
                for part in self.parts:
                    self._of(part, few)
        except Unsupported:
            raise
        except Exception as error:
            self.notes["not mapped"] = f"{type(error).__name__}: {error}"
            return 1
        return self.at_once

    def __call__(self, coords: Tensor) -> Values:
        """Loss and metrics at (P, K) coordinates; each (P,) float64."""
        coords = self.subspace.check(coords)
        total = Total(self.subspace, len(coords))
        holds = np.ones(len(coords), dtype=bool)
        with torch.no_grad():
            for start in range(0, len(coords), self.at_once):
                at = slice(start, start + self.at_once)
                for part in self.parts:
                    values, same = self._of(part, coords[at])
                    for name, value in zip(self.names, values, strict=True):
                        total.add(name, at, value, part.batch)
                    holds[at] &= same
        found = total.means()
        if not holds.all():
            self.asked += int((~holds).sum())
            slow = Slow(self.subspace, exact=True)(coords[~holds])
            for name, values in slow.items():
                found[name][~holds] = values
        return found

    def _of(self, part: "_Part", points: Tensor) -> tuple[tuple, Any]:
        """Values of a batch at some points, and where its tape holds."""
        n, guards = len(self.names), part.tape.guards
        try:
            if self.at_once > 1:
                made = part.mapped(points)
            else:
                made = part.single(points[0].tolist())
        except Exception:
            if self.alone or not guards:
                raise
            return (np.nan,) * n, False  # what steers it may be another
        same = [g.cpu().numpy() for g in made[n:]]
        same = np.logical_and.reduce(same) if guards else True
        if self.alone and not np.all(same):
            raise Unsupported("numbers that steer the model move")
        return made[:n], same


class _Part:
    """What is repeated for one batch.

    Args:
        batch: the batch.
        tape: of it, with its front split off.
        leaves: the terms of the values that it starts from.
    """

    def __init__(self, batch: Any, tape: Tape, leaves: dict[fx.Node, Terms]):
        self.batch, self.tape = batch, tape
        self.leaves = list(leaves.values())
        self.written = [n.meta["written"] for n in leaves]
        self.made = tape.size  # bytes at a point
        self.formed = sum(n.meta["bytes"] for n in leaves)

    @cached_property
    def one(self) -> Callable:
        """From what gives a leaf by its number to a tuple of values."""
        graph = copy.deepcopy(self.tape.graph)
        found = [n for n in graph.nodes if n.op == "placeholder"]
        with graph.inserting_before(found[0]):
            get = graph.placeholder("get")
        for i, leaf in enumerate(found):
            first = next(n for n in graph.nodes if n in leaf.users)
            with graph.inserting_before(first):
                taken = graph.call_function(_take, (get, i))
            leaf.replace_all_uses_with(taken)
            graph.erase_node(leaf)
        return fx.GraphModule(self.tape.constants, graph)

    @cached_property
    def many(self) -> Callable:
        """From leaves of many points to a tuple of their values."""
        graph = mappable(copy.deepcopy(self.tape.graph))
        return torch.func.vmap(fx.GraphModule(self.tape.constants, graph))

    def single(self, point: list[float]) -> tuple:
        """The values at one point."""

        def get(i: int) -> Tensor:
            value = combined(self.leaves[i], point)
            fresh = value is not self.leaves[i][0]
            return value if fresh or not self.written[i] else value.clone()

        return self.one(get)

    def mapped(self, points: Tensor) -> tuple:
        """The values at (P, K) points, each (P,)."""
        return self.many(*[_stacked(terms, points) for terms in self.leaves])


def _take(get: Callable[[int], Tensor], i: int) -> Tensor:
    return get(i)


def _stacked(terms: Terms, points: Tensor) -> Tensor:
    """A leaf at many points, along a leading axis."""
    value = terms[0].unsqueeze(0).expand(len(points), *terms[0].shape)
    for c, term in zip(points.unbind(1), terms[1:], strict=True):
        if term is not None:
            c = c.to(value).view(-1, *[1] * term.ndim)
            value = torch.addcmul(value, c, term.unsqueeze(0))
    return value.contiguous()


def _moving(subspace: Subspace) -> dict[str, Terms]:
    """The terms of all that moves; None along what does not move it."""
    return {
        name: [start, *(t if bool(t.any()) else None for t in along)]
        for name, (start, *along) in subspace.terms.items()
        if along
    }


def _as_at_the_start(moving: dict, terms: dict[str, Terms]) -> bool:
    """Whether the tensors still have the numbers that were put there."""
    return all(same_bits(t, terms[k][0]) for k, t in moving.items())


def _clamped(tape: Tape) -> None:
    """Running variances that a direction takes below 0 are 0."""
    for name, leaf in tape.leaves.items():
        if name.endswith("running_var"):
            with tape.graph.inserting_after(leaf):
                at_least = tape.graph.call_function(
                    aten.clamp_min.default, (leaf, 0)
                )
            at_least.meta.update(leaf.meta)
            leaf.replace_all_uses_with(at_least)
            at_least.args = (leaf, 0)
