"""How networks move: optimizers as pure rules, with a full shell each.

**Names.** :func:`find` and :func:`make` take any spelling; so do
:func:`dldna.training.sweep`, :func:`dldna.walks.walk`, the arena and the
playground.

**Groups.** Each group may have its own settings. What the network has only
once (Prodigy's ``d0``, Sophia's ``seed``, the line of PAL) must be the same
in all groups. A misspelt setting, or one of another optimizer, is refused;
any other key is a label and is kept. A group whose ``lr`` is 0 stands still
(LARS lets its momentum run out, Schedule-Free goes on averaging).

**Saved states.** Where ``torch.optim`` has an optimizer of the same name,
``state_dict`` uses torch's names, so each loads what the other saved. A
state that fits neither is refused, and nothing is changed.

**Half precision.** Elementwise rules work in the type of the weights, as
torch's do. Shampoo and SOAP factor in float32; they, Prodigy and
D-Adaptation keep their state in float32.

**Gradient scaler.** ``scaler.step(optimizer)`` serves every optimizer that
steps from gradients. SAM, ASAM, PAL, Entropy-SGD and exact MARS evaluate the
loss themselves: use :func:`scaled_step`.

**Distributed checkpoints.** ``get_optimizer_state_dict`` and
``set_optimizer_state_dict`` of ``torch.distributed.checkpoint.state_dict``
take a step at rate 0 with gradients of 0 when an optimizer has no state
yet. SAM, ASAM, PAL, Entropy-SGD, exact MARS and Sophia need a closure or a
curvature for a step and refuse it there: let them take a step of their own
first, or save their plain ``state_dict``. All others can be used, and no
weight moves.
"""

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
from dldna.optim.grad_scaler import scaled_step
from dldna.optim.layer_adaptive import LAMB, LARS, lamb, lars
from dldna.optim.lion import Lion, lion
from dldna.optim.masked_steps import CautiousAdamW, cautious, cautious_mask
from dldna.optim.memory_use import StateMemory, state_memory
from dldna.optim.mixed import Mixed, hidden_weights, muon_and_adamw
from dldna.optim.muon import Muon, muon, newton_schulz
from dldna.optim.norm_descent import Scion, scion, scion_param_groups, steepest
from dldna.optim.pal import PAL, Parabola, pal
from dldna.optim.past_moment import ADOPT, adopt
from dldna.optim.prodigy import DAdaptAdam, Prodigy, dadapt_adam, prodigy
from dldna.optim.registry import OPTIMIZERS, VARIANTS, Known, find, make
from dldna.optim.rmsprop import RMSprop, rmsprop
from dldna.optim.rule import RULES, Rule, register
from dldna.optim.sam import ASAM, SAM, asam, sam
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
    WarmupThen,
    schedule,
    schedule_values,
)
from dldna.optim.sgd import SGD, sgd
from dldna.optim.shampoo import Shampoo, shampoo
from dldna.optim.shell import RuleOptimizer
from dldna.optim.slow_mean import AdEMAMix, ademamix, alpha_at, beta3_at
from dldna.optim.soap import SOAP, soap
from dldna.optim.sophia import (
    SophiaG,
    SophiaH,
    gauss_newton_bartlett,
    hutchinson,
    sophia,
    sophia_curvature,
)
from dldna.optim.variance_reduced import MARS, ExactMARS, mars

__all__ = [
    "ADOPT",
    "ASAM",
    "LAMB",
    "LARS",
    "MARS",
    "OPTIMIZERS",
    "PAL",
    "RULES",
    "SAM",
    "SCHEDULES",
    "SGD",
    "SOAP",
    "VARIANTS",
    "AdEMAMix",
    "AdaBelief",
    "Adafactor",
    "Adagrad",
    "Adam",
    "AdamW",
    "CautiousAdamW",
    "DAdaptAdam",
    "EntropySGD",
    "ExactMARS",
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
    "Scion",
    "Shampoo",
    "SophiaG",
    "SophiaH",
    "StateMemory",
    "WarmupStableDecay",
    "WarmupThen",
    "adabelief",
    "adafactor",
    "adagrad",
    "adam",
    "adamw",
    "adaptive",
    "ademamix",
    "adopt",
    "alpha_at",
    "asam",
    "average",
    "beta3_at",
    "by_norm",
    "by_value",
    "cautious",
    "cautious_mask",
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
    "mars",
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
    "scion",
    "scion_param_groups",
    "sgd",
    "shampoo",
    "soap",
    "sophia",
    "sophia_curvature",
    "state_memory",
    "steepest",
]
