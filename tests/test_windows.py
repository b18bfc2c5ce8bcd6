"""What Windows has not: the package works without it, as far as imports go.

No `fcntl`, no `resource`, no `fork`; files are locked by `msvcrt`.
"""

import subprocess
import sys

WORK = """
import os, sys
import torch, matplotlib.figure, numpy, tqdm.auto  # these know Windows
for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None  # an import of it fails
for name in ("fork", "register_at_fork", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)
import importlib, math, pkgutil
import dldna
for module in pkgutil.walk_packages(dldna.__path__, "dldna."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from dldna.progress import track
assert list(track(range(3), "three")) == [0, 1, 2]
print("imported")
"""


def test_every_module_is_imported_without_what_unix_has():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", WORK],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "imported\n"
