"""All comparisons, one after the other, with the seconds of each.

    make bench                           # peers and libraries installed
    python -m benchmarks [NAME ...]      # what is at hand

Of the scripts in this folder these hold ours against what a user would pick
instead. The others make what the book stores (``dldna/stored``) and take
hours: they are called by name alone.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
LIMIT = 1_200  # seconds: whatever hangs ends
COMPARISONS = {
    "landscape": ("--rounds", "3", "--seconds", "0.5"),
    "library_models": (),
    "curvature": ("--quick",),
    "optim_step": (),
    "training": ("--images", "12800"),
    "trajectory": ("--checkpoints", "100"),
    "two_weights": (),
    "sweep": ("--steps", "2000"),
    "explorer": (),
    "observe": ("--steps", "2000"),
}


def main(names: list[str]) -> int:
    """Run some, or all; 1 where one failed."""
    for name in names:
        if name not in COMPARISONS:
            sys.exit(f"no comparison is called {name!r}: {[*COMPARISONS]}")
    took, failed = {}, []
    for name in names or COMPARISONS:
        print(f"== {name}", flush=True)
        start = time.monotonic()
        if not run(name):
            failed.append(name)
        took[name] = time.monotonic() - start
    for name, seconds in took.items():
        print(f"{seconds:6.0f} s  {name}{' FAILED' * (name in failed)}")
    print(f"{sum(took.values()):6.0f} s  in all")
    return 1 if failed else 0


def run(name: str) -> bool:
    """One script, in a process of its own."""
    command = [sys.executable, HERE / f"{name}.py", *COMPARISONS[name]]
    try:
        done = subprocess.run(
            command, check=False, timeout=LIMIT,
            env={**os.environ, "DLDNA_PROGRESS": "0"},
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        print(f"{name}: ended after {LIMIT:,} s", flush=True)
        return False
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
