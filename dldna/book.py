"""What each page of the book says about itself: time, data, versions."""

from __future__ import annotations

import platform
import time

import numpy as np
import torch

import dldna

#: Where the book and the package live.
REPOSITORY = "https://github.com/dldna/dldna"

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
        "Versions": ", ".join(f"{k} {v}" for k, v in versions.items()),
    }
    known = {key: fact for key, fact in facts.items() if fact is not None}
    print("\n".join(f"{key}: {fact}" for key, fact in known.items()))


def glue(
    name: str, value: object, form: str = "{:.3g}", machine: bool = False
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

    Example:
        >>> glue("share", 0.123456, "{:.1%}")  # shown as 12.3%
        >>> glue("share", "many", "{:.1%}")
        Traceback (most recent call last):
        ...
        ValueError: Unknown format code '%' for object of type 'str'
    """
    text = form.format(value)
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
