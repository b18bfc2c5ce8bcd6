"""Lets the tests of this folder share their trials."""

import os
import sys

import pytest

from dldna import optim

sys.path.insert(0, os.path.dirname(__file__))


@pytest.fixture(scope="module", autouse=True)
def _no_twin_stays():
    """The table of optimizers is after a file as it was before."""
    tables = optim.OPTIMIZERS, optim.RULES
    kept = [set(table) for table in tables]
    yield
    for table, before in zip(tables, kept, strict=True):
        for name in table.keys() - before:
            del table[name]
    optim.cautious.cache_clear()
