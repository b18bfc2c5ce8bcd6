"""The bundle for a class without a network."""

import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book" / "tools"))
import bundle  # noqa: E402


@pytest.fixture
def built(tmp_path, monkeypatch):
    html = tmp_path / "html"
    (html / "student").mkdir(parents=True)
    (html / "index.html").write_text("the book")
    (html / "student" / "05_x.ipynb").write_text("{}")
    monkeypatch.setattr(bundle, "HTML", html)
    monkeypatch.setenv("DLDNA_DATA", str(tmp_path / "data"))
    wheel = tmp_path / "dldna-9-py3-none-any.whl"
    wheel.write_text("a wheel")
    return tmp_path, wheel


def contents(target, wheel):
    with zipfile.ZipFile(bundle.pack(target, wheel)) as packed:
        assert packed.testzip() is None
        return {name: packed.read(name) for name in packed.namelist()}


def test_everything_is_packed(built):
    folder, wheel = built
    inside = contents(folder / "b.zip", wheel)
    assert inside["book/index.html"] == b"the book"
    assert inside["student/05_x.ipynb"] == b"{}"
    assert inside[wheel.name] == b"a wheel"
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        assert inside[f"notebooks/{path.name}"] == path.read_bytes()
    assert "not on disk" in inside["README.txt"].decode()
    assert b"torch==" in inside["wheels.txt"]
    assert b"dldna" not in inside["wheels.txt"]
    assert not list(folder.glob("*.part"))


def test_data_that_may_be_handed_on_is_packed_where_it_is(built):
    folder, wheel = built
    raw = folder / "data" / bundle.FASHION
    raw.mkdir(parents=True)
    (raw / "t10k-labels-idx1-ubyte.gz").write_bytes(b"labels")
    (raw / "something-else.gz").write_bytes(b"not ours to give")
    inside = contents(folder / "b.zip", wheel)
    name = f"data/{bundle.FASHION}/t10k-labels-idx1-ubyte.gz"
    assert inside[name] == b"labels"
    assert not [name for name in inside if "something" in name]
    assert "MIT License" in inside["README.txt"].decode()


def test_without_a_book_it_says_what_to_do(built, monkeypatch, capsys):
    monkeypatch.setattr(bundle, "HTML", built[0] / "nowhere")
    assert bundle.main() == 1
    assert "make book" in capsys.readouterr().out
