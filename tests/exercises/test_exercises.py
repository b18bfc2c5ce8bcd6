"""Exercises: right answers pass, wrong ones are told apart."""

import math
import re

import numpy as np
import pytest
import torch

from dldna import exercises
from dldna.exercises import Array, Function, Number, Option, Question
from dldna.exercises.asking import _entries


def test_every_name_has_the_form_of_its_chapter():
    assert exercises.names()
    for name in exercises.names():
        assert re.fullmatch(r"ch\d\d-ex\d+", name)
    for name in _entries("QUIZZES"):
        assert re.fullmatch(r"ch\d\d-q\d+", name)


def test_no_listed_mistake_is_the_right_answer():
    for name, kind in _entries("EXERCISES").items():
        for wrong in getattr(kind, "mistakes", {}):
            assert not kind.judge(wrong).right, (name, wrong)


def test_unknown_name_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'ch00-ex1'"):
        exercises.check("CH00-ex1", 1)


def test_no_answer_is_not_an_error(capsys):
    assert not exercises.check("ch00-ex1")
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


def test_text_is_a_clear_error():
    with pytest.raises(TypeError, match="number or an array"):
        Number(1.0).judge("one")


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
    question = exercises.quiz("ch00-q1")
    right = [k for k in question.letters() if question.judge(k).right]
    assert len(right) == 1
    assert "one of a, b, c" in question.judge("z").says


def test_question_html_escapes_and_carries_each_reason():
    html = Question(
        "<1?", (Option("a<b", 'say "x"', True), Option("c", "d"))
    ).to_html()
    assert "&lt;1?" in html
    assert "a&lt;b" in html
    assert "&quot;x&quot;" in html
    assert html.count('type="radio"') == 2
