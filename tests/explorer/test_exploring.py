"""One call for a notebook and for a file; what is missing says its extra."""

import json
import sys
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import dldna
from dldna.explorer import Explorer, explore, exploring, walk
from dldna.explorer.notebook import _reply
from dldna.explorer.offline import write_map
from dldna.explorer.served import application
from dldna.objective import Objective

X = torch.eye(3)
CALL = nn.Linear(3, 1), nn.MSELoss(), (X, X[:, :1])


BAD = (None, {}, {"id": "x"}, {"id": True}, [])


def test_a_message_is_answered_under_its_number():
    sent = []
    page = SimpleNamespace(explorer=Explorer(*CALL), send=sent.append)
    _reply(page, {"id": 3, "message": {"ask": "about"}}, [])
    _reply(page, {"id": 4, "message": {"ask": "quit"}}, [])
    for bad in BAD:
        _reply(page, bad, [])
    assert [s["id"] for s in sent] == [3, 4]
    assert sent[0]["answer"]["model"] == "Linear"
    assert set(sent[1]["answer"]) == {"error"}
    json.dumps(sent, allow_nan=False)


@pytest.mark.full
def test_a_widget_answers_what_its_page_asks(monkeypatch):
    made, sent = dldna.explore(*CALL, view="#span=0.5"), []
    monkeypatch.setattr(made, "send", sent.append)
    made._handle_custom_msg({"id": 3, "message": {"ask": "about"}}, [])
    for bad in BAD:
        made._handle_custom_msg(bad, [])
    assert [s["id"] for s in sent] == [3]
    assert sent[0]["answer"]["model"] == "Linear"
    assert made.view == "#span=0.5"


def test_a_file_holds_the_tiles_to_its_depth(tmp_path):
    path = explore(*CALL, export=tmp_path / "map.html", depth=2)
    text = path.read_text()
    data = json.loads(
        text.partition('"application/json">')[2].partition("</script>")[0]
    )
    assert len(data["tiles"][0]) == 1 + 4 + 16
    assert data["about"]["live"] is False
    assert "http:" not in text
    assert "https:" not in text
    with pytest.raises(ValueError, match="from 0 to 6"):
        write_map(Explorer(*CALL), tmp_path / "deep.html", depth=7)


def test_a_file_that_cannot_be_is_refused_before_anything_is_evaluated(
    tmp_path, monkeypatch
):
    def refuse(*_, **__):
        raise AssertionError("evaluated")

    monkeypatch.setattr(exploring, "Explorer", refuse)
    with pytest.raises(ValueError, match="from 0 to 6"):
        explore(*CALL, export=tmp_path / "deep.html", depth=7)
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        explore(*CALL, export=tmp_path)


def test_an_objective_stands_for_model_loss_and_data():
    f = Objective(*CALL, names="weight")
    one = Explorer(f).map().probe(0.5, 0.5)
    other = Explorer(*CALL, params="weight").map().probe(0.5, 0.5)
    assert one == pytest.approx(other)
    with pytest.raises(TypeError, match="give them where"):
        Explorer(f, params="bias")
    with pytest.raises(TypeError, match="data are missing"):
        Explorer(CALL[0], CALL[1])


@pytest.mark.parametrize("module", ["anywidget", "starlette", "uvicorn"])
def test_what_is_missing_names_its_extra(module, monkeypatch):
    here = Explorer(*CALL)
    for name in [m for m in sys.modules if m.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    if module == "starlette":
        monkeypatch.setitem(sys.modules, "starlette.applications", None)
    calls = {
        "anywidget": lambda: explore(*CALL),
        "starlette": lambda: application(here, "secret", 1),
        "uvicorn": lambda: __import__(
            "dldna.explorer.served", fromlist=["serve"]
        ).serve(here, browser=False),
    }
    with pytest.raises(ImportError, match=r"dldna\[explore\]"):
        calls[module]()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"seed": -1}, "seed must lie from 0"),
        ({"seed": 2**40}, "seed must lie from 0"),
        ({"beside": nn.Linear(4, 1)}, "the same network with other weights"),
        ({"export": "."}, "is a folder"),
    ],
)
def test_what_a_page_could_not_show_is_refused_at_once(options, said):
    with pytest.raises((ValueError, OSError), match=said):
        explore(*CALL, **options)


@pytest.mark.parametrize(
    ("point", "kind", "says"),
    [
        ((float("nan"), 0.0), ValueError, "a coordinate must be finite"),
        ((0.0, "a"), TypeError, "a coordinate must be a number"),
        ((0.0,), ValueError, "two coordinates on a plane, not 1"),
        ((0.0, 0.0, 0.0), ValueError, "two coordinates on a plane, not 3"),
    ],
)
def test_a_point_that_is_none_of_the_plane(point, kind, says):
    here = Explorer(*CALL).map()
    with pytest.raises(kind, match=says):
        walk(here, "Adam", point, steps=1)
    if len(point) == 2:
        with pytest.raises(kind, match=says):
            here.probe(*point)
