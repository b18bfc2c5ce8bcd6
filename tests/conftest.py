"""What all tests share: quiet, one look, no display, a steady machine."""

import gc
import os
import sys

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("DLDNA_PROGRESS", "0")
sys.path.insert(0, os.path.dirname(__file__))

import hypothesis
import pytest
import torch
from steady import pytest_collection_modifyitems  # noqa: F401

# The same examples everywhere, and no clock that a busy machine overruns.
hypothesis.settings.register_profile(
    "steady",
    derandomize=True,
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("steady")


def pytest_collection_finish():
    """Ten thousand tests are no garbage: nobody looks through them again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _same_random_state():
    """Tests may not depend on each other through the global generator."""
    torch.manual_seed(0)


@pytest.fixture
def float64():
    """Run a test in float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
