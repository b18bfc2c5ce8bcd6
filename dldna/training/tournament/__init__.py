"""A fair comparison of optimizers: equal budgets, fresh seeds, spread."""

from dldna.training.tournament.contestants import CONTESTANTS, Contestant
from dldna.training.tournament.costs import StepCost, step_cost
from dldna.training.tournament.play import arena
from dldna.training.tournament.record import Arena, Pair, Rank

__all__ = [
    "CONTESTANTS",
    "Arena",
    "Contestant",
    "Pair",
    "Rank",
    "StepCost",
    "arena",
    "step_cost",
]
