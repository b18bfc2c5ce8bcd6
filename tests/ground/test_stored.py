"""Stored results come back as they went in, with how they were made."""

import math
from pathlib import Path

import numpy as np
import pytest

from dldna import stored as room

ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(room, "_HERE", tmp_path)
    return tmp_path


def test_what_is_stored_comes_back(folder):
    content = {"a": np.array([[1.0, math.nan], [math.inf, 1 / 3]]), "n": 3}
    room.store("x", content, "python benchmarks/x.py", data="digits")
    back = room.stored("x")
    np.testing.assert_allclose(back["a"], content["a"], rtol=1e-4)
    assert back["n"] == 3
    assert back["provenance"]["data"] == "digits"
    command = back["provenance"]["notes"]["command"]
    assert command == "python benchmarks/x.py"
    assert room.names() == ["x"]


def test_an_unknown_name_is_answered_with_the_nearest(folder):
    room.store("init_table", {}, "c")
    with pytest.raises(ValueError, match="did you mean 'init_table'"):
        room.stored("init_tabel")


@pytest.mark.parametrize("name", room.names())
def test_each_stored_result_names_the_script_that_made_it(name):
    about = room.stored(name)["provenance"]
    words = about["notes"]["command"].split()
    module = words[2].replace(".", "/") if words[1] == "-m" else words[1]
    assert module.startswith("benchmarks/")
    assert (ROOT / module).exists()
    assert about["seconds"] > 0
    assert about["versions"]["torch"]
