"""Letters for what cannot be told apart."""

from typing import Any

import numpy as np


def letter_groups(alike: Any) -> list[str]:
    """Letters such that two share one exactly if they are alike.

    Each letter stands for a largest group of things of which all pairs
    are alike.

    Args:
        alike: (n, n) symmetric, true where a pair cannot be told apart.

    Returns:
        n strings of letters; groups are lettered in the order in which
        their first members come.

    Example:
        >>> letter_groups([[1, 1, 0], [1, 1, 1], [0, 1, 1]])
        ['a', 'ab', 'b']
    """
    alike = np.asarray(alike, dtype=bool)
    n = len(alike)
    near = [{j for j in range(n) if j != i and alike[i, j]} for i in range(n)]
    groups: list[list[int]] = []

    def grow(group: set[int], could: set[int], done: set[int]) -> None:
        if not could and not done:
            groups.append(sorted(group))
        for v in sorted(could):
            grow(group | {v}, could & near[v], done & near[v])
            could, done = could - {v}, done | {v}

    grow(set(), set(range(n)), set())
    words = [""] * n
    for k, group in enumerate(sorted(groups)):
        for i in group:
            words[i] += _letter(k)
    return words


def _letter(k: int) -> str:
    alphabet = "abcdefghijklmnopqrstuvwxyz"
    return alphabet[k] if k < 26 else f"({k + 1})"
