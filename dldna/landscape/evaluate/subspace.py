"""What is evaluated: a model and a loss on data, over a plane of points."""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import batches as bt
from dldna.checks import choice
from dldna.landscape.evaluate.evaluator import Unsupported
from dldna.landscape.evaluate.metrics import OWN, weight_in
from dldna.objective import cast as cast_loss
from dldna.objective import norms, reduction
from dldna.params import Params, check_same, dtype_name

DTYPES = ("float32", "float64", "bfloat16")
LARGE = 2**25  # weights
STATISTICS = ("eval", "interpolate", "recalibrate", "train")


@dataclass(frozen=True, eq=False)
class Subspace:
    """A model, a loss and data, about an origin and along directions.

    Args:
        model: the model itself; whoever runs it puts a point's numbers
            in place and takes them out again.
        loss: ``f(output, batch) -> scalar``.
        summed: the loss adds over the samples instead of averaging.
        batches: in memory, on the model's device, in that type.
        origin: parameters at coordinates 0.
        directions: one point per coordinate.
        buffers: the buffers at coordinates 0.
        buffer_directions: how the buffers that move do so, one per
            coordinate, or empty.
        metrics: ``f(output, batch) -> mean over the batch``, by name.
        loss_fn: the loss as it was given.
        dtype: "float32", "float64" or "bfloat16"; None for the tensors'
            own types.
        statistics: what normalisation layers use; see :meth:`of`.
    """

    model: nn.Module
    loss: Callable[[Any, Any], Tensor]
    summed: bool
    batches: list[Any]
    origin: Params
    directions: list[Params]
    buffers: dict[str, Tensor]
    buffer_directions: list[dict[str, Tensor]]
    metrics: dict[str, Callable]
    loss_fn: Callable
    dtype: str | None
    statistics: str
    sizes: list[int] = field(default_factory=list)
    _weights: dict = field(default_factory=dict, init=False, repr=False)

    @classmethod
    def of(
        cls,
        model: nn.Module,
        loss_fn: Callable,
        batches: list[Any],
        origin: Params,
        directions: Sequence[Params],
        *,
        metrics: Mapping[str, Callable] | None = None,
        dtype: str | torch.dtype | None = None,
        statistics: str = "eval",
        buffer_directions: Sequence[Mapping[str, Tensor]] | None = None,
    ) -> "Subspace":
        """Check and gather what an evaluator needs.

        Args:
            model: any module; it is as it was after each evaluation.
            loss_fn: see :mod:`dldna.batches`. The value at a point is the mean
                over the data: means over batches, weighted by their size or
                as :func:`batch_weight` says, or sums (``reduction="sum"``)
                divided by the number of samples.
            batches: from :func:`dldna.batches.held`.
            origin: parameters at coordinates 0.
            directions: one point per coordinate.
            metrics: ``f(output, batch) -> mean over the batch``, by name.
            dtype: of the arithmetic. None leaves the model's own types;
                "float32" and "float64" cast copies; "bfloat16" computes
                products in bfloat16.
            statistics: what batch normalisation uses: "eval", the model's
                running statistics; "train", each batch's own; "recalibrate",
                statistics recomputed over the data at each point;
                "interpolate", running statistics that move along
                ``buffer_directions``. Dropout is off in all of them.
            buffer_directions: for "interpolate": a dict of floating buffers'
                steps for each direction (see :func:`buffer_steps`).

        Returns:
            The subspace.

        Raises:
            ValueError: an unknown word, names or shapes that do not fit.
        """
        device = next(iter(origin.values())).device
        dtype = dtype_name(dtype, DTYPES, device)
        choice("statistics", statistics, STATISTICS)
        directions = [dict(d) for d in directions]
        if not directions:
            raise ValueError("give at least one direction")
        if not origin:
            raise ValueError("the model has no parameters to move")
        for direction in directions:
            check_same(origin, direction)
        if (statistics == "interpolate") != (buffer_directions is not None):
            raise ValueError(
                "statistics='interpolate' and buffer_directions go together: "
                "give both (see buffer_steps) or neither"
            )
        if taken := OWN & set(metrics or {}):
            raise ValueError(f"a metric cannot be named {min(taken)!r}")
        cast = {"device": device}
        if dtype in ("float32", "float64"):
            cast["dtype"] = getattr(torch, dtype)
        batches = [bt.to(b, **cast) for b in batches]

        tensors = [*model.parameters(), *model.buffers()]
        own = {t.untyped_storage().data_ptr() for t in tensors}

        def move(tensors):
            moved = {
                k: v.detach().to(
                    **(cast if v.is_floating_point() else {"device": device})
                )
                for k, v in tensors.items()
            }
            return {  # the model's own memory is written to
                k: v.clone() if v.untyped_storage().data_ptr() in own else v
                for k, v in moved.items()
            }

        return cls(
            model=model,
            loss=bt.loss_caller(cast_loss(loss_fn, model, **cast)),
            summed=reduction(loss_fn) == "sum",
            batches=batches,
            origin=move(origin),
            directions=[move(d) for d in directions],
            buffers=move(dict(model.named_buffers())),
            buffer_directions=[move(b) for b in _moving(buffer_directions)],
            metrics=dict(metrics or {}),
            loss_fn=loss_fn,
            dtype=dtype,
            statistics=statistics,
            sizes=[bt.size(b) for b in batches],
        )

    @cached_property
    def twin(self) -> nn.Module:
        """A copy of the modules, for ways that rearrange the arithmetic.

        No parameter of it is ever written to; its modes are set once, here.
        """
        return _twin(self.model, self.statistics)

    @cached_property
    def still(self) -> set[str]:
        """The parameters that no direction moves."""
        return {
            k for k in self.origin
            if not any(bool(d[k].any()) for d in self.directions)
        }  # fmt: skip

    @property
    def samples(self) -> int:
        """Number of samples in the data."""
        return sum(self.sizes)

    @property
    def device(self) -> torch.device:
        """Where the parameters are."""
        return next(iter(self.origin.values())).device

    @cached_property
    def moving(self) -> list[Params]:
        """The directions, without the parameters that none moves."""
        return [
            {k: d[k] for k in self.origin if k not in self.still}
            for d in self.directions
        ]

    @cached_property
    def terms(self) -> dict[str, list[Tensor]]:
        """Each tensor at the origin and, if it moves, along each direction."""
        found, moves = {}, self.buffer_directions
        for k, v in self.origin.items():
            steps = [] if k in self.still else self.directions
            found[k] = [v, *(d[k] for d in steps)]
        for k, v in self.buffers.items():
            steps = moves if moves and k in moves[0] else []
            found[k] = [v, *(d[k] for d in steps)]
        return found

    def refuse_statistics_of_data(self) -> None:
        """Raise Unsupported where normalisation depends on the data."""
        if self.statistics not in ("eval", "interpolate"):
            raise Unsupported(f"statistics={self.statistics!r}")

    def parameters_at(self, coords: Sequence[float]) -> Params:
        """The parameters at one point; coordinate 0 changes no bit."""
        return _moved(self.origin, self.moves(coords))

    def moves(self, coords: Sequence[float]) -> list[tuple[float, Params]]:
        """What leads from the origin to a point, one after the other."""
        return _moves(self.moving, coords)

    def buffers_at(self, coords: Sequence[float]) -> dict[str, Tensor]:
        """Fresh buffers for one point: writing to them harms nobody."""
        at = {k: v.clone() for k, v in self.buffers.items()}
        if self.buffer_directions:
            at = _moved(at, _moves(self.buffer_directions, coords))
            for name, value in at.items():
                if name.endswith("running_var"):
                    value.clamp_(min=0)
        return at

    def negative(self, coords: np.ndarray) -> list[str]:
        """Running variances that would be below 0 at some of the points.

        They are linear in the coordinates, so the ends of the range tell.
        """
        if not self.buffer_directions:
            return []
        coords = np.asarray(coords)
        ends = {tuple(coords[i]) for i in coords.argmin(0)}
        ends |= {tuple(coords[i]) for i in coords.argmax(0)}
        ends.add(tuple(coords[coords.sum(1).argmin()]))
        ends.add(tuple(coords[coords.sum(1).argmax()]))
        found = {}
        for point in ends:
            moving = {k: self.buffers[k] for k in self.buffer_directions[0]}
            moves = _moves(self.buffer_directions, point)
            for name, value in _moved(moving, moves).items():
                if name.endswith("running_var") and bool((value < 0).any()):
                    found[name] = None
        return list(found)

    def on(self, subset: list[Any]) -> "Subspace":
        """The same subspace on other batches."""
        return replace(
            self, batches=subset, sizes=[bt.size(b) for b in subset]
        )

    def weight_of(self, batch: Any, name: str = "loss") -> float:
        """What a batch counts in a mean; worked out once for each."""
        key = name, id(batch)  # what is kept keeps its id
        if key not in self._weights:
            weight = weight_in(self.metrics.get(name), batch, self.loss_fn)
            self._weights[key] = batch, weight
        return self._weights[key][1]

    def check(self, coords: Tensor) -> Tensor:
        """Coordinates as (P, K) float64 on the CPU.

        Raises:
            ValueError: not a matrix with one column per direction.
        """
        coords = torch.as_tensor(coords, dtype=torch.float64, device="cpu")
        if coords.ndim != 2 or coords.shape[1] != len(self.directions):
            raise ValueError(
                f"coordinates must have shape (points, "
                f"{len(self.directions)}), one column for each direction, "
                f"not {tuple(coords.shape)}"
            )
        return coords


def buffer_steps(start: nn.Module, end: nn.Module) -> dict[str, Tensor]:
    """Differences of the floating buffers of two models, by name.

    With the difference of the parameters as the direction, coordinate 0
    is ``start`` and coordinate 1 is ``end``, running statistics included;
    integer buffers stay those of ``start``.

    Raises:
        ValueError: the models have different buffers.

    Example:
        >>> a, b = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
        >>> b.running_mean += 2
        >>> buffer_steps(a, b)
        {'running_mean': tensor([2.]), 'running_var': tensor([0.])}
    """
    first = {k: v for k, v in start.named_buffers() if v.is_floating_point()}
    last = {k: v for k, v in end.named_buffers() if v.is_floating_point()}
    check_same(first, last)
    return {k: last[k].detach() - v.detach() for k, v in first.items()}


def is_large(subspace: Subspace) -> bool:
    """Whether there is no room for further copies of the weights."""
    return sum(v.numel() for v in subspace.origin.values()) > LARGE


def _twin(model: nn.Module, statistics: str) -> nn.Module:
    """A copy that shares the parameters; tracing may write into buffers."""
    memo = {id(b): b.detach().clone() for b in model.buffers()}
    for p in model.parameters():
        memo |= {id(p): p, id(p.grad): p.grad}
    for module in model.modules():  # activations that a forward has kept
        for value in vars(module).values():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                memo[id(value)] = value.detach()
    try:
        twin = copy.deepcopy(model, memo)
    except Exception as error:
        raise Unsupported(
            f"{type(model).__name__} cannot be copied with copy.deepcopy "
            f"({error})"
        ) from error
    # Flags alone: eval() and train() of some models write into weights.
    moved = norms(twin) if statistics == "train" else []
    for module in twin.modules():
        module.training = module in moved
    return twin


def _moving(steps: Sequence[Mapping[str, Tensor]] | None) -> list[dict]:
    """The steps of the buffers that some direction moves; empty if none."""
    steps = steps or ()
    names = {k for step in steps for k, v in step.items() if bool(v.any())}
    kept = [{k: v for k, v in step.items() if k in names} for step in steps]
    return kept if names else []


def _moves(directions, coords) -> list[tuple[float, Params]]:
    """Coefficients and directions; 0 moves nothing, so it changes no bit."""
    return [
        (float(c), d)
        for c, d in zip(coords, directions, strict=False)
        if c != 0
    ]


def _moved(origin, moves) -> Params:
    at = dict(origin)
    for c, direction in moves:
        at |= {k: torch.add(at[k], d, alpha=c) for k, d in direction.items()}
    return at
