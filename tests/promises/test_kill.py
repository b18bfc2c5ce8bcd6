"""A few kills of each job; ``make test-kill`` makes fifty of each.

Single kills at chosen moments stand in tests/training/test_checkpoint.py,
tests/landscape/test_resume.py, tests/landscape/test_trajectory.py and
tests/data/test_download.py.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).with_name("kill_many.py")
JOBS = ("training", "surface evaluation", "checkpoint streaming", "download")


def test_killed_jobs_end_as_if_nobody_had_killed_them():
    done = subprocess.run(
        [sys.executable, SCRIPT, "--kills", "4", "--seed", "3", "--json"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # The last line: older releases of torchvision print their downloads.
    found = json.loads(done.stdout.splitlines()[-1])
    assert set(found) == set(JOBS)
    for name, count in found.items():
        assert count["kills"] == 4, name
        assert count["identical"] == count["runs"] >= 1, name
