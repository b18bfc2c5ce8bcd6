"""A few lines for each library whose loop calls the observer.

A library is imported where its callback is made, never before.
"""

import sys
from collections.abc import Callable
from typing import Any

from dldna.integrations.library import library


def trainer_callback(observe: Any) -> Any:
    """A callback for the ``Trainer`` of Hugging Face's transformers.

    The ``Trainer`` tells its callbacks no loss of a step, so that this
    stays NaN; the loss on the fixed samples is measured.

    Raises:
        ImportError: transformers is not installed.
    """
    why = "observing a Trainer"

    class Observing(library("transformers", why).TrainerCallback):
        def on_train_begin(
            self, args, state, control, model=None, optimizer=None, **_
        ):
            if state.is_world_process_zero:
                observe.watch(model, bare(optimizer), state.global_step)

        def on_optimizer_step(self, args, state, control, **_):
            if state.is_world_process_zero:
                epoch = int(state.epoch or 0) + 1
                observe(step=state.global_step + 1, epoch=epoch)

        def on_train_end(self, args, state, control, **_):
            if state.is_world_process_zero:
                observe.close()

    return Observing()


def lightning_callback(observe: Any) -> Any:
    """A callback for the ``Trainer`` of Lightning, by either of its names.

    Where gradients are accumulated, Lightning divides each loss by the
    number of batches; their sum is the loss of the step.

    Raises:
        ImportError: Lightning is not installed.
    """
    other = "pytorch_lightning"
    name = other if other in sys.modules else "lightning.pytorch"
    name = "lightning.pytorch" if "lightning.pytorch" in sys.modules else name
    home = library(name, "observing a Lightning Trainer")

    class Observing(home.Callback):
        def on_train_start(self, trainer, pl_module):
            self.step, self.loss = trainer.global_step, 0.0
            if trainer.is_global_zero:
                first = trainer.optimizers[0]
                observe.watch(pl_module, bare(first), self.step)

        def on_train_batch_end(self, trainer, pl_module, outputs, *_):
            found = isinstance(outputs, dict) and "loss" in outputs
            self.loss += outputs["loss"].detach() if found else float("nan")
            if trainer.global_step > self.step:
                if trainer.is_global_zero:
                    epoch = trainer.current_epoch + 1
                    observe(trainer.global_step, self.loss, epoch)
                self.step, self.loss = trainer.global_step, 0.0

        def on_train_end(self, trainer, pl_module):
            if trainer.is_global_zero:
                observe.close()

    return Observing()


def accelerated(
    observe: Any, accelerator: Any, model: Any, optimizer: Any
) -> Callable:
    """Begin to watch what ``accelerator.prepare`` gave.

    Args:
        observe: the observer.
        accelerator: accelerate's ``Accelerator``.
        model: as prepared.
        optimizer: as prepared.

    Returns:
        To be called after each ``optimizer.step()``, with ``loss=`` where
        it is known; calls between two updates (gradient accumulation), and
        those of other processes, are passed over.
    """
    first = accelerator.is_main_process
    if first:
        observe.watch(accelerator.unwrap_model(model), bare(optimizer))

    def after_step(**known: Any) -> None:
        if first and accelerator.sync_gradients:
            observe(**known)

    return after_step


def bare(optimizer: Any) -> Any:
    """The optimizer inside a library's wrapper."""
    return getattr(optimizer, "optimizer", optimizer)
