"""Exercises: right answers pass, wrong ones are told apart."""

import copy
import importlib
import math
import pkgutil
import re
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
import torch

from dldna import exercises
from dldna.exercises import Array, Function, Number, Option, Question
from dldna.exercises.asking import _entries

NO_PAGES = {"answer_kinds", "as_numbers", "asking", "questions"}


def test_every_name_begins_with_its_page():
    """adaptive.py holds adaptive-..., playground.py holds playground-..."""
    assert exercises.names()
    for found in pkgutil.iter_modules(exercises.__path__):
        if found.name in NO_PAGES:
            continue
        page = importlib.import_module(f"dldna.exercises.{found.name}")
        for table, form in (
            ("EXERCISES", r"ex\d+"),
            ("QUIZZES", r"(q\d+|predict)"),
        ):
            for name in getattr(page, table, {}):
                assert re.fullmatch(f"{found.name}-{form}", name)


def test_no_listed_mistake_is_the_right_answer():
    for name, kind in _entries("EXERCISES").items():
        for wrong in getattr(kind, "mistakes", {}):
            assert not kind.judge(wrong).right, (name, wrong)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'how_to_use-ex1'"):
        exercises.check("HOW_TO_USE-ex1", 1)


def test_no_answer_is_not_an_error(capsys):
    assert not exercises.check("how_to_use-ex1")
    assert "no answer yet" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (3.0, "Right"),
        (3.001, "Right"),
        (torch.tensor(3.0, requires_grad=True), "Right"),
        (-3.0, "sign"),
        (30.0, "factor of 10"),
        (0.3, "too small, by a factor of 10"),
        (6.0, "twice"),
        (1.5, "half"),
        (3.1, "very near"),
        (100.0, "too large"),
        (math.nan, "no usable number"),
        ([3.0, 3.0], "one number"),
        (7.0, "seven"),
    ],
)
def test_number(given, says):
    verdict = Number(3.0, mistakes={7.0: "seven"}).judge(given)
    assert says in verdict.says
    assert verdict.right == (says == "Right")


def test_zero_has_an_absolute_tolerance():
    assert Number(0.0).judge(1e-12).right
    assert not Number(0.0).judge(1e-3).right


class Evil:
    """Whatever it is asked, it raises."""

    def _no(self, *_, **__):
        raise RuntimeError("no")

    __array__ = __float__ = __repr__ = __str__ = __len__ = _no
    __eq__ = __hash__ = __iter__ = __complex__ = __index__ = _no

    def __getattr__(self, name):
        raise OSError("no")


class Loud(Exception):
    def __str__(self):
        raise ValueError("no")


def stops(error):
    def answer(*_):
        raise error

    return answer


LOOP = []
LOOP.append(LOOP)

# What is no number, and a word of what a student is told.
NO_NUMBERS = {
    "None": (None, "None"),
    "text": ("0.064", "text"),
    "bytes": (b"1", "text"),
    "text in a list": (["1", "2"], "in an array"),
    "text among numbers": ([1.0, "a"], ""),
    "None among numbers": ([1.0, None], "there is None"),
    "ragged": ([[1.0], [1.0, 2.0]], "cannot be read"),
    "itself": (LOOP, ""),
    "dots": ([...], "ellipsis"),
    "dict": ({"a": 1.0}, "dict"),
    "set": ({1.0}, "set"),
    "generator": ((x for x in (1.0,)), "generator"),
    "range beyond memory": (range(10**12), "entries"),
    "number beyond float64": (10**400, "beyond all bounds"),
    "complex": (1 + 2j, "complex"),
    "complex array": (np.array([1 + 2j]), "complex"),
    "complex tensor": (torch.tensor([1 + 2j]), "complex"),
    "true": (True, "True or False"),
    "date": (np.datetime64("2020-01-01"), "array"),
    "class": (int, "type"),
    "module": (torch.nn.Linear(1, 1), "Linear"),
    "function": (math.sqrt, "call it"),
    "evil": (Evil(), "cannot be read"),
    "evil list": ([Evil()], ""),
    "meta tensor": (torch.empty(1, device="meta"), "without values"),
    "huge tensor": (torch.zeros(1).expand(10**12), "entries"),
    "empty": ([], ""),
    "NaN": (math.nan, ""),
    "infinity": (-math.inf, ""),
    "largest": (1.7e308, ""),
}  # fmt: skip
# What is a function, and never the right one.
NO_FUNCTIONS = {
    "no argument": lambda: 1.0,
    "exits": stops(SystemExit(1)),
    "raises without words": stops(Loud()),
    "too deep": stops(RecursionError("too deep")),
    "a class": Evil,
    **{f"gives {k}": lambda *_, v=v: v for k, (v, _) in NO_NUMBERS.items()
       if k not in ("NaN", "infinity")},
}  # fmt: skip


@pytest.mark.parametrize("answer", NO_NUMBERS)
def test_an_answer_of_another_kind_is_told_so(answer):
    given, says = NO_NUMBERS[answer]
    for kind in (Number(3.0), Array([3.0, 4.0]), Array([[3.0]])):
        verdict = kind.judge(given)
        assert not verdict.right
        assert verdict.says.startswith("Not yet: ")
        assert says in verdict.says
        assert len(verdict.says) < 300


@pytest.mark.parametrize("name", exercises.names())
def test_check_never_raises_whatever_is_handed_in(name):
    infinite = name == "coming_from_published-ex2"  # inf is right there
    for label, (given, _) in NO_NUMBERS.items():
        assert not exercises.check(name, given), label
    for label, given in NO_FUNCTIONS.items():
        if not infinite:
            assert not exercises.check(name, given), label
    kind = _entries("EXERCISES")[name]
    if not isinstance(kind, Function):
        right = kind.answer() if callable(kind.answer) else kind.answer
        right = np.asarray(right, dtype=float)
        assert exercises.check(name, right)
        assert exercises.check(name, torch.tensor(right))
        assert exercises.check(name, right.tolist())
        assert exercises.check(name, right.astype(complex))


@pytest.mark.parametrize(
    "dtype",
    [torch.float64, torch.float32, torch.bfloat16, torch.float16,
     torch.int8, torch.int64, torch.complex64, torch.float8_e4m3fn],
)  # fmt: skip
def test_tensors_of_every_kind_are_read(dtype):
    given = torch.tensor([2.0, -4.0]).to(dtype)
    assert Array([2.0, -4.0]).judge(given).right
    if dtype.is_floating_point and dtype.itemsize > 1:
        assert Array([2.0, -4.0]).judge(given.requires_grad_()).right
    assert Number(2.0).judge(given[:1].detach()).right


def test_sparse_and_quantized_tensors_and_exact_numbers_are_read():
    kind = Array([2.0, 0.0])
    assert kind.judge(torch.tensor([2.0, 0.0]).to_sparse()).right
    assert kind.judge([Fraction(2), Decimal(0)]).right
    assert kind.judge(torch.tensor([2.0 - 1j, 1j]).conj().real).right
    assert Array([1.0, 0.0]).judge(torch.tensor([True, False])).right


def wipe(part):
    """Overwrite everything in an argument, in place."""
    if isinstance(part, np.ndarray):
        part[...] = -7
    elif isinstance(part, torch.Tensor):
        part.detach().fill_(-7)
    elif isinstance(part, list):
        for k, inner in enumerate(part):
            wipe(inner)
            part[k] = -7.0
    elif isinstance(part, tuple):
        for inner in part:
            wipe(inner)


def in_place(reference):
    """The right answer, by way of writing over each argument it has read."""

    def answer(*arguments):
        read = []
        for one in arguments:
            read.append(copy.deepcopy(one))
            wipe(one)
        return reference(*read)

    return answer


FUNCTIONS = {
    name: kind
    for name, kind in _entries("EXERCISES").items()
    if isinstance(kind, Function)
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_answer_that_writes_into_its_arguments_changes_nothing(name):
    kind = FUNCTIONS[name]
    wrong = lambda *a: np.asarray(kind.reference(*a)) + 1  # noqa: E731
    for answer, right in ((wrong, False), (in_place(kind.reference), True)):
        for _ in range(2):
            assert bool(kind.judge(answer)) is right
            assert kind.judge(kind.reference).right


@pytest.mark.parametrize("make", [np.arange, torch.arange])
def test_arguments_share_no_memory(make):
    """Views of one array, in a tuple, a list or a dict."""
    base = make(4.0)
    cases = [(base, base[2:]), ([base, [base]],), ({"a": base, "b": base},)]

    def reference(*parts):
        flat = [*parts]
        while any(isinstance(p, list | dict) for p in flat):
            flat = [
                q
                for p in flat
                for q in (
                    p.values() if isinstance(p, dict)
                    else p if isinstance(p, list) else [p]
                )
            ]  # fmt: skip
        read = []
        for p in flat:
            read.append(float(p.sum()))
            p[...] = 0
        return read

    kind = Function(reference, cases)
    for _ in range(2):
        assert kind.judge(reference).right
    assert base.tolist() == [0, 1, 2, 3]
    wanted = [[6, 5], [6, 6], [6, 6]]
    for case, sums in zip(cases, wanted, strict=True):
        assert Function(lambda *_, s=sums: s, [case]).judge(reference).right


def test_array_compares_shape_and_numbers():
    kind = Array(lambda: np.eye(2))
    assert kind.judge(torch.eye(2)).right
    assert "(0, 1)" in kind.judge([[1, 9], [0, 1]]).says
    assert "shape" in kind.judge([1, 0, 0, 1]).says


def test_function_is_tried_on_all_cases():
    kind = Function(np.abs, cases=[(1.0,), (-2.0,)])
    assert kind.judge(abs).right
    assert "(-2.0,)" in kind.judge(lambda x: x).says
    assert "return" in kind.judge(lambda x: None).says
    assert "ZeroDivisionError" in kind.judge(lambda x: x / 0).says
    assert "without calling" in kind.judge(abs(1.0)).says


def test_question_has_one_right_answer():
    with pytest.raises(ValueError, match="one right"):
        Question("?", (Option("a", ""), Option("b", "")))
    question = exercises.quiz("how_to_use-q1")
    right = [k for k in question.letters() if question.judge(k).right]
    assert len(right) == 1
    assert "one of a, b, c" in question.judge("z").says


def test_a_guess_is_judged_only_where_the_chapter_answers():
    options = Option("a", "Too few.", True), Option("b", "Too many.")
    guess = Question("How many?", options, section="Counting")
    said = {guess.judge(k).says for k in "ab"}
    assert len(said) == 1  # nobody learns the answer by trying
    assert "“Counting” answers" in said.pop()
    assert "Too few" not in guess.to_html()
    assert "Too few" in replace(guess, section="").to_html()


def test_question_html_escapes_and_carries_each_reason():
    html = Question(
        "<1?", (Option("a<b", 'say "x"', True), Option("c", "d"))
    ).to_html()
    assert "&lt;1?" in html
    assert "a&lt;b" in html
    assert "&quot;x&quot;" in html
    assert html.count('type="radio"') == 2


def test_the_longest_option_is_no_hint():
    """Chance has it right in a third of the questions, or a little less."""
    longest = [
        max(question.options, key=lambda option: len(option.text)).right
        for question in _entries("QUIZZES").values()
    ]
    assert 0.25 < np.mean(longest) < 0.4
