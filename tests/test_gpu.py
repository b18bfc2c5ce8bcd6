"""The script for a GPU, tried on the CPU at tiny size."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("gpu.py")


@pytest.mark.full
def test_the_script_measures_compares_and_writes_one_file(tmp_path):
    out = tmp_path / "gpu.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--device", "cpu", "--tiny", "--out", out],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(out.read_text())
    assert found["device"] == "CPU"
    assert not found["wrong"]
    assert set(found["errors"]) == {
        f"{name}: {what}"
        for name in ("perceptron", "LeNet-5")
        for what in ("surface", "curvature")
    }
    assert found["promises"] == {
        "pairs": 3, "left": 0, "failed": [], "changed": []
    }  # fmt: skip
    assert found["times"]["LeNet-5"]["points"] == 9
