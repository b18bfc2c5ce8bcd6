"""A fair comparison of optimizers: equal budgets, fresh seeds, spread."""

from dldna.training.tournament.contestants import CONTESTANTS, Contestant
from dldna.training.tournament.costs import StepCost, step_cost
from dldna.training.tournament.play import arena
from dldna.training.tournament.record import Arena, Pair, Rank
from dldna.training.tournament.statistics import (
    expected_best,
    holm,
    letter_groups,
    permutation_test,
    welch_test,
)

__all__ = [
    "CONTESTANTS",
    "Arena",
    "Contestant",
    "Pair",
    "Rank",
    "StepCost",
    "arena",
    "expected_best",
    "holm",
    "letter_groups",
    "permutation_test",
    "step_cost",
    "welch_test",
]
