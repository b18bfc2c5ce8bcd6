"""A chapter that is run twice says the same numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RUN = """
import json, sys, warnings
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import dldna.book

said = {}


def glue(name, value, form="{:.3g}"):
    said[name] = [form.format(value), repr(value)]


dldna.book.glue = glue
cells = json.loads(Path(sys.argv[1]).read_text())["cells"]
space = {"__name__": "__main__"}
for cell in cells:
    if cell["cell_type"] == "code":
        exec(compile("".join(cell["source"]), "cell", "exec"), space)
print("\\n" + json.dumps(said, sort_keys=True))
"""


def run(notebook, folder, seed):
    done = subprocess.run(
        [sys.executable, "-c", RUN, ROOT / "notebooks" / notebook],
        cwd=folder,
        env={
            **os.environ,
            "PYTHONHASHSEED": seed,
            "OMP_NUM_THREADS": "1",
            "MPLBACKEND": "Agg",
            "DLDNA_PROGRESS": "0",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_chapter_says_the_same_twice(tmp_path):
    """To the last digit, in another process and another hash order."""
    first = run("10_schedules.ipynb", tmp_path, "1")
    assert len(first) >= 3
    assert run("10_schedules.ipynb", tmp_path, "2") == first
