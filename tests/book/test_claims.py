"""Claims are asserted, and assertions that cannot fail are found."""

import json

import numpy as np
import pytest

import dldna.book
from dldna.book import claim, glue
from dldna.training import compare

RNG = np.random.default_rng(0)
LOW, HIGH = RNG.normal(0, 1, 5), RNG.normal(9, 1, 5)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    monkeypatch.setattr(dldna.book, "CLAIMS", {})


def better(a, b):
    return compare(a, b).verdict == "better"


TRUE = {
    "numbers": (1, "<", 2, 0.5),
    "arrays": (LOW, "<", HIGH, 1),
    "array and number": (HIGH, ">", 3, 1),
    "equal": (1.0, "==", 1.001, 0.01),
    "equal arrays": (LOW, "==", LOW + 1e-9, 1e-6),
    "exactly": (3, "==", 3, 0),
    "around zero": (0.0, "==", 0.0, 0),
    "negative": (-3, "<", -1, 1),
    "huge": (1e300, ">", 1e299, 1e298),
    "a test": (LOW, better, HIGH, 1),
}
FALSE = {
    "wrong way": (2, "<", 1, 0),
    "inside the margin": (1, "<", 1.4, 0.5),
    "at the margin": (1, "<", 1.5, 0.5),
    "one of five": (np.append(LOW[:4], 20), "<", HIGH, 0),
    "not equal": (1, "==", 1.1, 0.01),
    "no number": (np.nan, "<", 1, 0),
    "no numbers": (np.nan, "==", np.nan, 1),
    "a test": (LOW, better, LOW + 0.01, 0),
    "a test within the margin": (LOW, better, HIGH, 20),
}


@pytest.mark.parametrize("kind", TRUE)
def test_what_is_true_holds_and_was_tried(kind):
    left, op, right, margin = TRUE[kind]
    claim(kind, left, op, right, margin=margin)
    assert len(dldna.book.CLAIMS[kind]["tried"]) == 2
    json.dumps(dldna.book.CLAIMS[kind])


@pytest.mark.parametrize("kind", FALSE)
def test_what_is_false_is_said(kind):
    left, op, right, margin = FALSE[kind]
    with pytest.raises(AssertionError, match="does not hold"):
        claim("it", left, op, right, margin=margin)
    assert not dldna.book.CLAIMS


# Assertions that were met in chapters, and hold whatever was measured.
VACUOUS = {
    "looks one way only": lambda a, b: a.min() <= b.max(),
    "ranges that touch": lambda a, b: (
        not (a.min() > b.max() and b.min() > a.max())
    ),
    "a threshold beyond all": lambda a, b: a.max() < 1e6,
    "some pair differs": lambda a, b: np.ptp(a) > 0,
    "largest above least": lambda a, b: b.max() > b.min(),
    "always": lambda a, b: True,
}


@pytest.mark.parametrize("kind", VACUOUS)
def test_an_assertion_that_cannot_fail_is_found(kind):
    with pytest.raises(AssertionError, match="cannot fail"):
        claim("it", LOW, VACUOUS[kind], HIGH)
    assert not dldna.book.CLAIMS


def test_bad_claims_are_named():
    with pytest.raises(ValueError, match="unknown comparison"):
        claim("it", 1, "<=", 2)
    with pytest.raises(ValueError, match="margin must be"):
        claim("it", 1, "<", 2, margin=-1)


def test_both_sides_are_stored_with_the_cell(monkeypatch):
    sent = []
    monkeypatch.setattr("IPython.get_ipython", object)
    monkeypatch.setattr(
        "IPython.display.display",
        lambda data, metadata, raw: sent.append((data, metadata)),
    )
    claim("near", [1.0, 1.5], "<", 2, margin=0.25)
    [(data, metadata)] = sent
    assert metadata["scrapbook"]["name"] == "claim near"
    [text] = data.values()
    kept = json.loads(eval(text))
    assert (kept["left"], kept["right"]) == ([1.0, 1.5], 2)
    assert (kept["op"], kept["margin"]) == ("<", 0.25)


def test_the_last_cell_counts_them(capsys):
    dldna.book.colophon()
    assert "Claims" not in capsys.readouterr().out
    claim("a", 1, "<", 2)
    claim("b", 2, "==", 2)
    dldna.book.colophon()
    said = capsys.readouterr().out
    assert "Claims: 2 hold, and fail on 4 results made false" in said


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (0.0004, "{:.2f}"), (-0.0004, "{:.1f}"), (0.2, "{:.0f} %"),
        (0.0004, "{:.0%}"), (np.float32(1e-9), "{:.1f}"),
        (0.004, "at most {:.2f}"),
    ],
)  # fmt: skip
def test_a_size_does_not_read_as_zero(value, form):
    with pytest.raises(ValueError, match="would read as"):
        glue("size", value, form)
    glue("size", value, form, zero=True)


def test_what_is_zero_may_say_so():
    glue("none", 0.0, "{:.0f} %")


@pytest.mark.parametrize(
    ("value", "form"),
    [
        (0, "{:d}"), (np.int64(0), "{:d}"), ("0 of 21", "{}"),
        (0.01, "{:.2f}"), (10.0, "{:.0f}"), (1e-20, "{:.0e}"),
        (100.0, "{:.0f} %"), (float("nan"), "{:.2f}"), (None, "{}"),
    ],
)  # fmt: skip
def test_counts_and_other_numbers_may_read_as_they_do(value, form):
    glue("size", value, form)
