"""Pictures of weight space, topology, scales and wells draw the record."""

import warnings

import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt

from dldna import plotting
from dldna.landscape.paths import weight_space
from dldna.landscape.shape import scales, topology, wells
from dldna.records import Line, Surface


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def surface(z):
    z = np.asarray(z, dtype=float)
    a, b = (np.linspace(-1, 1, n) for n in z.shape)
    return Surface(a, b, z, np.ones(z.shape, bool), float(z.mean()))


TWO = [[5, 5, 5, 5, 5], [5, 0, 4, 1, 5], [5, 5, 5, 5, 5]]
RING = [[1, 1, 1], [1, 7, 1], [1, 1, 1]]


def checkpoints(n=6, far=()):
    g = torch.Generator().manual_seed(0)
    steps = torch.randn(n, 20, generator=g)
    for i in far:
        steps[i] *= 100
    return [{"w": w} for w in steps.cumsum(0)]


def test_checkpoints_are_joined_in_the_order_of_their_numbers():
    labels = ["e10", "e1", "e2", "e3", "e9", "e4"]
    e = weight_space.pca(checkpoints(), labels)
    ax = plotting.weight_space(e)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), e.coords)
    assert [t.get_text() for t in ax.texts] == ["e1", "e10"]
    share = 100 * e.explained[0]
    assert f"({share:.0f} % of the variance)" in ax.get_xlabel()


def test_no_line_crosses_a_jump():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", weight_space.MixedRuns)
        e = weight_space.pca(checkpoints(far=[3]))
    assert e.jumps.tolist() == [2]
    ax = plotting.weight_space(e)
    assert [len(line.get_xdata()) for line in ax.lines[:2]] == [3, 3]
    assert "1 jump" in ax.get_title()


def test_the_null_model_is_the_other_picture():
    e = weight_space.pca(checkpoints())
    ax = plotting.weight_space(e, null=True)
    np.testing.assert_array_equal(ax.lines[0].get_xydata(), e.null_coords)
    assert f"{100 * e.null_explained[1]:.0f} %" in ax.get_ylabel()


def test_one_axis_is_no_plane():
    with pytest.raises(ValueError, match="k=2"):
        plotting.weight_space(weight_space.pca(checkpoints(), k=1))


def test_bars_go_from_birth_to_death_and_say_if_some_are_left_out():
    d = topology.diagram(TWO)
    ax = plotting.barcode(d)
    drawn = [line.get_xdata() for line in ax.lines]
    assert drawn[0][0] == 0
    assert drawn[0][1] > 4
    assert list(drawn[2]) == [1, 4]
    noise = np.random.default_rng(0).normal(size=(20, 20))
    ax = plotting.barcode(topology.diagram(noise), most=4)
    words = [t.get_text() for t in ax.get_legend().get_texts()]
    assert all("the longest 4 drawn" in w for w in words)


def test_a_diagram_has_birth_across_and_death_up():
    ax = plotting.persistence(topology.diagram(TWO), error=1.0)
    births, deaths = ax.lines[1].get_data()
    assert (births[1], deaths[1]) == (1, 4)
    assert deaths[0] > 4
    assert "birth" in ax.get_xlabel()
    assert "death" in ax.get_ylabel()
    assert "error" in ax.get_legend().get_texts()[0].get_text()
    ring = plotting.persistence(topology.diagram(RING))
    (x,), (y,) = ring.lines[2].get_data()
    assert (x, y) == (1, 7)


def test_a_tree_joins_each_branch_at_its_saddle():
    ax = plotting.branches(topology.merge_tree(TWO))
    flat = [line for line in ax.lines if np.ptp(line.get_xdata())]
    assert len(flat) == 1
    assert list(flat[0].get_ydata()) == [4, 4]
    assert len(ax.texts) == 2


def test_valleys_stand_at_their_coordinates():
    s = surface([[5] * 6, [5, 0, 2, 4, 1, 5], [5] * 6])
    tree = topology.merge_tree(s)
    way = topology.way_out(s, tree, 1)
    ax = plotting.valleys(s, tree, ways=[way])
    points = [tuple(line.get_xydata()[0]) for line in ax.lines]
    for at in [*tree.minima_at, tree.saddles_at[1], way[0]]:
        assert tuple(at) in points
    assert [t.get_text() for t in ax.texts] == ["1", "2"]


def test_energies_are_shares_and_level_one_comes_first():
    board = scales.decompose(np.indices((8, 8)).sum(0) % 2, levels=3)
    ax = plotting.energies({"board": board, "flat": scales.decompose(
        np.ones((8, 8)), levels=2)})  # fmt: skip
    assert [round(p.get_height(), 9) for p in ax.patches[:3]] == [1, 0, 0]
    assert "finest" in ax.get_xlabel()
    assert ax.get_xticklabels()[0].get_text().startswith("1\n(2 ")


@pytest.mark.parametrize("shape", [(8, 16), (10, 7)])
def test_a_pyramid_shows_each_coefficient_in_its_place(shape):
    z = np.random.default_rng(0).normal(size=shape)
    parts = scales.decompose(z, levels=2)
    shown = np.asarray(plotting.pyramid(parts).images[0].get_array()).T
    for level in (1, 2):
        along, across, both = parts.detail(level)
        rows, columns = along.shape
        finer = parts.detail(1)[0].shape if level == 2 else shown.shape
        inner = shown[: finer[0], : finer[1]]
        most = max(abs(c).max() for c in (along, across, both))
        lower, upper = slice(0, columns), slice(columns, 2 * columns)
        left, right = slice(0, rows), slice(rows, 2 * rows)
        for place, block in (
            ((right, lower), along),
            ((left, upper), across),
            ((right, upper), both),
        ):
            seen = inner[place]
            r, c = seen.shape  # a repeated row or column is cut off
            np.testing.assert_allclose(seen * most, block[:r, :c])
    rows, columns = parts.approximation.shape
    rest = parts.approximation - parts.approximation.mean()
    np.testing.assert_allclose(
        shown[:rows, :columns] * abs(rest).max(), rest, atol=1e-12
    )


def test_a_pyramid_of_a_flat_surface_is_white():
    shown = plotting.pyramid(scales.decompose(np.ones((8, 8)))).images[0]
    assert not np.asarray(shown.get_array()).any()


def test_a_valley_of_a_line_is_blue():
    x = np.linspace(-1, 1, 81)
    r = scales.cwt(Line(x, -np.exp(-0.5 * (x / 0.1) ** 2)))
    ax = plotting.ridges(r)
    mesh = ax.collections[0]
    assert mesh.norm.vmin == -mesh.norm.vmax
    values = np.asarray(mesh.get_array()).reshape(len(r.scales), -1)
    np.testing.assert_array_equal(values, r.coefficients)


def test_residuals_share_a_scale_and_name_their_r2():
    x = np.linspace(-1, 1, 15)
    z = 2 - np.exp(-(x[:, None] ** 2 + x**2) / 0.3)
    s = surface(z)
    found = wells.fit_wells(s)
    axes = plotting.well_fits(s, found)
    limits = {axes[k].collections[0].norm.vmax for k in (1, 2)}
    assert len(limits) == 1
    for ax, fit in zip(
        axes[1:], (found.gaussian, found.quadratic), strict=True
    ):
        assert f"{fit.r2:.4f}" in ax.get_title()
        np.testing.assert_array_equal(
            np.asarray(ax.collections[0].get_array()).ravel(),
            fit.residuals.ravel(),
        )
