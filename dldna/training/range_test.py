"""The learning-rate range test: one short run through all rates."""

import copy
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from dldna import batches, checks
from dldna.guard import loss_kept, untouched
from dldna.objective.inputs import name_of
from dldna.objective.reductions import loss_name
from dldna.progress import track
from dldna.records import Provenance, Record
from dldna.training.evaluation import as_batches, home
from dldna.training.run_state import seed_all
from dldna.training.stepping import (
    Diverged,
    check_parameters,
    optimizer_step,
    to_training,
)


@dataclass(frozen=True, eq=False)
class RateRange(Record):
    """What a range test saw: T steps, each at a larger rate.

    Args:
        rates: (T,) learning rate of each step.
        losses: (T,) loss of each step's batch before the step; the last
            one may be NaN or infinite.
        smoothed: (T,) the same, smoothed.
        suggested: rate of the steepest fall of ``smoothed`` over the
            logarithm of the rate; NaN where it never falls.
        provenance: where it came from; ``notes["diverged"]`` says whether
            the test stopped early because the loss rose too far.
    """

    rates: np.ndarray
    losses: np.ndarray
    smoothed: np.ndarray
    suggested: float
    provenance: Provenance = field(default_factory=Provenance)


def lr_range(
    model: nn.Module,
    optimizer: Optimizer,
    train_loader: Iterable,
    *,
    loss_fn: Callable = F.cross_entropy,
    low: float = 1e-6,
    high: float = 10.0,
    steps: int = 100,
    smoothing: float = 0.9,
    stop_at: float = 4.0,
    clip: float | None = None,
    seed: int = 0,
    progress: bool = True,
) -> RateRange:
    r"""Train at rates that grow step by step, and watch the loss.

    .. math::
        \eta_i = \eta_\text{low}
            (\eta_\text{high} / \eta_\text{low})^{i / (T - 1)}, \qquad
        \bar L_i = \frac{1 - \beta}{1 - \beta^{i + 1}}
            \sum_{j \le i} \beta^{i - j} L_j

    The suggested rate is that of the steepest fall of :math:`\bar L` over
    :math:`\ln \eta`, before its lowest point. It comes from one short run
    and depends on start, batch size and smoothing: a place to begin a
    search, not its end. Model, optimizer, loss, loader and random states
    are afterwards as they were, also after an error or Ctrl-C.

    Args:
        model: where the test begins; at its start, as a rule.
        optimizer: any optimizer over its parameters, as :func:`train`
            takes them. Groups keep the ratios of their rates, and the
            rates given are those of the group with the largest; a group
            at rate 0 stands still.
        train_loader: batches, or one; run through again where they are
            too few.
        loss_fn: a loss that is a mean over the batch.
        low: first rate.
        high: last rate.
        steps: number :math:`T` of steps.
        smoothing: :math:`\beta` in [0, 1).
        stop_at: stop where the smoothed loss lies further above its
            lowest value than this many times that value, less one; and
            at NaN and infinity.
        clip: largest L2 norm of the whole gradient.
        seed: of dropout and of loaders without a seed of their own.
        progress: show a bar.

    Returns:
        Rates, losses and the suggestion;
        :func:`dldna.plotting.rate_range` draws them.

    Raises:
        ValueError: an empty loader, ``low`` not below ``high``, fewer
            than 3 steps, or an optimizer made for another model.
        TypeError: the model has no training mode.

    Example:
        >>> from dldna.data import load
        >>> from dldna.models import make
        >>> net = make("mlp", in_shape=(2,), num_classes=3, hidden=[16])
        >>> adam = torch.optim.Adam(net.parameters())
        >>> train_loader, _ = load("blobs").loaders(32)
        >>> found = lr_range(net, adam, train_loader, steps=40)
        >>> bool(1e-4 < found.suggested < 1), adam.param_groups[0]["lr"]
        (True, 0.001)

    References:
        Smith, 2017, WACV, arXiv 1506.01186.
    """
    checks.count("steps", steps, 3)
    checks.fraction("smoothing", smoothing)
    checks.positive("low", low)
    if checks.positive("high", high) <= low:
        raise ValueError(f"high must be above low, {low}, not {high}")
    if checks.number("stop_at", stop_at) <= 1:
        raise ValueError(f"stop_at must be above 1, not {stop_at}")
    if clip is not None:
        checks.positive("clip", clip)
    check_parameters(model, optimizer)
    train_loader = as_batches(train_loader)
    rates = np.geomspace(low, high, steps)
    began = time.perf_counter()
    losses: list[float] = []
    smooth: list[float] = []
    mean, diverged = 0.0, False
    with _put_back(model, optimizer, loss_fn, train_loader):
        to_training(model, optimizer)
        move = _mover(optimizer)
        place, items = home(model), _endless(train_loader, seed)
        for rate in track(rates, "range test") if progress else rates:
            move(float(rate))
            batch = batches.to(next(items), place)
            losses.append(_loss(model, optimizer, batch, loss_fn, clip))
            mean = smoothing * mean + (1 - smoothing) * losses[-1]
            smooth.append(mean / (1 - smoothing ** len(losses)))
            best = min(smooth)
            diverged = not smooth[-1] <= best + (stop_at - 1) * abs(best)
            if diverged:
                break
    seen = rates[: len(losses)]
    params = list(model.parameters())
    return RateRange(
        rates=seen,
        losses=np.array(losses),
        smoothed=np.array(smooth),
        suggested=steepest_fall(seen, np.array(smooth)),
        provenance=Provenance(
            made="learning-rate range test",
            seed=seed,
            model=type(model).__name__,
            n_params=sum(p.numel() for p in params),
            data=name_of(train_loader),
            loss=loss_name(loss_fn),
            device=str(place),
            dtype=str(params[0].dtype).removeprefix("torch."),
            seconds=time.perf_counter() - began,
            notes={
                "optimizer": type(optimizer).__name__,
                "smoothing": smoothing,
                "diverged": diverged,
            },
        ),
    )


def steepest_fall(rates: np.ndarray, smoothed: np.ndarray) -> float:
    """The rate where a curve falls fastest over the logarithm of the rate.

    Example:
        >>> rates = 10.0 ** np.arange(-4, 2)
        >>> float(steepest_fall(rates, np.array([3, 2.9, 2, 1, 0.9, 4])))
        0.01
    """
    known = np.isfinite(smoothed)
    if known.sum() < 2:
        return math.nan
    lowest = int(np.argmin(np.where(known, smoothed, np.inf)))
    if lowest == 0:
        return math.nan
    x, y = np.log(rates[: lowest + 1]), smoothed[: lowest + 1]
    return float(rates[np.argmin(np.gradient(y, x))])


def _loss(model, optimizer, batch, loss_fn, clip) -> float:
    """One step, and the loss before it; not finite where none is taken."""
    try:
        return optimizer_step(model, optimizer, batch, loss_fn, clip)[0]
    except Diverged as event:
        return float(event.seen[-1][0])


def _endless(loader: Iterable, seed: int) -> Iterator[Any]:
    """Batches, epoch after epoch."""
    epoch = 0
    while True:
        seed_all(seed, epoch)
        own = hasattr(loader, "batches")
        first = epoch
        for batch in loader.batches(epoch) if own else loader:
            first = None
            yield batch
        if first is not None:
            raise ValueError(
                "the training loader is empty: not a single batch"
                if epoch == 0
                else "the training loader can be run through only once, "
                "and has fewer batches than steps: give a loader, or "
                "fewer steps"
            )
        epoch += 1


def _mover(optimizer: Optimizer) -> Callable[[float], None]:
    """Sets all groups' rates, at their ratios."""
    base = [float(g["lr"]) for g in optimizer.param_groups]
    top = max(base)
    shares = [b / top for b in base] if top > 0 else [1.0] * len(base)

    def move(rate: float) -> None:
        for group, share in zip(optimizer.param_groups, shares, strict=True):
            new: float | Tensor = rate * share
            if isinstance(group["lr"], Tensor):
                new = torch.full_like(group["lr"], new)
            group["lr"] = new

    return move


@contextmanager
def _put_back(model, optimizer, loss_fn, loader) -> Iterator[None]:
    """Everything that training writes to, as it was."""
    order = getattr(loader, "generator", None)
    order = order.get_state() if isinstance(order, torch.Generator) else None
    with ExitStack() as stack:
        stack.enter_context(untouched(model, trains=True))
        stack.enter_context(loss_kept(loss_fn))
        stack.enter_context(_alien_kept(model, optimizer))
        for each in _within(optimizer):
            stack.enter_context(_optimizer_kept(each))
        try:
            yield
        finally:
            if order is not None:
                loader.generator.set_state(order)


def _within(optimizer: Optimizer) -> list[Optimizer]:
    """An optimizer and those that it is made of."""
    inner = [*getattr(optimizer, "parts", ()), getattr(optimizer, "base", 0)]
    inner = [o for o in inner if isinstance(o, Optimizer)]
    return [optimizer, *(o for one in inner for o in _within(one))]


@contextmanager
def _alien_kept(model: nn.Module, optimizer: Optimizer) -> Iterator[None]:
    """Parameters that the optimizer has and the model has not."""
    own = {id(p) for p in model.parameters()}
    groups = optimizer.param_groups
    others = [p for g in groups for p in g["params"] if id(p) not in own]
    kept = [(p, p.detach().clone(), p.grad) for p in others]
    for p in others:  # so that zero_grad and backward write elsewhere
        p.grad = None
    try:
        yield
    finally:
        for p, value, grad in kept:
            with torch.no_grad():
                p.copy_(value)
            p.grad = grad


@contextmanager
def _optimizer_kept(optimizer: Optimizer) -> Iterator[None]:
    """Its settings, its state and its attributes, the same objects.

    The test runs on copies of the state's tensors.
    """
    groups = [(group, dict(group)) for group in optimizer.param_groups]
    attributes, state = dict(vars(optimizer)), optimizer.state
    kept = dict(state)
    params = [p for group, _ in groups for p in group["params"]]
    state.update(copy.deepcopy(kept, {id(p): p for p in params}))
    try:
        yield
    finally:
        state.clear()
        state.update(kept)
        vars(optimizer).clear()
        vars(optimizer).update(attributes)
        for group, before in groups:
            group.clear()
            group.update(before)
