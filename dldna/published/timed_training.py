"""Training as the published functions do it: an estimate first, a bar."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F
from torch.optim import Optimizer

from dldna import batches
from dldna.guard import untouched
from dldna.progress import announce, track
from dldna.records import History
from dldna.training import Callback, train


def run(
    model: nn.Module,
    optimizer: Optimizer,
    train_loader: Iterable,
    test_loader: Iterable | None = None,
    *,
    epochs: int,
    callbacks: Iterable[Any] = (),
    loss_fn: Callable = F.cross_entropy,
    quiet: bool = False,
    **options: Any,
) -> History:
    """Say how long it will take, then train with a bar over the epochs.

    Args:
        model: trained in place.
        optimizer: over its parameters.
        train_loader: batches to train on.
        test_loader: data to evaluate on after each epoch.
        epochs: passes over the data.
        callbacks: see :class:`dldna.training.Callback`.
        loss_fn: a loss that is a mean over the batch.
        quiet: no estimate.
        **options: of :func:`dldna.training.train`.
    """
    if not quiet:
        seconds = foresee(model, train_loader, test_loader, loss_fn)
        announce("training", seconds * epochs)
    bar = _Bar(epochs)
    try:
        return train(
            model, optimizer, train_loader, test_loader, epochs=epochs,
            loss_fn=loss_fn, callbacks=[*callbacks, bar], progress=False,
            **options,
        )  # fmt: skip
    finally:
        bar.close()


def foresee(
    model: nn.Module,
    train_loader: Iterable,
    test_loader: Iterable | None,
    loss_fn: Callable,
) -> float:
    """Seconds for an epoch, from the first batch; the model stays.

    0 where a loader has no length, or starts no new pass when asked again.

    Args:
        model: evaluated forward and back on one batch, once or twice.
        train_loader, test_loader: the data; their own random states stay.
        loss_fn: the loss.
    """
    count = batches.length(train_loader)
    if count is None or hasattr(train_loader, "__next__"):
        return 0.0
    device = next(model.parameters()).device
    call = batches.loss_caller(loss_fn)
    with untouched(model, trains=True), _as_they_were(train_loader):
        model.train()
        several = getattr(train_loader, "batches", None)
        items = iter(train_loader) if several is None else several(0)
        batch = next(iter(items), None)
        if batch is None:
            return 0.0
        batch = batches.to(batch, device)
        seconds = 0.0
        for _ in range(2):  # the first one warms up
            start = time.perf_counter()
            try:
                with torch.enable_grad():
                    output = batches.apply(model, batches.split(batch)[0])
                    call(output, batch).backward()
            except Exception:  # training says it better
                return 0.0
            seconds = time.perf_counter() - start
            if seconds * count < 1:
                break
    # forward alone is about a third
    return seconds * (count + (batches.length(test_loader) or 0) / 3)


@contextmanager
def _as_they_were(loader: Iterable) -> Iterator[None]:
    """Put the random states back that a loader and its sampler hold."""
    homes = (loader, getattr(loader, "sampler", None))
    found = [getattr(home, "generator", None) for home in homes]
    kept = [(g, g.get_state()) for g in found if g is not None]
    try:
        yield
    finally:
        for generator, state in kept:
            generator.set_state(state)


class _Bar(Callback):
    """A bar over the epochs, which appears after two seconds."""

    def __init__(self, epochs: int):
        self.bar = track((), "training", total=epochs)

    def on_epoch(self, state) -> None:
        self.bar.update(state.epoch - self.bar.n)

    def close(self) -> None:
        self.bar.close()
