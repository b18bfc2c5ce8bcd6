"""The mean loss of one model on one data set.

Whoever needs a loss, a gradient, a check, the number of samples or the
provenance of a model on data asks an :class:`Objective`.
"""

from dldna.objective.cuttable import CLOSE, check_limit, gap
from dldna.objective.inputs import (
    NotFinite,
    check_call,
    check_loss,
    check_model,
    check_ready,
    check_shapes,
    name_of,
)
from dldna.objective.objective import Objective
from dldna.objective.opening import accepts_objective, opened
from dldna.objective.place import chosen_names, in_place, norms
from dldna.objective.reductions import (
    Weighed,
    batch_weight,
    cast,
    class_options,
    ignored,
    is_torchs,
    loss_name,
    reduction,
)

__all__ = [
    "CLOSE",
    "NotFinite",
    "Objective",
    "Weighed",
    "accepts_objective",
    "batch_weight",
    "cast",
    "check_call",
    "check_limit",
    "check_loss",
    "check_model",
    "check_ready",
    "check_shapes",
    "chosen_names",
    "class_options",
    "gap",
    "ignored",
    "in_place",
    "is_torchs",
    "loss_name",
    "name_of",
    "norms",
    "opened",
    "reduction",
]
