"""Pictures of a tournament say what the numbers say."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from dldna import plotting
from dldna.training import Pair


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def test_each_seed_has_its_dot_and_each_method_its_mean():
    runs = {"one": [80.0, 82.0], "two": [70.0, 75.0, 71.0]}
    ax = plotting.scores(runs, {"one": "a", "two": "b"})
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [d.get_xdata().tolist() for d in dots] == list(runs.values())
    means = [line.get_xdata()[0] for line in ax.lines if line not in dots]
    assert means == pytest.approx([81, 72])
    assert [t.get_text() for t in ax.get_yticklabels()] == ["one", "two"]
    assert [t.get_text() for t in ax.texts] == ["a", "b"]
    assert ax.yaxis_inverted()  # the best stands on top


def test_pairs_that_are_not_told_apart_carry_no_number():
    found = [
        Pair("x", "z", 0.05, 0.001, 0.003, True),
        Pair("y", "z", 0.03, 0.04, 0.08, False),
        Pair("x", "y", 0.02, 0.3, 0.3, False),
    ]
    ax = plotting.pairs(found, ["x", "y", "z"])
    words = {t.get_position(): t.get_text() for t in ax.texts}
    assert words == {(2, 0): "5.0", (2, 1): "=", (1, 0): "="}
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    np.testing.assert_allclose(shown[0, 1:], [2, 5])
    assert np.isnan(shown[2]).all()
