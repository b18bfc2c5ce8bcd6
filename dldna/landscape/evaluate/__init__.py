"""The evaluation engine: the loss at many points of a plane, exactly, fast.

A slow way (:class:`Slow`) evaluates any module one point at a time and is
the oracle of all others; :func:`choose` picks the fastest way that agrees
with it.
"""

from dldna.landscape.evaluate.choose import choose
from dldna.landscape.evaluate.evaluator import Evaluator
from dldna.landscape.evaluate.metrics import METRICS, accuracy
from dldna.landscape.evaluate.slow import Slow
from dldna.landscape.evaluate.subspace import Subspace, buffer_steps

__all__ = [
    "METRICS",
    "Evaluator",
    "Slow",
    "Subspace",
    "accuracy",
    "buffer_steps",
    "choose",
]
