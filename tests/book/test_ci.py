"""The check of a change ends, tells its times, and fails if a part does."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PARTS = (
    *("test", "test-full", "test-libraries"),
    *("dist", "book", "test-pages"),
)
MAKE = """#!/bin/sh
echo "make $2"
case $2 in
  {fails}) echo "== 1 failed, 2 passed in 0.5s =="; echo no >&2; exit 2;;
  {hangs}) sleep 3600;;
  test*) echo "===== 3 passed in 1.25s (0:00:01) ====="; echo after;;
esac
"""


@pytest.fixture
def run(tmp_path):
    """Run it, with a make of our own."""
    for name in (".ci/run", "tests/limit.py"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(ROOT / name, tmp_path / name)
    tools = tmp_path / "tools"
    tools.mkdir()
    (tools / "chromium").write_text("#!/bin/sh\n")
    (tools / "chromium").chmod(0o755)

    def start(fails="none", hangs="none", limit="600"):
        (tools / "make").write_text(MAKE.format(fails=fails, hangs=hangs))
        (tools / "make").chmod(0o755)
        return subprocess.run(
            ["bash", tmp_path / ".ci" / "run"],
            env={"PATH": f"{tools}:{os.environ['PATH']}", "LIMIT": limit,
                 "PYTHON": sys.executable},
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    return start


def test_it_ends_with_the_runner_s_own_line(run):
    done = run()
    assert done.returncode == 0, done.stderr
    *lines, last = done.stdout.splitlines()
    assert last == "===== 3 passed in 1.25s (0:00:01) ====="
    lines = lines[-len(PARTS) :]
    for line, name in zip(lines, PARTS, strict=True):
        assert re.match(rf"{name}: \d+ s", line)
        assert ("3 passed" in line) == name.startswith("test")


@pytest.mark.parametrize("part", PARTS)
def test_a_part_that_fails_fails_the_whole(run, part):
    done = run(fails=part)
    assert done.returncode == 2
    assert done.stdout.splitlines()[-1] == "== 1 failed, 2 passed in 0.5s =="
    assert f"make {part}\n" in done.stdout
    for later in PARTS[PARTS.index(part) + 1 :]:
        assert f"make {later}\n" not in done.stdout


def test_a_part_that_hangs_is_ended(run):
    done = run(hangs="test", limit="1")
    assert done.returncode == 124
    assert "not done after 1 s" in done.stderr
