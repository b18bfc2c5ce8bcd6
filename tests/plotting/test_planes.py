"""Paths, reliefs and marks: what they draw is what the record holds."""

import itertools

import numpy as np
import pytest
from matplotlib import pyplot as plt
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from dldna import plotting
from dldna.export.height_scales import heights
from dldna.landscape.shape.topology import critical_points, persistent_points
from dldna.records import Surface


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def surface(losses, **more):
    losses = np.asarray(losses, dtype=float)
    a, b = losses.shape
    return Surface(
        np.linspace(-1, 1, a),
        np.linspace(-2, 2, b),
        losses,
        np.ones((a, b), bool),
        float(losses[a // 2, b // 2]),
        **more,
    )


def bowl(n=9):
    x = np.linspace(-1, 1, n)
    return x[:, None] ** 2 + 2 * x[None] ** 2 + 0.5


PATH = {
    "path_coords": np.array([[0.5, 0.5], [0.2, 0.1], [0.0, 0.0]]),
    "path_losses": np.array([9.0, 3.0, 0.5]),
}


def test_a_path_has_the_colours_of_its_own_losses():
    ax = plotting.path(surface(bowl(), **PATH))
    [dots] = [c for c in ax.collections if len(c.get_offsets()) == 3]
    assert dots.get_offsets().data.tolist() == PATH["path_coords"].tolist()
    assert dots.get_array().tolist() == [9.0, 3.0, 0.5]
    assert (dots.norm.vmin, dots.norm.vmax) == (0.5, 9.0)
    assert type(dots.norm).__name__ == "LogNorm"  # a factor 18
    start, end = (line.get_xydata().tolist() for line in ax.lines)
    assert (start, end) == ([[0.5, 0.5]], [[0.0, 0.0]])


def test_labels_of_an_own_figure_do_not_meet_and_are_not_cut():
    with plt.rc_context():
        plt.rcdefaults()  # whoever draws has not called plotting.use()
        ax = plotting.contour(surface(bowl(), directions=("random", "pca")))
        ax.figure.canvas.draw()
        boxes = [t.get_window_extent() for t in ax.get_xticklabels()]
        for left, right in itertools.pairwise(boxes):
            assert left.x1 < right.x0
        for axes in ax.figure.axes:
            box = axes.get_tightbbox()
            assert box.x0 > -1
            assert box.x1 < ax.figure.bbox.x1 + 1


def test_the_colours_of_the_path_are_not_those_of_the_contours():
    ax = plotting.path(surface(bowl(), **PATH))
    maps = {c.get_cmap().name for c in ax.collections}
    assert maps == {"gray", "plasma"}


def test_a_path_without_losses_is_refused():
    with pytest.raises(ValueError, match="trajectory="):
        plotting.path(surface(bowl()))
    only = {"path_coords": PATH["path_coords"]}
    with pytest.raises(ValueError, match="no path with losses"):
        plotting.path(surface(bowl(), **only))


def test_a_path_with_a_loss_that_is_not_finite_is_drawn():
    losses = np.array([np.inf, 3.0, 0.5])
    record = surface(bowl(), **{**PATH, "path_losses": losses})
    plotting.path(record).figure.canvas.draw()


def test_losses_of_0_stand_at_the_floor_of_a_log_scale():
    z = bowl()
    z[3, 4], z[4, 4] = -1.0, 0.0
    losses = np.array([2.0, 1.0, 0.0])
    record = surface(z, **{**PATH, "path_losses": losses})
    least = z[z > 0].min()
    norm, words = plotting.shade(record, "log")
    assert norm.vmin == least
    assert f"floor {least:.2g}" in words
    ax = plotting.contour(record, scale="log")
    mesh = ax.collections[0]
    colours = mesh.to_rgba(mesh.get_array())
    floor = mesh.cmap(0.0)
    assert np.array_equal(colours[3, 4], floor)
    assert np.array_equal(colours[4, 4], floor)
    [dots] = [c for c in ax.collections if len(c.get_offsets()) == 3]
    assert np.array_equal(dots.to_rgba(dots.get_array())[-1], floor)
    assert dots.get_array().tolist()[:2] == [2.0, 1.0]
    plotting.path(record, scale="log").figure.canvas.draw()


def test_a_log_scale_without_a_loss_above_0_is_refused():
    with pytest.raises(ValueError, match="greater than 0"):
        plotting.contour(surface(-bowl()), scale="log")


@pytest.mark.parametrize("low", [0.0, 1.0, 1e6])
def test_a_peak_on_flat_ground_keeps_its_colour_when_clipped(low):
    z = np.full((5, 5), low)
    z[1, 1] = low + 1.0
    norm, words = plotting.shade(surface(z), "clip")
    assert (norm(low), norm(low + 1.0)) == (0.0, 1.0)
    assert f"{low + 1:.3g}: 0 points above" in words
    assert "0 losses above it" in heights(z, "clip").said


@pytest.mark.parametrize("scale", ["linear", "log", "clip"])
def test_lines_in_space_stand_at_their_own_heights(scale):
    record = surface(bowl(), **PATH)
    ax = plotting.contours_3d(record, scale=scale, levels=6)
    ax.figure.canvas.draw()
    norm, words = plotting.shade(record, scale)
    wanted = plotting.lift(plotting.levels_of(norm, 6), norm)
    [lines] = [c for c in ax.collections if hasattr(c, "levels")]
    np.testing.assert_allclose(lines.levels, wanted)
    assert words in ax.get_zlabel()
    assert ("log10" in ax.get_zlabel()) == (scale == "log")


def test_the_mesh_has_every_sample_as_a_vertex(monkeypatch):
    drawn = []
    kind = "mpl_toolkits.mplot3d.axes3d.art3d.Poly3DCollection.__init__"
    before = Poly3DCollection.__init__

    def keep(self, faces, *args, **kwargs):
        drawn.append(np.asarray(faces))
        before(self, faces, *args, **kwargs)

    monkeypatch.setattr(kind, keep)
    z = np.arange(1.0, 16.0).reshape(3, 5)
    plotting.mesh_3d(surface(z), scale="linear")
    [faces] = drawn
    assert len(faces) == 2 * 4
    found = {tuple(p) for p in faces.reshape(-1, 3).round(6).tolist()}
    a, b = np.meshgrid([-1, 0, 1], [-2, -1, 0, 1, 2], indexing="ij")
    wanted = np.stack([a.ravel(), b.ravel(), z.ravel()], 1)
    assert {tuple(p) for p in wanted.tolist()} == found


@pytest.mark.parametrize("draw", [plotting.contours_3d, plotting.mesh_3d])
def test_holes_are_counted_and_the_path_stands_at_its_losses(draw):
    z = bowl()
    z[0, 0], z[1, 1] = np.nan, np.inf
    ax = draw(surface(z, **PATH), scale="linear")
    ax.figure.canvas.draw()
    assert ax.get_title() == "2 points not finite (holes)"
    [line] = ax.lines
    heights = line.get_data_3d()[2]
    assert heights.tolist() == [z[np.isfinite(z)].max(), 3.0, 0.5]


@pytest.mark.parametrize("z", [np.full((3, 3), 2.0), np.full((3, 3), np.nan)])
@pytest.mark.parametrize("draw", [plotting.contours_3d, plotting.mesh_3d])
def test_flat_and_empty_surfaces_have_a_relief(draw, z):
    draw(surface(z)).figure.canvas.draw()


def test_marks_stand_where_the_points_are():
    x = np.linspace(-2, 2, 41)
    z = (x[:, None] ** 2 - 1) ** 2 + 0.3 * x[:, None] + x[None] ** 2
    points = persistent_points(surface(z), 0.1)
    ax = plotting.contour(surface(z))
    before = len(ax.collections)
    plotting.critical_points(points, ax)
    minima, saddles, maxima = (
        c.get_offsets() for c in ax.collections[before:]
    )
    np.testing.assert_allclose(minima, points.minima_at)
    np.testing.assert_allclose(saddles, points.saddles_at)
    assert len(maxima) == 0
    texts = [t.get_text() for t in ax.get_legend().get_texts()]
    assert texts == ["2 minima", "1 saddle", "0 maxima"]


def himmelblau(n):
    x = np.linspace(-5, 5, n)
    a, b = x[:, None], x[None]
    return (a**2 + b - 11) ** 2 + (a + b**2 - 7) ** 2


def test_a_point_of_the_grid_alone_does_not_persist():
    z = himmelblau(201)
    raw = critical_points(z)
    kept = persistent_points(z, 0.5)
    assert len(raw.minima) == 5  # one is made by a narrow valley
    counts = [len(kept.minima), len(kept.saddles), len(kept.maxima)]
    assert counts == [4, 4, 1]
    for name in ("minima", "saddles", "maxima"):
        all_of_them = {tuple(p) for p in getattr(raw, name).tolist()}
        assert {tuple(p) for p in getattr(kept, name).tolist()} <= all_of_them


def test_without_a_threshold_all_inner_extrema_stay():
    z = np.random.default_rng(0).normal(size=(25, 25))
    raw, kept = critical_points(z), persistent_points(z, 0.0)
    for name in ("minima", "maxima"):
        mine = getattr(kept, name).tolist()
        assert sorted(mine) == sorted(getattr(raw, name).tolist())
        heights = z[tuple(getattr(kept, name).T)]
        assert (np.diff(heights) >= 0).all()
    found = {tuple(p) for p in kept.saddles.tolist()}
    assert found <= {tuple(p) for p in raw.saddles.tolist()}


def test_noise_does_not_persist():
    x = np.linspace(-1, 1, 25)
    bowl = 10 * (x[:, None] ** 2 + x[None] ** 2)
    noise = np.random.default_rng(0).uniform(-0.3, 0.3, size=(25, 25))
    assert len(critical_points(bowl + noise).minima) > 1
    kept = persistent_points(bowl + noise, 0.6)
    assert len(kept.minima) == 1
    assert len(kept.saddles) == len(kept.maxima) == 0
    with pytest.raises(ValueError, match="threshold"):
        persistent_points(bowl, -1.0)
