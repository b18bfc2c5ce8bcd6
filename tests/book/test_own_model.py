"""The page about the reader's own model does what it says."""

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "own_model.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.S | re.M)
FENCED = re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.S | re.M)
PLAIN = [text for language, text in FENCED if not language]


def test_the_page_s_code_runs_in_its_order(tmp_path, monkeypatch, capsys):
    pytest.importorskip("joblib")
    plt = pytest.importorskip("matplotlib.pyplot")
    monkeypatch.chdir(tmp_path)
    state = torch.get_rng_state()
    names = {"__name__": "page"}
    try:
        for number, block in enumerate(BLOCKS, 1):
            exec(compile(block, f"block {number}", "exec"), names)
    finally:
        torch.set_rng_state(state)
        plt.close("all")
    assert number == 20
    there = {p.name for p in tmp_path.iterdir()}
    assert there >= {
        "surface.npz", "surface.html", "surface.ply", "surface.vtp",
        "surface.png", "run", "tiles", "observed", "page.html",
        "map.html",
    }  # fmt: skip
    said = capsys.readouterr().out
    assert "relative difference" in said  # the report
    assert "1,681 points" in said or "1681 points" in said  # the cost
    assert names["picture"].evaluated.all()
    assert not names["observe"].errors
    assert names["observe"].due == 10
    assert 0 < names["tried"].suggested < 10


def test_the_page_s_commands_are_known():
    from dldna.cli import _parser

    commands = [
        line.strip()
        for block in PLAIN
        for line in block.replace("\\\n", "").splitlines()
        if line.startswith("dldna ")
    ]
    assert len(commands) == 7
    for line in commands:
        words = line.split()[1:]
        assert _parser(words).parse_args(words).model


def test_the_page_s_cluster_call_is_python():
    [block] = [b for b in PLAIN if "SLURMCluster" in b]
    compile(block, "cluster", "exec")


def test_the_page_s_search_runs_or_names_its_extra():
    [block] = [b for b in PLAIN if "optuna" in b and "import" in b]
    code = compile(block, "search", "exec")
    x, y = torch.randn(200, 8), torch.randint(0, 3, (200,))
    names = {"torch": torch, "nn": torch.nn, "x": x, "y": y}
    if find_spec("optuna") is None:
        with pytest.raises(ImportError, match=r"dldna\[tuning\]"):
            exec(code, names)
        return
    exec(code, names)
    assert len(names["table"]) == 3
    for chosen, losses in names["table"].values():
        assert chosen.keys() == {"lr", "weight_decay"}
        assert len(losses) == 5
