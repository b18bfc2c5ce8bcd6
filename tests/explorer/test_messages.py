"""What a page may ask: exactly what is listed, and nothing else."""

import base64
import json
import runpy

import numpy as np
import pytest
import torch
from torch import nn

from dldna.explorer import Explorer, messages
from dldna.explorer.messages import ASKS, answer
from dldna.records import Surface

PLANE = {
    "side": 0,
    "directions": "random",
    "seed": 0,
    "statistics": "eval",
}
POINT = PLANE | {"a": 0.25, "b": -0.5}
GOOD = {
    "about": {},
    "plane": PLANE,
    "tile": PLANE | {"level": 1, "i": 0, "j": 1, "stride": 4, "first": 0},
    "probe": POINT,
    "curvature": POINT,
    "cut": POINT | {"c": 1.0, "d": 1.0, "points": 5},
    "walk": POINT | {"optimizer": "Adam", "steps": 3, "lr": 0.1},
    "further": {"walker": 1},
    "stop": {"walker": 1},
    "save": POINT | {"span": 0.5},
}


def make(out=None):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Linear(3, 2)
    x = torch.eye(3)
    return Explorer(
        net, nn.CrossEntropyLoss(), (x, torch.tensor([0, 1, 1])), out=out
    )


@pytest.fixture(scope="module")
def explorer(tmp_path_factory):
    return make(tmp_path_factory.mktemp("maps"))


def test_everything_that_can_be_asked_is_answered_in_json(
    explorer, monkeypatch
):
    monkeypatch.setattr(messages, "PIECE", 0.0)  # a walk in pieces
    assert GOOD.keys() == ASKS.keys()
    for ask, fields in GOOD.items():
        if ask == "save":
            continue  # a picture takes long: below
        found = answer(explorer, {"ask": ask, **fields})
        assert "error" not in found, (ask, found)
        json.dumps(found, allow_nan=False)


def test_a_tile_travels_as_float32(explorer):
    found = answer(explorer, {"ask": "tile", **GOOD["tile"]})
    losses = np.frombuffer(base64.b64decode(found["losses"]), "<f4")
    from dldna.explorer.addresses import Address

    own = explorer.map().tile(Address(1, 0, 1), stride=4)
    np.testing.assert_array_equal(losses, own.ravel().astype("f4"))


HOSTILE = [
    None, True, float("nan"), float("inf"), -1e300, 10**30, "0", "", [], {},
    "../../etc/passwd", "__import__('os')", "hf:gpt2", "a.py:b", [0], {"a": 1},
]  # fmt: skip


@pytest.mark.parametrize("ask", [a for a in GOOD if GOOD[a]])
def test_no_field_takes_what_is_not_listed(explorer, ask):
    for name, good in GOOD[ask].items():
        for bad in HOSTILE:
            message = {"ask": ask, **GOOD[ask], name: bad}
            assert set(answer(explorer, message)) == {"error"}, (name, bad)
        missing = {"ask": ask, **GOOD[ask]}
        del missing[name]
        assert set(answer(explorer, missing)) == {"error"}
        assert type(good) is not bool


@pytest.mark.parametrize(
    "message",
    [None, [], "about", {}, {"ask": "quit"}, {"ask": ["about"]},
     {"ask": "about", "path": "x"}, {"ask": "__class__"}],
)  # fmt: skip
def test_no_other_message_is_taken(explorer, message):
    assert set(answer(explorer, message)) == {"error"}


def test_what_goes_wrong_inside_is_said_and_the_rest_goes_on(
    explorer, monkeypatch
):
    def fail(*_, **__):
        raise KeyError("inside")

    monkeypatch.setattr(Explorer, "map", fail)
    assert "inside" in answer(explorer, {"ask": "plane", **PLANE})["error"]
    monkeypatch.undo()
    assert "error" not in answer(explorer, {"ask": "plane", **PLANE})


@pytest.mark.full
def test_a_view_is_kept_with_the_code_that_makes_it(explorer, tmp_path):
    before = {p.name for p in explorer.out.iterdir()}
    found = answer(explorer, {"ask": "save", **GOOD["save"]})
    assert found["written"] not in before
    json.dumps(found, allow_nan=False)
    home = explorer.out / found["written"]
    record = Surface.load(home / "surface.npz")
    assert (home / "picture.png").read_bytes()[:4] == b"\x89PNG"
    code = (home / "view.py").read_text()
    own = code.replace(
        "surface = ", "explorer = make()\nsurface = ", 1
    ).replace('"surface.npz"', repr(str(tmp_path / "again.npz")))
    script = tmp_path / "view.py"
    script.write_text(own)
    runpy.run_path(str(script), {"make": make})
    again = Surface.load(tmp_path / "again.npz")
    np.testing.assert_allclose(record.losses, again.losses, rtol=1e-5)


def test_nothing_is_kept_without_a_folder():
    found = answer(make(), {"ask": "save", **GOOD["save"]})
    assert "give out=" in found["error"]
