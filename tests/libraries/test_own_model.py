"""The page's lines for each library do what they say."""

import re
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna import landscape
from dldna.data import torchvision

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "own_model.md").read_text(encoding="utf-8")
DATA, *BLOCKS = re.findall(r"^~~~python\n(.*?)^~~~$", PAGE, re.S | re.M)
NAMES = [re.search(r"(?:from|import) (\w+)", b)[1] for b in BLOCKS]
NEEDS = {"peft": "transformers", "accelerate": "transformers"}

pytestmark = pytest.mark.filterwarnings("ignore")  # their own


def test_each_library_is_on_the_page_in_few_lines():
    assert len(set(NAMES)) == 10
    for name, block in zip(NAMES, BLOCKS, strict=True):
        lines = len([line for line in block.splitlines() if line])
        assert lines <= (15 if name == "diffusers" else 3), name


@pytest.mark.parametrize("name", NAMES)
def test_the_lines_of_a_library_run(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torchvision()
    x, y = torch.randn(24, 8), torch.arange(24) % 3
    names = {"torch": torch, "nn": nn, "F": F, "landscape": landscape,
             "x": x, "y": y}  # fmt: skip
    before = NEEDS.get(name)
    for library in (before, name):
        if library is not None:
            pytest.importorskip(
                library, reason="make test-libraries installs it"
            )
            exec(DATA + BLOCKS[NAMES.index(library)], names)
    if "top" in names:
        assert names["top"].residuals[0] < 1e-2
        return
    found = names["picture"]
    assert found.evaluated.all()
    assert np.isfinite(found.losses).all()
