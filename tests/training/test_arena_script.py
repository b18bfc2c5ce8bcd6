"""The script of the stored tournaments, at its smallest size."""

import importlib.util
import json
from pathlib import Path

import pytest

from dldna import models, stored, training

FILE = Path(__file__).parents[2] / "benchmarks" / "arena.py"


@pytest.fixture
def script(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("arena_script", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "STORED", tmp_path)
    monkeypatch.setattr(stored, "_HERE", tmp_path)
    return module


@pytest.mark.full
def test_a_tournament_is_stored_and_read_back(script, tmp_path, capsys):
    work = tmp_path / "work"
    script.play("mlp", "tiny", None, work)
    kept = json.loads((tmp_path / "arena_mlp_tiny.json").read_text())
    found = training.Arena.from_dict(kept)
    assert found.optimizers == list(training.CONTESTANTS)
    assert found.accuracy.shape == (7, 2)
    assert kept["provenance"]["notes"]["command"].endswith("mlp --scale tiny")
    table = (tmp_path / "arena_mlp_tiny.csv").read_text()
    assert len(table.splitlines()) == 1 + 7 * (2 + 2)
    script.play("mlp", "tiny", None, work)  # all pieces are there
    assert (tmp_path / "arena_mlp_tiny.csv").read_text() == table
    assert "Muon" in capsys.readouterr().out


def test_the_full_scale_is_the_published_one(script):
    full = script.SCALES["full"]
    assert set(full) == {"mlp", "cnn", "transformer"}
    assert full["cnn"].data == full["transformer"].data == "CIFAR100"
    sizes = {
        part: sum(p.numel() for p in models.make(
            s.model, in_shape=shape, num_classes=classes).parameters())
        for part, s, shape, classes in (
            ("mlp", full["mlp"], (1, 28, 28), 10),
            ("cnn", full["cnn"], (3, 32, 32), 100),
        )
    }  # fmt: skip
    assert sizes == {"mlp": 283_914, "cnn": 1_194_084}
    assert all(s.seeds >= 5 for s in full.values())
