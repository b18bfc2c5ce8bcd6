"""Nothing is sent: only the download of data sets uses the network."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dldna

HOME = Path(dldna.__file__).parent
NETWORK = {
    "aiohttp", "asyncio", "ftplib", "http", "httpx", "imaplib", "poplib",
    "requests", "smtplib", "socket", "socketserver", "ssl", "telnetlib",
    "urllib", "urllib3", "webbrowser", "xmlrpc",
}  # fmt: skip
# What others would fetch for us.
FETCH = {"download_url", "load_state_dict_from_url", "urlretrieve"}


def modules_of(node):
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    if isinstance(node, ast.ImportFrom) and not node.level:
        return {(node.module or "").split(".")[0]}
    return set()


def fetches(node):
    """Whether a call asks somebody else to fetch."""
    if not isinstance(node, ast.Call):
        return False
    *home, called = ast.unparse(node.func).split(".")
    words = {keyword.arg for keyword in node.keywords}
    return called in FETCH or "hub" in home or "download" in words


def test_only_the_download_and_the_explorer_know_the_network():
    """The explorer listens, on this machine alone: tests/explorer."""
    users = set()
    for path in sorted(HOME.rglob("*.py")):
        name = path.relative_to(HOME).as_posix()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if modules_of(node) & NETWORK or fetches(node):
                users.add(name)
    assert users == {"data/download.py", "explorer/served.py"}


WORK = """
import importlib, pkgutil, sys, tempfile

ASKED = []
REACH = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname",
         "socket.sendto", "urllib.Request", "http.client.connect")
sys.addaudithook(lambda event, _: event in REACH and ASKED.append(event))

import torch
from torch import nn
import dldna
from dldna import init, training
from dldna.data import Loader, load
from dldna.landscape import surface

for module in pkgutil.walk_packages(dldna.__path__, "dldna."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
small = load("digits").take(100, n_test=20)
net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
init.initialize(net, "kaiming_normal", seed=0)
adam = torch.optim.Adam(net.parameters())
loader = Loader(small.train_x, small.train_y, 50)
with tempfile.TemporaryDirectory() as home:
    training.train(net, adam, loader, epochs=1, checkpoint=home + "/run.pt",
                   progress=False)
data = small.train_x, small.train_y
found = surface(net, nn.CrossEntropyLoss(), data, resolution=5)
assert found.evaluated.all()
print(ASKED)
import urllib.request
try:
    urllib.request.urlopen("http://127.0.0.1:9/", timeout=1)
except OSError:
    print(bool(ASKED))
"""


@pytest.mark.slow
def test_imports_training_and_landscapes_ask_nobody():
    """And the watch sees one who does."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WORK],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-2:] == ["[]", "True"]
