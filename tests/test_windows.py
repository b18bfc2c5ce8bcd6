"""What Windows has not: the package works without it.

No `fcntl`, no `resource`, no `fork`; files are locked by `msvcrt`, and
workers start with the method spawn, which reads the caller's script anew.
"""

import subprocess
import sys

import pytest

LACKS = """
import os, sys, types
import torch, numpy, tqdm.auto  # these know Windows

for name in ("fcntl", "resource", "pwd", "grp", "termios"):
    sys.modules[name] = None  # an import of it fails
for name in ("fork", "register_at_fork", "sched_getaffinity"):
    if hasattr(os, name):
        delattr(os, name)

held = {}

def locking(handle, mode, size):
    "One byte, where the file stands, until the file is closed."
    assert (mode, size) == (2, 1)
    file = os.fstat(handle)
    place = file.st_ino, os.lseek(handle, 0, os.SEEK_CUR)
    other = held.setdefault(place, handle)
    try:
        taken = other != handle and os.path.samestat(os.fstat(other), file)
    except OSError:  # closed
        taken = False
    if taken:
        raise PermissionError(13, "Permission denied")
    held[place] = handle

sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
"""
IMPORTS = """
import importlib, pkgutil
import dldna
for module in pkgutil.walk_packages(dldna.__path__, "dldna."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
from dldna.progress import track
assert list(track(range(3), "three")) == [0, 1, 2]
print("imported")
"""
LOCKS = """
from pathlib import Path
from dldna.landscape.scan import locking
folder = Path(sys.argv[1])
with locking.locked(folder, "computing"):
    locking._HELD.clear()  # as in another process
    try:
        with locking.locked(folder, "computing"):
            print("both")
    except RuntimeError as error:
        print(str(error).replace(str(os.getpid()), "X").split(" in ")[0])
with locking.locked(folder, "computing"):
    print("free again")
"""
WORKERS = """
import numpy as np
from torch import nn
from joblib.externals.loky.backend.context import set_start_method
from dldna.landscape import surface

class Mine(nn.CrossEntropyLoss):
    def forward(self, output, target):
        assert "fcntl" in sys.modules and sys.modules["fcntl"] is None
        return super().forward(output, target)

def main():
    set_start_method("spawn")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 3))
    data = torch.randn(24, 6), torch.randint(3, (24,))
    two = surface(net, Mine(), data, resolution=5, way="slow", n_jobs=2,
                  out=sys.argv[1])
    one = surface(net, nn.CrossEntropyLoss(), data, resolution=5)
    np.testing.assert_allclose(two.losses, one.losses, rtol=1e-6)
    print("the same from", two.evaluated.sum(), "points")

# In one piece: two workers may write at the same time.
os.write(1, f"read by {__name__}".encode() + os.linesep.encode())
if __name__ == "__main__":
    main()
"""


def run(script, folder, first=""):
    """Lines that a script prints, there without what Unix has."""
    file = folder / "script.py"
    file.write_text(first + LACKS + script)
    done = subprocess.run(
        [sys.executable, "-W", "ignore", file, folder / "out"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


@pytest.mark.full
def test_every_module_is_imported_without_what_unix_has(tmp_path):
    """And a folder has one writer at a time."""
    wanted = ["imported", "process X is computing", "free again"]
    first = "import matplotlib.figure\n"  # which knows Windows
    assert run(IMPORTS + LOCKS, tmp_path, first) == wanted


@pytest.mark.full
def test_workers_may_read_the_callers_script_anew(tmp_path):
    pytest.importorskip("joblib")
    lines = run(WORKERS, tmp_path)
    assert lines.count("read by __mp_main__") == 2
    assert "the same from 25 points" in lines  # workers may say theirs later
