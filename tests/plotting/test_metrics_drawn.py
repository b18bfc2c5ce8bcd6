"""A metric of a surface is drawn under its own name, in every picture."""

import numpy as np
import pytest
from matplotlib import pyplot as plt
from matplotlib.colors import LogNorm

from dldna import plotting
from dldna.landscape.shape.topology import merge_tree
from dldna.records import History, Line, Surface

AXIS = np.linspace(-1, 1, 5)
LOSS = np.add.outer(AXIS**2, AXIS**2) + 1
R2 = 0.5 - LOSS  # below 0, and highest at the centre
PATH = {
    "path_coords": np.array([[0.5, 0.5], [0.0, 0.0]]),
    "path_losses": np.array([9.0, 3.0]),
}
IN_SPACE = ("contours_3d", "mesh_3d", "surface_3d")
ALL = ("contour", "path", *IN_SPACE)


@pytest.fixture(autouse=True)
def _nothing_open():
    yield
    plt.close("all")


def plane(**metrics):
    metrics = {k: np.asarray(v) for k, v in metrics.items()}
    there = np.ones(LOSS.shape, bool)
    return Surface(AXIS, AXIS, LOSS, there, 1.0, metrics, **PATH)


def words_in(picture):
    """Every text of a picture but the numbers at its ticks."""
    if hasattr(picture, "to_json"):
        return picture.to_json()
    axes = picture.figure.axes
    found = [ax.get_title() for ax in axes]
    found += [ax.get_ylabel() for ax in axes]
    found += [ax.get_zlabel() for ax in axes if hasattr(ax, "get_zlabel")]
    return " ".join(found)


@pytest.mark.parametrize("name", ALL)
def test_each_picture_draws_the_metric_by_its_name(name):
    draw = getattr(plotting, name)
    drawn = words_in(draw(plane(r2=R2), metric="r2"))
    assert "r2" in drawn
    if name != "path":  # whose colours are the losses of its checkpoints
        assert "loss" not in drawn.lower()
    with pytest.raises(ValueError, match=r"unknown metric 'R2': did you .*r2"):
        draw(plane(r2=R2), metric="R2")
    plt.close("all")
    with pytest.raises(ValueError, match="unknown metric 'r2'"):
        draw(plane(), metric="r2")
    assert not plt.get_fignums()  # no empty figure is left


def test_contours_of_a_metric_have_its_values():
    ax = plotting.contour(plane(r2=R2), metric="r2")
    assert np.array_equal(ax.collections[0].get_array(), R2)
    assert ax.figure.axes[1].get_ylabel() == "r2"
    [dots] = [c for c in ax.collections if len(c.get_offsets()) == 2]
    assert dots.get_array() is None  # no loss in the colours of a metric


def test_a_surface_that_turns_has_the_metric_everywhere():
    figure = plotting.surface_3d(plane(r2=R2), metric="r2", title="Far")
    [mesh] = figure.data  # and no path at losses
    assert np.allclose(mesh.z, R2.T)
    assert np.allclose(mesh.customdata, R2.T)
    assert "<br>r2 %{customdata:.4g}" in mesh.hovertemplate
    assert mesh.colorbar.title.text == "r2"
    assert figure.layout.scene.zaxis.title.text == "r2"
    words = figure.layout.meta["alt"]
    assert words.startswith("Far r2 on a plane of 5 by 5 points: between -2.5")
    assert "-0.5 at the centre" in words
    assert "lowest at (-1, -1), highest at (0, 0)" in words


def test_the_mesh_and_the_lines_stand_at_the_metric():
    for draw in (plotting.mesh_3d, plotting.contours_3d):
        ax = draw(plane(r2=R2), metric="r2")
        assert ax.get_zlabel() == "r2"
        assert ax.get_zlim()[0] < -2 < ax.get_zlim()[1] < 0
        assert not ax.lines  # the path is known by its losses alone


def test_a_metric_is_linear_unless_asked():
    steep = np.exp(5 * LOSS)
    norm, words = plotting.shade(plane(steep=steep), metric="steep")
    assert (isinstance(norm, LogNorm), words) == (False, "steep")
    norm, words = plotting.shade(plane(steep=steep), "log", metric="steep")
    assert (isinstance(norm, LogNorm), words) == (True, "steep (log scale)")
    steep[1, 1] = 0.0
    with pytest.raises(ValueError, match="values of 'steep' greater than 0"):
        plotting.contour(plane(steep=steep), metric="steep", scale="log")


@pytest.mark.parametrize("name", IN_SPACE)
def test_a_name_with_log_in_it_makes_no_log_scale(name):
    record = plane(log_likelihood=R2)
    drawn = words_in(getattr(plotting, name)(record, metric="log_likelihood"))
    assert "log_likelihood" in drawn
    assert "log10" not in drawn


def test_points_of_the_metric_that_are_not_finite_are_counted():
    holes = R2.copy()
    holes[0, :2] = np.nan, np.inf
    ax = plotting.contour(plane(r2=holes), metric="r2")
    assert "2 points not finite" in ax.get_title()
    words = plotting.alt_text(plane(r2=holes), "r2")
    assert "2 values are not finite" in words
    assert "lowest at (-1, 1)" in words


def test_trees_and_walks_lie_over_a_metric():
    record = plane(r2=R2)
    ax = plotting.walks(record, {"one": PATH["path_coords"]}, metric="r2")
    assert ax.figure.axes[1].get_ylabel() == "r2"
    ax = plotting.valleys(record, merge_tree(record), metric="r2")
    assert ax.figure.axes[1].get_ylabel() == "r2"


def test_words_of_lines_and_of_what_has_no_metric():
    line = Line(AXIS, AXIS**2, {"r2": 1 - AXIS**2})
    assert plotting.alt_text(line, metric="r2") == (
        "r2 along a line, from alpha -1 to 1: between 0 and 1, lowest at "
        "alpha = -1, highest at 0."
    )
    with pytest.raises(ValueError, match="unknown metric 'R2'"):
        plotting.alt_text(line, metric="R2")
    none = np.zeros(0)
    with pytest.raises(TypeError, match="a History has no metric to draw"):
        plotting.alt_text(History(*[none] * 7), "r2")
