"""The training loop: any model, any optimizer, exact resumption."""

import math
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import Optimizer

from dldna import batches
from dldna.checks import choice, count, positive, warn
from dldna.guard import untouched
from dldna.params import usable_device
from dldna.progress import announce, track
from dldna.records import History
from dldna.training.checkpoint import save_checkpoint
from dldna.training.evaluation import as_batches, measure
from dldna.training.run_state import RunState
from dldna.training.stepping import (
    Diverged,
    accumulated_step,
    check_parameters,
    evaluation_weights,
    grouped,
    switch,
    to_training,
)


class DivergenceWarning(RuntimeWarning):
    """A loss became NaN or infinite, and training stopped there."""


def train(
    model: nn.Module,
    optimizer: Optimizer,
    train_loader: Iterable,
    test_loader: Iterable | None = None,
    *,
    epochs: int,
    loss_fn: Callable = F.cross_entropy,
    scheduler: Any = None,
    scheduler_every: str = "epoch",
    clip: float | None = None,
    accumulate: int = 1,
    callbacks: Sequence[Any] = (),
    checkpoint: str | Path | None = None,
    checkpoint_seconds: float = 60.0,
    on_divergence: str = "warn",
    seed: int = 0,
    progress: bool = True,
    device: str | torch.device | None = None,
) -> History:
    r"""Train a model, and measure what happens.

    For each batch :math:`B`, with the optimizer's rule :math:`u`:

    .. math::
        g = \nabla_w \frac{1}{|B|} \sum_{i \in B} \ell(f_w(x_i), y_i),
        \qquad w \leftarrow u(w, g).

    Global random states (they feed dropout, and loaders that shuffle by
    them) are set from ``seed`` at the start of each epoch, and are
    afterwards as they were before the call.

    Args:
        model: trained in place; its mode is afterwards as it was.
        optimizer: any ``torch.optim.Optimizer`` over its parameters. One
            whose attribute ``needs_closure`` is true gets a closure; one
            with ``needs_curvature`` (Sophia) also what it estimates its
            curvature from, on the batch of the step; one with ``train()``
            and ``eval()`` is evaluated at the weights of ``eval()``, and
            these are in the model at the end (Schedule-Free: the average;
            the next call trains on from where this one stopped).
        train_loader: batches, as :mod:`dldna.batches` reads them, or one.
        test_loader: data to evaluate on after each epoch.
        epochs: how often to run through the data, in all.
        loss_fn: a loss that is a mean over the batch.
        scheduler: of the learning rate; its ``step`` is called.
        scheduler_every: ``"epoch"`` or ``"step"``; ``"plateau"`` watches
            the test loss (or the training loss) of epochs.
        clip: largest L2 norm of the whole gradient.
        accumulate: batches to a step, whose gradients are averaged by
            samples; the step of an epoch's last batches may have fewer.
        callbacks: see :class:`Callback`.
        checkpoint: a file. Where it exists the run goes on from it, and
            ends bit for bit as if it had never been interrupted.
            :func:`load_checkpoint` says what it holds.
        checkpoint_seconds: also save within an epoch, this often; the end
            of an epoch is always saved.
        on_divergence: what to do at a NaN or infinite loss: ``"warn"``
            and stop, ``"raise"``, or ``"record"`` and stop. The step is
            not taken, and ``history.provenance.notes["diverged"]`` tells
            where it was.
        seed: of dropout and of loaders without a seed of their own.
        progress: show a bar, and an estimate if it will take long.
        device: move the model there first; by default it stays.

    Returns:
        One entry per epoch, and the loss of each step.

    Raises:
        ValueError: empty loader, labels outside the classes, a damaged
            checkpoint, one from another architecture or setting, or a
            device that is not there.
        FloatingPointError: the loss diverged, with ``"raise"``.
        TypeError: the model has no training mode.

    Example:
        >>> from dldna.data import load
        >>> from dldna.models import make
        >>> data = load("blobs")
        >>> net = make("mlp", in_shape=(2,), num_classes=3, hidden=[16])
        >>> sgd = torch.optim.SGD(net.parameters(), lr=0.5)
        >>> history = train(net, sgd, *data.loaders(32), epochs=3)
        >>> bool(history.test_accuracy[-1] > 0.9)
        True
    """
    count("epochs", epochs)
    choice("scheduler_every", scheduler_every, ("epoch", "step"))
    count("accumulate", accumulate)
    plateau = torch.optim.lr_scheduler.ReduceLROnPlateau
    if isinstance(scheduler, plateau) and scheduler_every == "step":
        raise ValueError(
            "the plateau schedule watches a loss that is measured once an "
            "epoch: give scheduler_every='epoch'"
        )
    choice("on_divergence", on_divergence, ("warn", "raise", "record"))
    if clip is not None:
        positive("clip", clip)
    train_loader = as_batches(train_loader)
    if batches.length(train_loader) == 0:
        raise ValueError("the training loader is empty: not a single batch")
    if device is not None:
        model.to(usable_device(device))
    check_parameters(model, optimizer)
    run = RunState(
        model, optimizer, train_loader, scheduler, callbacks, seed, accumulate
    )
    run.state.loss_fn = loss_fn
    path = None if checkpoint is None else Path(checkpoint)
    modes = [(module, module.training) for module in model.modules()]
    try:
        with untouched(trains=True):
            if path is not None and path.exists():
                run.restore(path)
            run.check_length(epochs, path)
            run.tell("on_start")
            bar = range(run.epoch, epochs)
            if progress:
                bar = track(bar, "training", epochs, run.epoch)
            estimate = _Estimate(epochs, progress)
            for _ in bar:
                if run.diverged or run.state.stop:
                    break
                _epoch(
                    run,
                    lambda several: accumulated_step(
                        model, optimizer, several, loss_fn, clip
                    ),
                    scheduler if scheduler_every == "step" else None,
                    _Saver(run, path, checkpoint_seconds),
                    estimate,
                )
                test = (math.nan, math.nan)
                if test_loader is not None:
                    test = _test(model, optimizer, test_loader, loss_fn)
                run.close_epoch(*test)
                if scheduler is not None and scheduler_every == "epoch":
                    _advance(scheduler, run)
                if path is not None:
                    save_checkpoint(path, run.state_dict())
            switch(optimizer, "eval")
    finally:
        for module, mode in modes:
            module.training = mode
    if run.diverged:
        _say_diverged(run.diverged, on_divergence)
    return run.history(loss_fn)


def _epoch(run, step, scheduler, saver, estimate) -> None:
    """The rest of an epoch, from where the run stands."""
    to_training(run.model, run.optimizer)
    for several in grouped(run.batches(), run.accumulate):
        several = [batches.to(batch, run.device) for batch in several]
        try:
            seen = step(several)
        except Diverged as event:
            run.count(event.seen, several)
            run.diverged = {
                "epoch": run.epoch + 1,
                "step": run.state.step,
                "loss": str(event.seen[-1][0]),
            }
            return
        run.count(seen, several)
        if scheduler is not None:
            scheduler.step()
        run.tell("on_step")
        estimate.step(run)
        saver.maybe()
    if run.position == 0:
        raise ValueError("the training loader is empty: not a single batch")


def _test(model, optimizer, loader, loss_fn) -> tuple[float, float]:
    with evaluation_weights(optimizer):
        return measure(model, loader, loss_fn)


def _advance(scheduler: Any, run: RunState) -> None:
    if isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
        tested = run.columns["test_loss"][-1]
        trained = run.columns["train_loss"][-1]
        scheduler.step(trained if math.isnan(tested) else tested)
    else:
        scheduler.step()


def _say_diverged(event: dict[str, Any], how: str) -> None:
    message = (
        f"training stopped in epoch {event['epoch']} at step "
        f"{event['step']}: the loss is {event['loss']}; a smaller lr, "
        "clip=1.0 or another initialization may help"
    )
    if how == "raise":
        raise FloatingPointError(message)
    if how == "warn":
        warn(message, DivergenceWarning)


class _Saver:
    """Saves within an epoch, every so many seconds or when asked to."""

    def __init__(self, run: RunState, path: Path | None, seconds: float):
        self.run, self.path, self.seconds = run, path, seconds
        self.last = time.perf_counter()

    def maybe(self) -> None:
        now = time.perf_counter()
        state = self.run.state
        due = state.save or now - self.last >= self.seconds
        state.save = False
        if self.path is not None and due:
            save_checkpoint(self.path, self.run.state_dict())
            self.last = time.perf_counter()


class _Estimate:
    """Says once, after a few steps, how long the whole run will take."""

    def __init__(self, epochs: int, wanted: bool, after: int = 10):
        self.epochs, self.wanted, self.after = epochs, wanted, after
        self.steps, self.began = 0, 0.0

    def step(self, run: RunState) -> None:
        self.steps += 1
        if self.steps == 1:
            self.began = time.perf_counter()
        if self.steps != self.after or not self.wanted:
            return
        count = batches.length(run.loader)
        if count is not None:
            each = (time.perf_counter() - self.began) / (self.after - 1)
            steps = math.ceil(count / run.accumulate)
            left = self.epochs * steps - run.state.step
            announce("training", each * left)
