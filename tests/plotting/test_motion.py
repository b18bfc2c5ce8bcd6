"""Pictures of learning dynamics draw the record, and say so in words."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from dldna import plotting
from dldna.records import Motion


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def motion(**more):
    t = np.arange(1, 6)
    return Motion(t, t, 1 / t, 2 / t, 3 / t, 4.0 + t, 0.1 / t, 1 / t, **more)


EDGE = {
    "points": np.array([0, 5]),
    "eigenvalues": np.array([[1.0], [4.2]]),
    "preconditioned": np.array([np.nan, 30.0]),
    "threshold": np.array([4.0, 4.0]),
}


def test_panels_hold_what_was_measured():
    record = motion()
    axes = plotting.dynamics(record).axes
    names = ("loss", "grad_norm", "param_change", "weight_norm")
    for ax, name in zip(axes, names, strict=False):
        y = ax.get_lines()[0].get_ydata()
        np.testing.assert_array_equal(y, getattr(record, name))
    assert "cosine" in axes[5].get_title()
    np.testing.assert_array_equal(
        axes[5].get_lines()[0].get_ydata(), record.cosine
    )
    with_edge = plotting.dynamics(motion(**EDGE, threshold_of="sharpness"))
    assert "edge" in with_edge.axes[5].get_title()


@pytest.mark.parametrize(
    ("kind", "values"),
    [("sharpness", [1.0, 4.2]), ("preconditioned sharpness", [np.nan, 30])],
)
def test_the_threshold_belongs_to_its_sharpness(kind, values):
    record = motion(**EDGE, threshold_of=kind)
    curve, edge = plotting.sharpness(record).get_lines()
    np.testing.assert_array_equal(curve.get_ydata(), values)
    np.testing.assert_array_equal(edge.get_ydata(), 4.0)
    ax = plotting.sharpness(record, relative=True)
    curve, edge = ax.get_lines()
    np.testing.assert_allclose(curve.get_ydata(), np.array(values) / 4)
    np.testing.assert_array_equal(edge.get_ydata(), 1.0)
    assert kind in ax.get_ylabel()


def test_a_threshold_that_is_not_known_is_not_drawn():
    """And the picture says so, once."""
    record = motion(**{**EDGE, "threshold": np.full_like(EDGE["threshold"],
                                                         np.nan)})  # fmt: skip
    figure = plotting.dynamics(record)
    last = figure.axes[-1]
    assert last.get_title() == "sharpness"
    [curve] = last.get_lines()
    np.testing.assert_array_equal(curve.get_ydata(), record.sharpness)
    said = [t.get_text() for ax in figure.axes for t in ax.texts]
    assert sum("no threshold is known" in t for t in said) == 1


def test_words_come_from_the_numbers():
    text = plotting.alt_text(motion(**EDGE, threshold_of="sharpness"))
    assert "batch loss from 1 to 0.2" in text
    assert "from 0.25 to 1.05 times its threshold" in text
    assert "threshold" not in plotting.alt_text(motion())
    bad = motion()
    bad.loss[2] = np.nan
    assert "1 values are not finite" in plotting.alt_text(bad)


def test_a_bundle_has_picture_words_and_numbers():
    data, meta = plotting.dynamics_bundle(motion())
    assert data["image/png"].startswith(b"\x89PNG")
    assert meta["image/png"]["alt"] == data["text/plain"]
    assert "<td>5</td>" in meta["image/png"]["table"]
    assert not plt.get_fignums()
