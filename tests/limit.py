"""Run a command with a limit of time; whatever hangs ends, and says where.

    python tests/limit.py 1800 python -m pytest

When the time is over every process of the command is asked for its stack
(SIGABRT: pytest's processes print where each thread stands) and ended; the
exit status is then 124. Ctrl-C and SIGTERM are handed on.
"""

import contextlib
import os
import signal
import subprocess
import sys

GRACE_S = 10.0


def run(seconds: float, command: list[str]) -> int:
    """The command's exit status, or 124 if its time was over."""
    process = subprocess.Popen(command, start_new_session=True)
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda number, _: _tell(process, number))
    try:
        status = process.wait(seconds)
        return status if status >= 0 else 128 - status
    except subprocess.TimeoutExpired:
        print(
            f"{' '.join(command)}: not done after {seconds:g} s, so it is "
            "ended",
            file=sys.stderr,
            flush=True,
        )
        _tell(process, signal.SIGABRT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
        return 124
    finally:
        _tell(process, signal.SIGKILL)  # what it may have left behind


def _tell(process: subprocess.Popen, number: int) -> None:
    try:
        os.killpg(process.pid, number)
    except (ProcessLookupError, PermissionError):
        return  # all are gone


if __name__ == "__main__":
    sys.exit(run(float(sys.argv[1]), sys.argv[2:]))
