"""What the live network and the matrix playground carry, and refuse."""

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from dldna import pages
from dldna.data import Dataset


def held(html):
    """What a widget carries for its script."""
    pattern = r'<script type="application/json">(.*?)</script>'
    return json.loads(re.search(pattern, html, re.DOTALL)[1])


def dataset(shape=(2,), classes=("a", "b"), n=300, name="made"):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(n, *shape, generator=generator)
    y = torch.arange(n) % len(classes)
    return Dataset(
        name=name,
        train_x=x,
        train_y=y,
        test_x=x[:50],
        test_y=y[:50],
        classes=classes,
        description="numbers",
    )


@pytest.fixture(scope="module")
def html():
    return pages.live_network([dataset(), dataset((3, 28, 28))]).html


def test_samples_arrive_within_half_a_level(html):
    points, images = held(html)["data"]
    made = dataset()
    raw = np.frombuffer(base64.b64decode(points["train"]), np.uint8)
    step = (points["high"] - points["low"]) / 255
    back = points["low"] + step * raw.reshape(240, 2)
    gap = np.abs(back - made.train_x[:240].double().numpy())
    assert gap.max() <= step / 2 + 1e-9
    assert points["train_y"] == "01" * 120
    assert points["test_y"] == "01" * 25
    assert (images["width"], images["classes"]) == (64, 2)
    raw = np.frombuffer(base64.b64decode(images["train"]), np.uint8)
    grey = dataset((3, 28, 28)).train_x[:240].mean(1)
    small = torch.nn.functional.adaptive_avg_pool2d(grey[:, None], 8)
    step = (images["high"] - images["low"]) / 255
    back = images["low"] + step * raw.reshape(240, 64)
    assert np.abs(back - small.flatten(1).numpy()).max() <= step / 2 + 1e-6


def test_it_asks_for_nothing_and_leaves_no_blank(html):
    for page, blank in ((html, "LIVE_"), (matrix(), "MATRIX_")):
        assert not re.search(r"https?:|src=|href=|@import|url\(", page)
        assert blank not in page
        assert page.count("</script>") == 2
    assert len(html) < 140_000
    assert len(matrix()) < 90_000


def matrix(**more):
    return pages.matrix_playground(**more).html


def test_it_starts_where_asked():
    page = pages.live_network(
        dataset(), depth=3, width=8, activation="relu", start="orthogonal",
        optimizer="muon", lr=0.01, batch_size=32, plane="path", seed=5,
    )  # fmt: skip
    given = held(page.html)["settings"]
    assert given["lr"] == pytest.approx(-2)
    assert given["batch"] == 32
    assert [given[k] for k in ("depth", "width", "seed")] == [3, 8, 5]
    assert given["optimizer"] == "muon"
    given = held(matrix(optimizers=["Muon", "SGD+"], settings={"muon": 0.1}))
    assert given["optimizers"] == ["muon", "momentum"]
    assert given["lr"] == {"muon": 0.1}


def test_a_name_cannot_leave_its_script():
    evil = "</script><img src=x>"
    page = pages.live_network(dataset(name=evil)).html
    assert "<img" not in page
    assert held(page)["data"][0]["title"] == evil


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"depth": 5}, "depth must be one of 0, 1"),
        ({"width": 7}, "width must be one of"),
        ({"batch_size": 9}, "batch_size must be one of 8, 32"),
        ({"optimizer": "moun"}, "did you mean 'muon'"),
        ({"activation": "rleu"}, "did you mean 'relu'"),
        ({"start": "orthogonl"}, "did you mean 'orthogonal'"),
        ({"plane": "hesian"}, "did you mean 'hessian'"),
        ({"lr": 0}, "lr must be greater"),
        ({"lr": 1e3}, "lr must lie from"),
    ],
)
def test_what_the_page_does_not_offer_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        pages.live_network(dataset(), **wrong)


def test_data_that_cannot_be_drawn_are_refused():
    with pytest.raises(ValueError, match="images or points in the plane"):
        pages.live_network(dataset((5,)))
    with pytest.raises(ValueError, match="at most 10 classes"):
        pages.live_network(dataset(classes=tuple("abcdefghijk")))
    with pytest.raises(ValueError, match="at least one set"):
        pages.live_network([])
    with pytest.raises(ValueError, match="points in the plane or images, not"):
        pages.live_network([3])
    for value in (0.5, float("nan")):
        flat = replace(dataset(), train_x=torch.full((300, 2), value))
        with pytest.raises(ValueError, match="all alike, or not all finite"):
            pages.live_network(flat)


def test_what_cannot_play_on_matrices_is_refused():
    for wrong, words in [
        ({"problem": "regresion"}, "did you mean 'regression'"),
        ({"optimizers": ["prodigy"]}, "does not play on matrices"),
        ({"optimizers": []}, "1 to 4 optimizers"),
        ({"optimizers": ["sgd", "sgd"]}, "each once"),
        ({"steps": 7}, "unknown steps"),
        ({"settings": {"muon": -1}}, "lr must be greater"),
    ]:
        with pytest.raises(ValueError, match=words):
            matrix(**wrong)
