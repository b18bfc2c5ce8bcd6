"""How networks move: optimizers as pure rules, with a full shell each."""

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
from dldna.optim.make import OPTIMIZERS, VARIANTS, make
from dldna.optim.rmsprop import RMSprop, rmsprop
from dldna.optim.rule import RULES, Rule, register
from dldna.optim.sgd import SGD, sgd
from dldna.optim.shell import RuleOptimizer

__all__ = [
    "OPTIMIZERS",
    "RULES",
    "SGD",
    "VARIANTS",
    "Adagrad",
    "Adam",
    "AdamW",
    "NAdam",
    "RAdam",
    "RMSprop",
    "Rule",
    "RuleOptimizer",
    "adagrad",
    "adam",
    "adamw",
    "make",
    "nadam",
    "radam",
    "register",
    "rmsprop",
    "sgd",
]
