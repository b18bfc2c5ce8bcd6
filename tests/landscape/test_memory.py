"""How much memory a surface of a large network takes, beside `cost`."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="no peaks without it"
)

SCRIPT = """
import sys
from pathlib import Path
import torch
from torch import nn
from dldna.landscape import cost, surface


def said(word):
    lines = Path("/proc/self/status").read_text().splitlines()
    found = [line for line in lines if line.startswith(word)]
    return int(found[0].split()[1]) * 1024


def layers(kind, depth):
    if kind == "dense":
        for _ in range(depth):
            yield from (nn.Linear(1024, 1024), nn.ReLU())
        yield nn.Linear(1024, 10)
        return
    yield from (nn.Conv2d(3, 256, 1, bias=False), nn.BatchNorm2d(256))
    for _ in range(depth):
        yield from (nn.Conv2d(256, 256, 3, padding=1), nn.ReLU())
    yield from (nn.Flatten(), nn.Linear(4096, 10))


torch.set_num_threads(1)
kind = sys.argv[1]
x = torch.randn(4, 1024) if kind == "dense" else torch.randn(4, 3, 4, 4)
data = x, torch.randint(0, 10, (4,))
loss = nn.CrossEntropyLoss()
surface(nn.Sequential(*layers(kind, 2)), loss, data, resolution=3)
before = said("VmRSS")
model = nn.Sequential(*layers(kind, 35 if kind == "dense" else 62))
weights = sum(p.nbytes for p in model.parameters())
expected = cost(model, loss, data, resolution=3).memory
Path("/proc/self/clear_refs").write_text("5")
made = surface(model, loss, data, resolution=3)
print(weights, expected, said("VmHWM") - before, made.way)
"""


@pytest.mark.full
@pytest.mark.parametrize("kind", ["dense", "convolutions"])
def test_a_surface_of_a_large_network_takes_four_and_a_half_times_it(kind):
    found = subprocess.run(
        [sys.executable, "-c", SCRIPT, kind],
        capture_output=True,
        text=True,
        check=True,
    )
    *numbers, way = found.stdout.split()[-4:]
    weights, expected, peak = map(int, numbers)
    assert weights > 140e6
    assert way == "layered"
    assert peak < 4.5 * weights
    assert 0.8 * peak < expected < 4.5 * weights
