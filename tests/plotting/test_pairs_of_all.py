"""Pairs of methods are drawn from either kind of comparison."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from dldna import plotting
from dldna.training import Pair, compare_all

RUNS = {
    "sgd": [3.0, 3.2, 3.1, 3.3, 3.2],
    "adam": [1.0, 1.2, 1.1, 1.3, 1.2],
    "lion": [1.1, 1.0, 1.3, 1.2, 1.0],
}


@pytest.fixture(autouse=True)
def _closed_after():
    yield
    plt.close("all")


@pytest.mark.parametrize("better", ["lower", "higher"])
def test_the_result_of_compare_all_is_drawn_in_its_own_unit(better):
    found = compare_all(RUNS, better=better)
    ax = plotting.pairs(found)
    order = list(found.order)
    assert [t.get_text() for t in ax.get_yticklabels()] == order
    shown = np.ma.filled(ax.images[0].get_array(), np.nan)
    words = {t.get_position(): t.get_text() for t in ax.texts}
    means = {k: np.mean(v) for k, v in RUNS.items()}
    for pair in found.pairs:
        i, j = map(order.index, pair.names)
        gap = abs(means[order[i]] - means[order[j]])
        assert shown[i, j] == pytest.approx(gap)
        assert words[j, i] == (f"{gap:.3g}" if pair.told_apart else "=")
    assert plotting.pairs(found.pairs, order).texts[0].get_text() in {
        *words.values()
    }


def test_what_holds_no_pairs_is_refused_in_words():
    with pytest.raises(TypeError, match="what compare_all returns, not a str"):
        plotting.pairs(["sgd", "adam"], ["sgd", "adam"])
    with pytest.raises(TypeError, match="what compare_all returns, not a int"):
        plotting.pairs(3, ["sgd"])
    one = Pair("sgd", "adam", 0.1, 0.001, 0.001, True)
    with pytest.raises(TypeError, match="names of the methods, the best"):
        plotting.pairs([one])
    with pytest.raises(ValueError, match="unknown method 'adam'"):
        plotting.pairs([one], ["sgd", "lion"])
