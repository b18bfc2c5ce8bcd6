"""Observers for training loops of others, and where their numbers go.

:class:`Observe` records sharpness, trace, gradient noise, step sizes and
weights while any loop trains, within a stated share of its time, and leaves
the run as it would be without. ``observe.for_trainer()`` is a callback for
Hugging Face's ``Trainer``, ``observe.for_lightning()`` one for Lightning,
and ``observe.for_accelerate(...)`` goes into a loop of accelerate.

A sink is any object with ``log(values, step)``; :class:`CSV`,
:class:`TensorBoard`, :class:`WandB` and :class:`MLflow` are some. No
library is imported before it is used.
"""

from dldna.integrations.observer import Observe
from dldna.integrations.sinks import CSV, MLflow, TensorBoard, WandB

__all__ = ["CSV", "MLflow", "Observe", "TensorBoard", "WandB"]
