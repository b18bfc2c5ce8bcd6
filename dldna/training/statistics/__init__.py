"""What a handful of seeds can and cannot tell apart: one voice."""

from dldna.training.statistics.all_pairs import Comparisons, compare_all
from dldna.training.statistics.budget import expected_best
from dldna.training.statistics.compare import Comparison, compare, told_apart
from dldna.training.statistics.letter_display import letter_groups
from dldna.training.statistics.p_values import (
    holm,
    permutation_interval,
    permutation_test,
    smallest_p,
    t_interval,
    t_test,
    welch_test,
)
from dldna.training.statistics.power import power
from dldna.training.statistics.rate_selection import Choice, choose_rate

__all__ = [
    "Choice",
    "Comparison",
    "Comparisons",
    "choose_rate",
    "compare",
    "compare_all",
    "expected_best",
    "holm",
    "letter_groups",
    "permutation_interval",
    "permutation_test",
    "power",
    "smallest_p",
    "t_interval",
    "t_test",
    "told_apart",
    "welch_test",
]
