"""`make test-libraries` runs with the very packages that it names."""

import re
from importlib import metadata
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
FILE = ROOT / "requirements-libraries.txt"
LAYER = ROOT / ".libraries"
PINS = dict(re.findall(r"^([\w-]+)==(\S+)$", FILE.read_text(), re.M))


def test_each_line_is_a_pin():
    lines = FILE.read_text().splitlines()
    said = [x for x in lines if x and not x.startswith("#")]
    assert len(said) == len(PINS)
    assert not {"torch", "torchvision", "safetensors"} & {*PINS}


def test_what_is_installed_is_what_is_pinned():
    if not LAYER.exists():
        pytest.skip("make test-libraries installs them")
    found = {
        re.sub(r"[-.]+", "_", d.metadata["Name"]): d.version
        for d in metadata.distributions(path=[str(LAYER)])
    }
    assert found == PINS
    assert not Path(torch.__file__).is_relative_to(LAYER)
