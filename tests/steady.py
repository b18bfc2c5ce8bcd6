"""Names of tests must be the same in every process that collects them.

Two workers collect apart, and stop if their lists differ. What makes them
differ, a process number, an address, a date or the order of a set, is seen
here where only one process collects.
"""

import os
import re
import time

import pytest


def unsteady(name: str) -> str | None:
    """What another process, or day, would write differently in a name.

    A process number of fewer than five digits may be any number: it passes.
    """
    kinds = {
        "an address": r"0x[0-9a-f]{6,}",
        "today's date": time.strftime("%Y-%m-%d"),
    }
    if os.getpid() >= 10_000:
        kinds["the process number"] = rf"(?<!\d){os.getpid()}(?!\d)"
    return next(
        (k for k, seen in kinds.items() if re.search(seen, name)), None
    )


def faults(items) -> list[str]:
    """A line for each test whose name or place may change."""
    found = []
    for item in items:
        if what := unsteady(item.nodeid):
            found.append(f"{item.nodeid}: its name has {what}")
        for mark in item.iter_markers("parametrize"):
            values = (*mark.args, *mark.kwargs.values())
            if any(isinstance(v, set | frozenset) for v in values):
                found.append(f"{item.nodeid}: its parameters are a set")
    return found


def pytest_collection_modifyitems(items):
    """Refuse tests that two workers would not collect alike."""
    if found := faults(items):
        raise pytest.UsageError(
            "Every process must collect the same tests, so give these "
            "parameters fixed names and an order (ids=, sorted):",
            *found,
        )
