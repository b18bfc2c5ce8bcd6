"""Tensors of a perceptron along a row of points."""

from typing import Any, NamedTuple

import torch
from torch import Tensor

from dldna.landscape.evaluate.row import Row, combined
from dldna.landscape.evaluate.subspace import Subspace

ALIGNED = 16  # numbers: where each tensor may start


class Room(NamedTuple):
    """Memory for all that moves, at some points.

    Args:
        numbers: (P, n) for each type, where they are formed.
        rounded: the same in bfloat16, or the very same.
        views: each tensor by its name, within ``rounded``.
    """

    numbers: dict[torch.dtype, Tensor]
    rounded: dict[torch.dtype, Tensor]
    views: dict[str, Tensor]


class Moving:
    """Parameters and buffers that move, laid end to end.

    One addition then forms all of them at many points.

    Args:
        subspace: whose they are.
        names: the parameters and buffers that are wanted.
    """

    def __init__(self, subspace: Subspace, names: list[str]):
        self.still: dict[str, Tensor] = {}
        self.place: dict[str, tuple[torch.dtype, int, torch.Size]] = {}
        pieces: dict[torch.dtype, list[list[Tensor]]] = {}
        sizes: dict[torch.dtype, int] = {}
        for name in names:
            if name in subspace.origin:
                moves = subspace.directions
                terms = [subspace.origin[name], *[d[name] for d in moves]]
            elif (
                subspace.buffer_directions
                and name in subspace.buffer_directions[0]
            ):
                moves = [d[name] for d in subspace.buffer_directions]
                terms = [subspace.buffers[name], *moves]
            else:
                self.still[name] = subspace.buffers[name].unsqueeze(0)
                continue
            dtype, size = terms[0].dtype, terms[0].numel()
            start = sizes.get(dtype, 0)
            self.place[name] = dtype, start, terms[0].shape
            gap = -size % ALIGNED
            sizes[dtype] = start + size + gap
            padded = [
                torch.nn.functional.pad(t.reshape(-1), (0, gap)) for t in terms
            ]
            pieces.setdefault(dtype, []).append(padded)
        self.terms = {
            dtype: [torch.cat(each) for each in zip(*found, strict=True)]
            for dtype, found in pieces.items()
        }
        self._rooms: dict[int, Room] = {}

    def room(self, way: Any, count: int, fresh: bool) -> Room:
        """Memory for all of them at ``count`` points, the same each time."""
        if not fresh and count in self._rooms:
            return self._rooms[count]
        device = way.subspace.device
        shapes = {d: (count, len(t[0])) for d, t in self.terms.items()}
        numbers = {
            dtype: torch.empty(shape, dtype=dtype, device=device)
            for dtype, shape in shapes.items()
        }
        rounded = numbers
        if way.half:
            rounded = {d: t.bfloat16() for d, t in numbers.items()}
        views = dict(self.still)
        for name, (dtype, start, shape) in self.place.items():
            piece = rounded[dtype][:, start : start + shape.numel()]
            views[name] = piece.view(-1, *shape)
        made = Room(numbers, rounded, views)
        if not fresh:
            self._rooms[count] = made
        return made


class Weights:
    """All that moves, at the points of a row, formed when first asked.

    Args:
        way: the way that asks.
        moving: what moves.
        row: the points.
        keep: whether a part is asked for again, by the next tile of
            images; if not, each part is written over the last.
    """

    def __init__(self, way: Any, moving: Moving, row: Row, keep: bool):
        self.way, self.moving, self.keep = way, moving, keep
        self.along = {
            dtype: Affine(terms, row) for dtype, terms in moving.terms.items()
        }
        self.formed: dict[int, dict[str, Tensor]] = {}

    def __call__(self, part: slice) -> dict[str, Tensor]:
        """(P, *shape) of each tensor; (1, *shape) of one that is still."""
        if part.start in self.formed:
            return self.formed[part.start]
        count = part.stop - part.start
        room = self.moving.room(self.way, count, fresh=self.keep)
        for dtype, affine in self.along.items():
            made = affine(part, room.numbers[dtype])
            if self.way.half:
                room.rounded[dtype].copy_(made)
        if self.keep:
            self.formed[part.start] = room.views
        return room.views


class Affine:
    """``base + s * step`` along a row of points.

    Args:
        terms: a tensor at the origin, and its step along each direction.
        row: the points.
        half: whether the values are wanted in bfloat16.
    """

    def __init__(self, terms: list[Tensor], row: Row, half: bool = False):
        self.base = combined(terms, row.fixed)
        self.step, self.row, self.half = terms[1 + row.axis], row, half
        if half:
            self.base, self.step = self.base.bfloat16(), self.step.bfloat16()
        self.steps = torch.tensor(
            row.steps, dtype=self.step.dtype, device=self.step.device
        ).view(-1, *[1] * self.step.ndim)

    def __call__(self, part: slice, out: Tensor | None = None) -> Tensor:
        """The values at part of the row, along a new first axis."""
        if self.half and out is not None:
            # a coordinate must not be rounded to half precision
            for i, s in enumerate(self.row.steps[part]):
                torch.add(self.base, self.step, alpha=s, out=out[i])
            return out
        return torch.addcmul(self.base, self.steps[part], self.step, out=out)
