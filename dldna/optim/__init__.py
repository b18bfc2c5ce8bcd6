"""How networks move: optimizers as pure rules, with a full shell each."""

from dldna.optim.adabelief import AdaBelief, adabelief
from dldna.optim.adafactor import Adafactor, adafactor
from dldna.optim.adagrad import Adagrad, adagrad
from dldna.optim.adam import (
    Adam,
    AdamW,
    NAdam,
    RAdam,
    adam,
    adamw,
    nadam,
    radam,
)
from dldna.optim.clipping import (
    adaptive,
    by_norm,
    by_value,
    clip_grad_adaptive,
    clip_grad_norm,
    clip_grad_value,
)
from dldna.optim.entropy_sgd import EntropySGD, entropy_inner, entropy_outer
from dldna.optim.layerwise import LAMB, LARS, lamb, lars
from dldna.optim.lion import Lion, lion
from dldna.optim.memory import StateMemory, state_memory
from dldna.optim.mixed import Mixed, hidden_weights, muon_and_adamw
from dldna.optim.muon import Muon, muon, newton_schulz
from dldna.optim.pal import PAL, Parabola, pal
from dldna.optim.prodigy import DAdaptAdam, Prodigy, dadapt_adam, prodigy
from dldna.optim.rmsprop import RMSprop, rmsprop
from dldna.optim.rule import RULES, Rule, register
from dldna.optim.sam import ASAM, SAM, asam, sam
from dldna.optim.scaling import scaled_step
from dldna.optim.schedule_free import (
    ScheduleFreeAdamW,
    ScheduleFreeSGD,
    average,
    schedule_free_adamw,
    schedule_free_sgd,
)
from dldna.optim.schedules import (
    SCHEDULES,
    Noam,
    WarmupStableDecay,
    schedule,
    schedule_values,
)
from dldna.optim.sgd import SGD, sgd
from dldna.optim.shampoo import Shampoo, shampoo
from dldna.optim.shell import RuleOptimizer
from dldna.optim.soap import SOAP, soap
from dldna.optim.sophia import (
    SophiaG,
    SophiaH,
    gauss_newton_bartlett,
    hutchinson,
    sophia,
    sophia_curvature,
)
from dldna.optim.table import OPTIMIZERS, VARIANTS, Known, find, make

__all__ = [
    "ASAM",
    "LAMB",
    "LARS",
    "OPTIMIZERS",
    "PAL",
    "RULES",
    "SAM",
    "SCHEDULES",
    "SGD",
    "SOAP",
    "VARIANTS",
    "AdaBelief",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "DAdaptAdam",
    "EntropySGD",
    "Known",
    "Lion",
    "Mixed",
    "Muon",
    "NAdam",
    "Noam",
    "Parabola",
    "Prodigy",
    "RAdam",
    "RMSprop",
    "Rule",
    "RuleOptimizer",
    "ScheduleFreeAdamW",
    "ScheduleFreeSGD",
    "Shampoo",
    "SophiaG",
    "SophiaH",
    "StateMemory",
    "WarmupStableDecay",
    "adabelief",
    "adafactor",
    "adagrad",
    "adam",
    "adamw",
    "adaptive",
    "asam",
    "average",
    "by_norm",
    "by_value",
    "clip_grad_adaptive",
    "clip_grad_norm",
    "clip_grad_value",
    "dadapt_adam",
    "entropy_inner",
    "entropy_outer",
    "find",
    "gauss_newton_bartlett",
    "hidden_weights",
    "hutchinson",
    "lamb",
    "lars",
    "lion",
    "make",
    "muon",
    "muon_and_adamw",
    "nadam",
    "newton_schulz",
    "pal",
    "prodigy",
    "radam",
    "register",
    "rmsprop",
    "sam",
    "scaled_step",
    "schedule",
    "schedule_free_adamw",
    "schedule_free_sgd",
    "schedule_values",
    "sgd",
    "shampoo",
    "soap",
    "sophia",
    "sophia_curvature",
    "state_memory",
]
