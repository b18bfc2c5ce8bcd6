"""What students hand in that is right, in whatever form, and is taken."""

from itertools import permutations

import numpy as np
import pytest
import torch

from dldna.exercises import Array, Function, Number, check
from dldna.exercises.asking import _entries


def three(value: float) -> float:
    """Rounded to three digits, as by hand."""
    return float(f"{value:.2e}")


ENTRIES = _entries("EXERCISES")


def right_answer(name):
    kind = ENTRIES[name]
    answer = kind.answer() if callable(kind.answer) else kind.answer
    return np.asarray(answer, dtype=float)


@pytest.mark.parametrize(
    "name", [n for n, kind in ENTRIES.items() if not hasattr(kind, "cases")]
)
def test_three_digits_are_enough(name):
    right = right_answer(name)
    digits = np.vectorize(three)(right)
    assert check(name, digits)
    assert check(name, np.float32(right))
    if right.ndim == 1:
        assert check(name, right[:, None])
        assert check(name, right[None])
    if right.ndim:
        parts = [torch.tensor(v, requires_grad=True) for v in right]
        assert check(name, parts)


@pytest.mark.parametrize(
    ("given", "right"),
    [(16.7, True), (16.6, False), (16.8, False), (17, False), (16.68, True)],
)
def test_rounding_is_no_tolerance(given, right):
    assert Number(50 / 3).judge(given).right is right
    assert Array([50 / 3, 1.0]).judge([given, 1.0]).right is right


def test_a_decimal_comma_is_called_so():
    assert "point" in Number(1.26).judge((1, 26)).says
    assert "point" not in Number(1.26).judge([1, 26]).says


def test_counts_are_not_rounded():
    assert not Number(1234).judge(1230).right
    assert Number(2.0).judge(2.004).says.endswith("too large.")


def test_an_array_says_how_its_first_number_is_off():
    kind = Array([1.0, 2.0, 3.0], mistakes=[([3, 2, 1], "the other way.")])
    assert "index 1 is off: the size is right" in kind.judge([1, -2, 3]).says
    assert "2 of 3" in kind.judge([1, 4, 6]).says
    assert "first at index 1: twice" in kind.judge([1, 4, 6]).says
    assert kind.judge([3, 2, 1]).says == "Not yet: the other way."
    assert "3 numbers" in kind.judge(np.ones((3, 3))).says
    assert "this is only one" in kind.judge(1.0).says


def test_the_inverse_is_called_so():
    assert "one over that" in Number(0.3).judge(1 / 0.3).says


def test_a_function_names_its_mistake():
    kind = Function(
        lambda x: x**2, [(1.0,), (3.0,)], mistakes=[(lambda x: x, "square.")]
    )
    assert kind.judge(lambda x: 1.0 * x).says == "Not yet: square."
    assert "it gives 27.0" in kind.judge(lambda x: x**3).says


def test_each_listed_mistake_is_told():
    for name, kind in ENTRIES.items():
        wrong = getattr(kind, "mistakes", ())
        for one in wrong if isinstance(wrong, tuple | list) else ():
            verdict = kind.judge(one[0])
            assert verdict.says == f"Not yet: {one[1]}", name


# Right on one kind of arguments only: by loops, by numpy, by torch.
WRITTEN = {
    "numpy's index pairs": (
        "connectivity-ex5",
        lambda G: max(
            permutations(range(len(G))),
            key=lambda p: G[range(len(G)), p].sum(),
        ),
    ),
    "lists of lists": (
        "connectivity-ex5",
        lambda G: max(
            permutations(range(len(G))),
            key=lambda p: sum(row[k] for row, k in zip(G, p, strict=True)),
        ),
    ),
    "arithmetic on arrays": (
        "scales-ex3",
        lambda x: ((x[::2] - x[1::2]) ** 2).sum() / 2
        / ((x - x.mean()) ** 2).sum(),
    ),
    "a loop over a list": (
        "scales-ex3",
        lambda x: sum((a - b) ** 2 for a, b in zip(x[::2], x[1::2])) / 2  # noqa: B905
        / sum((a - sum(x) / len(x)) ** 2 for a in x),
    ),
    "torch's norm": (
        "planes-ex4",
        lambda d, w: d
        / torch.linalg.vector_norm(d.flatten(1), dim=1).view(
            -1, *[1] * (d.ndim - 1))
        * torch.linalg.vector_norm(w.flatten(1), dim=1).view(
            -1, *[1] * (d.ndim - 1)),
    ),
    "an index of a list": (
        "coming_from_published-ex2",
        lambda x, level: next(
            (k for k, v in enumerate(x, 1) if v < level), float("inf")),
    ),
}  # fmt: skip


@pytest.mark.parametrize("how", WRITTEN)
def test_a_function_may_be_made_for_lists_arrays_or_tensors(how):
    name, answer = WRITTEN[how]
    assert check(name, answer)
