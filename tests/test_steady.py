"""Names that another process would write differently are seen in one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from steady import unsteady

FILE = """
import time, pytest
same = [1, "0x1f", 2.5, "3000-01-01", "1000000000", object(), [2], {}, len]
kinds = {
    "same": dict(argnames="x", argvalues=same),
    "object": dict(argnames="x", argvalues=[str(object())]),
    "function": dict(argnames="x", argvalues=[1], ids=[repr(lambda: 0)]),
    "date": dict(argnames="x", argvalues=[time.strftime("run %Y-%m-%d")]),
    "ordered": dict(argnames="x", argvalues={"a", "b"}),
}
for name, options in kinds.items():
    @pytest.mark.parametrize(**options)
    def test(x):
        pass
    globals()["test_" + name] = test
"""
SEEN = {
    "object": "an address",
    "function": "an address",
    "date": "today's date",
    "ordered": "a set",
}


def test_the_collection_is_refused_and_says_why(tmp_path):
    (tmp_path / "test_it.py").write_text(FILE)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "steady", "-c", os.devnull,
         "--rootdir", tmp_path, "-p", "no:cacheprovider", "--collect-only",
         "-q", tmp_path],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent),
             "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == pytest.ExitCode.USAGE_ERROR, done.stdout
    lines = [s for s in done.stderr.splitlines() if "test_it.py" in s]
    for name, what in SEEN.items():
        mine = [s for s in lines if f"::test_{name}[" in s]
        assert mine, (name, lines)
        assert all(s.endswith(what) for s in mine), mine
    assert not any("::test_same[" in s for s in lines)


@pytest.mark.parametrize("name", ["p.{}", "{}", "{}-a", "run_{}.pt"])
def test_a_process_number_is_seen(name, monkeypatch):
    name = f"test_it.py::test_it[{name}]"
    monkeypatch.setattr(os, "getpid", lambda: 31415)
    assert unsteady(name.format(31415)) == "the process number"
    assert unsteady(name.format(314159)) is None
    monkeypatch.setattr(os, "getpid", lambda: 64)  # so may other numbers be
    assert unsteady(name.format(64)) is None
