"""What each page of the book says about itself: time, data, versions."""

from __future__ import annotations

import json
import platform
import re
import time
from collections.abc import Callable, Iterator

import numpy as np
import torch

import dldna
from dldna import checks

#: Where the book and the package live.
REPOSITORY = "https://github.com/dldna/dldna"

#: The claims that this process has asserted, by name.
CLAIMS: dict[str, dict] = {}

_STARTED = time.perf_counter()  # the set-up cell imports this module first


def colophon(dataset: object = None, seed: int | None = None) -> None:
    """Print how this page came to be; the last cell of every chapter.

    The same command, data set, seed, threads and versions give the same
    numbers on one machine. This line is what it takes to repeat them.

    Args:
        dataset: the data set the chapter used: one of :mod:`dldna.data`
            or its name; None if it used none.
        seed: the chapter's seed; None if nothing in it is random.

    Example:
        >>> colophon("digits", seed=0)  # doctest: +ELLIPSIS
        Run time: ... s
        Data: digits
        Seed: 0
        Threads: ...
        Versions: dldna ..., Python ..., torch ..., numpy ...
    """
    name = getattr(dataset, "name", dataset)
    versions = {
        "dldna": dldna.__version__,
        "Python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
    }
    facts = {
        "Run time": f"{time.perf_counter() - _STARTED:.1f} s",
        "Data": name,
        "Seed": seed,
        "Threads": torch.get_num_threads(),
        "Claims": _counted(),
        "Versions": ", ".join(f"{k} {v}" for k, v in versions.items()),
    }
    known = {key: fact for key, fact in facts.items() if fact is not None}
    print("\n".join(f"{key}: {fact}" for key, fact in known.items()))


def glue(
    name: str,
    value: object,
    form: str = "{:.3g}",
    machine: bool = False,
    zero: bool = False,
) -> None:
    """Hand a number from a cell to the prose of the same page.

    The text then says ``{glue:text}`name```, so that no number in it is
    typed by hand. In Jupyter nothing is shown.

    Args:
        name: what the prose calls it; unique in the page.
        value: a number, or any object that ``form`` can format.
        form: a format string with one field.
        machine: whether this is a time, a speed or a size of the machine
            it ran on. All other numbers must repeat, to the last digit:
            ``make test-repeat`` compares them.
        zero: whether the sentence can say that there is nothing. A
            number that is not whole and would read as zero is refused
            otherwise: "0 % smaller" says nothing to a reader.

    Raises:
        ValueError: the number would read as zero, or does not fit its
            form.

    Example:
        >>> glue("share", 0.123456, "{:.1%}")  # shown as 12.3%
        >>> glue("rest", 0.00012, "{:.1%}")
        Traceback (most recent call last):
        ...
        ValueError: 'rest' is 0.00012 and would read as '0.0%': show more \
digits, or say with zero=True that the sentence means nothing at all
        >>> glue("share", "many", "{:.1%}")
        Traceback (most recent call last):
        ...
        ValueError: Unknown format code '%' for object of type 'str'
    """
    text = form.format(value)
    if not zero and _reads_as_zero(text) and _is_size(value):
        raise ValueError(
            f"{name!r} is {value!r} and would read as {text!r}: show more "
            "digits, or say with zero=True that the sentence means nothing "
            "at all"
        )
    _send(name, text)


def claim(
    name: str,
    left: object,
    op: str | Callable[[np.ndarray, np.ndarray], bool],
    right: object,
    *,
    margin: float = 0.0,
) -> None:
    """Assert what a sentence says, and that the assertion can fail.

    The sentence carries the mark ``<!-- claim: NAME -->`` behind it; the
    page of claims links the two.

    ==============  ====================================================
    op              what must hold
    ==============  ====================================================
    ``"<"``         each left + margin < right
    ``">"``         each left > right + margin
    ``"=="``        each left within margin of right
    a function      ``op(left, right)`` is true, and the means are more
                    than the margin apart
    ==============  ====================================================

    An assertion that holds whatever was measured is worth nothing. So it
    is tried at once on results that would refute the sentence, and must
    fail on each: with the two sides exchanged, and with the left side
    moved until the closest pair is just past the margin; ``"=="`` with
    the left side moved just past the margin, up and down; a function on
    two sides of equal mean.

    Args:
        name: of the claim, unique in the page.
        left, right: numbers, or arrays of one value for each run.
        op: the comparison: a sign, or a function of the two sides such
            as a test: ``lambda a, b: compare(a, b).verdict == "better"``.
        margin: what the difference must exceed (for ``"=="``, may not
            exceed), in the unit of the two sides.

    Raises:
        AssertionError: it does not hold, or it cannot fail.
        ValueError: an unknown sign or a negative margin.

    Example:
        >>> claim("ahead", [3.0, 3.1], ">", [1.0, 1.2], margin=1)
        >>> claim("ahead", 1.05, ">", 1.0, margin=0.1)
        Traceback (most recent call last):
        ...
        AssertionError: claim 'ahead' does not hold: 1.05 > 1 by more than \
0.1
        >>> touch = lambda a, b: a.max() >= b.min()  # looks one way only
        >>> claim("overlap", np.array([1, 3]), touch, np.array([2, 2.5]))
        Traceback (most recent call last):
        ...
        AssertionError: claim 'overlap' cannot fail: it also holds with \
the two sides exchanged
    """
    checks.nonnegative("margin", margin)
    if not callable(op):
        checks.choice("comparison", op, ("<", ">", "=="))
    left, right = (np.asarray(side, dtype=float) for side in (left, right))
    if not _holds(left, op, right, margin):
        raise AssertionError(
            f"claim {name!r} does not hold: {_side(left)} "
            f"{_sign(op)} {_side(right)} by more than {margin:g}"
            if op != "=="
            else f"claim {name!r} does not hold: {_side(left)} equals "
            f"{_side(right)} within {margin:g}"
        )
    tried = []
    for word, a, b in _mutations(left, op, right, margin):
        # A function must refuse by itself, not by the margin.
        again = bool(op(a, b)) if callable(op) else _holds(a, op, b, margin)
        if again:
            raise AssertionError(
                f"claim {name!r} cannot fail: it also holds with {word}"
            )
        tried.append(word)
    CLAIMS[name] = {
        "left": left.tolist(),
        "op": _sign(op),
        "right": right.tolist(),
        "margin": margin,
        "tried": tried,
    }
    _send(f"claim {name}", json.dumps(CLAIMS[name]))


def _holds(left, op, right, margin: float) -> bool:
    """Whether a comparison holds; NaN never does."""
    if callable(op):
        apart = abs(left.mean() - right.mean())
        return bool(op(left, right)) and bool(apart > margin)
    gap = right - left
    if op == "==":
        return bool((np.abs(gap) <= margin).all())
    return bool(((gap if op == "<" else -gap) > margin).all())


def _mutations(left, op, right, margin: float) -> Iterator[tuple]:
    """Results that would refute the sentence."""
    if op == "==":
        step = margin * (1 + 1e-6) + 1e-9 * max(1e-300, np.abs(right).max())
        yield "the left side just above the margin", right + step, right
        yield "the left side just below the margin", right - step, right
        return
    yield "the two sides exchanged", right, left
    if callable(op):
        level = left - left.mean() + right.mean()
        yield "the two means made equal", level, right
        return
    gap = right - left if op == "<" else left - right
    past = (gap.min() - margin) * (1 + 1e-6)
    past += 1e-12 * np.abs(right).max()
    moved = left + past if op == "<" else left - past
    yield "the left side moved just past the margin", moved, right


def _sign(op) -> str:
    return getattr(op, "__name__", repr(op)) if callable(op) else op


def _side(values: np.ndarray) -> str:
    return " ".join(f"{v:.4g}" for v in values.ravel()[:8]) + (
        " ..." if values.size > 8 else ""
    )


def _counted() -> str | None:
    if not CLAIMS:
        return None
    tried = sum(len(found["tried"]) for found in CLAIMS.values())
    return f"{len(CLAIMS)} hold, and fail on {tried} results made false"


def _reads_as_zero(text: str) -> bool:
    digits = re.sub(r"[^0-9.]|e[-+]?\d+", "", text)
    return "0" in digits and not digits.strip("0.")


def _is_size(value: object) -> bool:
    """A number that is not 0, or might not be; what is 0 may say so."""
    if isinstance(value, int | np.integer | str):
        return False
    try:
        return float(value) != 0
    except (TypeError, ValueError):
        return False


def _send(name: str, text: str) -> None:
    """Store a text with the cell's output; nothing is shown."""
    try:
        from IPython import get_ipython
        from IPython.display import display
    except ImportError:
        return
    if get_ipython() is not None:
        prefix = "application/papermill.record/"
        display(
            # In quotes: the page evaluates it, and 6,000 would be a tuple.
            {f"{prefix}text/plain": repr(text)},
            metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
            raw=True,
        )
