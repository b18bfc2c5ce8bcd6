"""The limit of time: it lets what ends end, and ends what hangs."""

import signal
import subprocess
import sys
from pathlib import Path

import hypothesis
import pytest
from hypothesis import HealthCheck

LIMIT = Path(__file__).with_name("limit.py")
# Hangs, with a child that holds on to its output, once both are at work.
HANGS = """
import faulthandler, pathlib, subprocess, sys, threading
faulthandler.enable()
deep = "import sys, time; print('deep', flush=True); print(file=sys.stderr); "
deep = [sys.executable, "-uc", deep + "time.sleep(3600)"]
child = subprocess.Popen(deep, stderr=subprocess.PIPE)
child.stderr.readline()

def hang():
    pathlib.Path(sys.argv[1]).touch()
    threading.Event().wait()

hang()
"""
# The limit, whose time is over when the file is there.
OVER = """
import pathlib, subprocess, sys, time
sys.path.insert(0, sys.argv[1])
import limit
plain = subprocess.Popen.wait

def wait(self, timeout=None):
    if timeout != 4:
        return plain(self, timeout)
    while not pathlib.Path(sys.argv[2]).exists():
        assert self.poll() is None
        time.sleep(0.001)
    raise subprocess.TimeoutExpired(self.args, timeout)

subprocess.Popen.wait = wait
sys.exit(limit.run(4, [sys.executable, "-c", *sys.argv[3:], sys.argv[2]]))
"""


def limited(seconds, *command):
    return subprocess.run(
        [sys.executable, LIMIT, str(seconds), *command],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("status", [0, 1, 5])
def test_what_ends_in_time_keeps_its_status(status):
    code = f"print('said'); raise SystemExit({status})"
    done = limited(600, sys.executable, "-c", code)
    assert (done.returncode, done.stdout, done.stderr) == (
        status,
        "said\n",
        "",
    )


def test_what_a_signal_ended_says_so():
    code = f"import os; os.kill(os.getpid(), {int(signal.SIGTERM)})"
    done = limited(600, sys.executable, "-c", code)
    assert done.returncode == 128 + signal.SIGTERM


def test_what_hangs_is_ended_with_all_its_children(tmp_path):
    """Its stack is told; and with a child alive this would not return."""
    done = subprocess.run(
        [sys.executable, "-c", OVER, LIMIT.parent, tmp_path / "over", HANGS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 124, done.stderr
    assert "deep" in done.stdout
    assert "not done after 4 s" in done.stderr
    assert "in hang" in done.stderr


def test_every_test_and_every_target_has_a_limit(pytestconfig):
    """One for a test, and one for what runs them all."""
    assert pytestconfig.pluginmanager.hasplugin("timeout")
    assert 0 < float(pytestconfig.getini("timeout")) <= 600
    assert hypothesis.settings.default.deadline is None
    assert HealthCheck.too_slow in (
        hypothesis.settings.default.suppress_health_check
    )
    makefile = (LIMIT.parents[1] / "Makefile").read_text()
    limited = {"TESTS", "BUILD", "WITHIN"}
    for line in makefile.replace("\\\n", " ").splitlines():
        if "-m pytest" in line or "jupyter-book build" in line:
            named = line.split(" := ")[0] in limited
            assert named or "tests/limit.py" in line, line
