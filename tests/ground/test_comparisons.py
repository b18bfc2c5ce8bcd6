"""``make bench`` runs scripts that are there, and ends whatever hangs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

if not (ROOT / "benchmarks").is_dir():  # an installed package, tested alone
    pytest.skip("no benchmarks here", allow_module_level=True)

sys.path.insert(0, str(ROOT))
bench = pytest.importorskip("benchmarks.__main__")


def test_each_comparison_is_a_script_and_stores_nothing_for_the_book():
    for name, words in bench.COMPARISONS.items():
        text = (ROOT / "benchmarks" / f"{name}.py").read_text()
        assert "__main__" in text
        assert "--store" not in words
        assert all(w in text for w in words if w.startswith("--"))


def test_a_script_that_fails_or_hangs_ends_the_run_with_one(
    monkeypatch, tmp_path, capsys
):
    scripts = {
        "good": "",
        "bad": "raise SystemExit(3)",
        "slow": "import time; time.sleep(60)",
    }
    for name, text in scripts.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(bench, "HERE", tmp_path)
    monkeypatch.setattr(bench, "LIMIT", 5)
    monkeypatch.setattr(bench, "COMPARISONS", dict.fromkeys(scripts, ()))
    assert bench.main(["good"]) == 0
    assert bench.main([]) == 1
    said = capsys.readouterr().out
    assert "bad FAILED" in said
    assert "slow FAILED" in said
    assert "good FAILED" not in said


def test_an_unknown_comparison_is_refused():
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nothing"],
        cwd=ROOT, check=False, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no comparison is called 'nothing'" in done.stderr
