"""A few kills of each job; ``make test-kill`` makes fifty of each.

Single kills at chosen moments stand in tests/training/test_checkpoint.py,
tests/landscape/test_resume.py, tests/landscape/test_trajectory.py and
tests/data/test_download.py.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("kill_many.py")
JOBS = ("training", "surface evaluation", "checkpoint streaming", "download")


@pytest.mark.full
@pytest.mark.parametrize("job", JOBS)
def test_killed_jobs_end_as_if_nobody_had_killed_them(job):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--kills", "2", "--seed", "3", "--json",
         "--job", job],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    count = json.loads(done.stdout)[job]
    assert count["kills"] == 2
    assert count["identical"] == count["runs"] >= 1


FORKS = {"fork", "forkpty", "set_start_method", "get_context"}


def test_no_test_forks_a_process_that_has_threads():
    """A child shares the locks its parent's threads held when it forked."""
    found = set()
    for path in SCRIPT.parents[1].rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in FORKS:
                found.add(f"{path.name}:{node.lineno} {node.attr}")
    assert not found
