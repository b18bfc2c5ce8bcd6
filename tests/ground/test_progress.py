"""Bars: drawn late or not at all, and no process waits for a dead one."""

import ast
import io
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import dldna
from dldna.progress import Bar, announce, track

HOME = Path(dldna.__file__).parent


def test_one_file_knows_the_bars_of_others():
    users = set()
    for path in HOME.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            if any(name.split(".")[0] == "tqdm" for name in names):
                users.add(path.relative_to(HOME).as_posix())
    assert users == {"progress.py"}


def test_a_bar_starts_no_thread(monkeypatch):
    monkeypatch.setenv("DLDNA_PROGRESS", "1")
    before = threading.enumerate()
    assert list(track(range(3), "three")) == [0, 1, 2]
    assert threading.enumerate() == before


def test_what_a_bar_draws(monkeypatch):
    monkeypatch.setenv("DLDNA_PROGRESS", "1")
    out = io.StringIO()
    with Bar(range(4), "four", file=out, mininterval=0) as bar:
        bar.delay = 0
        for _ in bar:
            pass
    assert "four:  75%" in out.getvalue()


@pytest.mark.parametrize("wish", [None, "1", "0"])
def test_an_estimate_is_said_of_what_takes_long(wish, monkeypatch, capsys):
    monkeypatch.delenv("DLDNA_PROGRESS", raising=False)
    if wish is not None:
        monkeypatch.setenv("DLDNA_PROGRESS", wish)
    announce("surface", 12)
    announce("surface", 95)
    said = "" if wish == "0" else "surface: about 1 min 35 s\n"
    assert capsys.readouterr().out == said


# Every lock that processes of a tree share is made by multiprocessing.
WORK = """
import multiprocessing, multiprocessing.synchronize as s, os, sys, threading

def refuse(*_, **__):
    raise AssertionError("a lock of the whole process tree")

multiprocessing.RLock = multiprocessing.Lock = refuse
s.SemLock.__init__ = refuse
import torch
from torch import nn
from dldna.data import Loader, load
from dldna.landscape import line, surface, top_eigenpairs
from dldna.training import train
from dldna.data import download
from dldna.progress import Bar
from pathlib import Path

net = nn.Sequential(nn.Linear(2, 3))
blobs = load("blobs")
data = blobs.train_x[:20], blobs.train_y[:20]
loss = nn.CrossEntropyLoss()
train(net, torch.optim.SGD(net.parameters(), 0.1), Loader(*data), epochs=1)
surface(net, loss, data, resolution=3)
top_eigenpairs(net, loss, data, k=1)
file = Path(sys.argv[1])
file.write_bytes(b"abc")
download._download(file.as_uri(), file.with_name("copy"))
assert file.with_name("copy").read_bytes() == b"abc"
print([t.name for t in threading.enumerate()], Bar._lock.__class__.__name__)
"""


@pytest.mark.full
def test_no_job_makes_a_lock_that_outlives_its_holder(tmp_path):
    """Training, surfaces, curvature and downloads, with their bars on."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WORK, str(tmp_path / "f")],
        env={**os.environ, "DLDNA_PROGRESS": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['MainThread'] RLock"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_child_forked_while_the_lock_is_held_draws_on():
    code = (
        "import os, threading\n"
        "from dldna.progress import Bar, track\n"
        "held, done = threading.Event(), threading.Event()\n"
        "def hold():\n"
        "    with Bar.get_lock():\n"
        "        held.set(); done.wait()\n"
        "threading.Thread(target=hold).start(); held.wait()\n"
        "pid = os.fork()\n"
        "if not pid:\n"
        "    list(track(range(3), 'three')); os._exit(7)\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
        "done.set()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "DLDNA_PROGRESS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        assert process.communicate()[0] == "7\n"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
