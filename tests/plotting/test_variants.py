"""Four pictures of one figure: its ground, its colours, its letters."""

import io
import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.text import Text
from PIL import Image

from dldna import plotting
from dldna.plotting import variants


@pytest.fixture(autouse=True)
def look():
    with plt.rc_context():
        plotting.use()
        yield
    plt.close("all")


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB")) / 255


def contrast(a, b):
    """The ratio of the web's guidelines for two colours."""
    lights = []
    for color in (a, b):
        linear = np.where(
            color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4
        )
        lights.append(linear @ [0.2126, 0.7152, 0.0722])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_grounds_are_the_page_s():
    figure, ax = plt.subplots()
    ax.plot([0, 1])
    for name, png in variants.pictures(figure).items():
        ground = variants.GROUND if "dark" in name else np.ones(3)
        np.testing.assert_allclose(pixels(png)[0, 0], ground, atol=0.003)


@pytest.mark.parametrize("color", plotting.COLORS)
def test_each_colour_can_be_seen_in_the_dark_and_keeps_its_hue(color):
    import colorsys

    from matplotlib.colors import to_rgb

    light = np.array(to_rgb(color))
    dark = variants.darkened(light)
    assert contrast(dark, variants.GROUND) >= 3  # for what is not a letter
    was, now = (colorsys.rgb_to_hsv(*c) for c in (light, dark))
    if was[1] > 0.1:
        away = abs(was[0] - now[0])
        assert min(away, 1 - away) < 0.08


def test_what_a_colour_map_painted_stays_as_it_is():
    figure, (left, right) = plt.subplots(1, 2)
    left.imshow(np.arange(16.0).reshape(4, 4))
    right.plot([0, 1], color="black", lw=4)
    got = variants.pictures(figure)
    figure.canvas.draw()
    light, dark = pixels(got["light"]), pixels(got["dark"])
    same = (np.abs(light - dark) < 0.1).all(-1)
    half = same.shape[1] // 2
    assert same[:, :half].mean() > 0.3
    assert same[:, half + 40 :].mean() < 0.05


def test_coloured_marks_keep_their_colour_and_grey_turns_over():
    figure, ax = plt.subplots()
    ax.scatter([0.5], [0.5], c=[1.0], s=40_000, cmap="viridis")
    got = variants.pictures(figure)
    light, dark = pixels(got["light"]), pixels(got["dark"])
    i, j = (n // 2 for n in light.shape[:2])
    np.testing.assert_allclose(light[i, j], dark[i, j], atol=0.05)
    assert dark[light.min(-1) > 0.99].max() < 0.2


@pytest.mark.parametrize("shape", [(1, 1), (1, 3), (2, 2), (3, 1)])
@pytest.mark.parametrize("shared", [False, True])
def test_on_a_phone_panels_stand_in_one_column(shape, shared):
    figure, axes = plt.subplots(*shape, sharey=shared, figsize=(9, 3))
    axes = np.atleast_1d(axes).ravel()
    axes[0].set_ylabel("loss", fontsize=5)
    image = axes[0].imshow(np.eye(3))
    figure.colorbar(image, ax=axes[0])
    variants.stack(figure)
    figure.set_dpi(96)
    figure.canvas.draw()
    figure.canvas.draw()
    boxes = [ax.get_window_extent() for ax in axes]
    for above, below in itertools.pairwise(boxes):
        assert above.y0 > below.y1
    assert figure.get_figwidth() * 96 == variants.PHONE
    sizes = [t.get_fontsize() for t in figure.findobj(Text)]
    assert min(sizes) * 96 / 72 >= 10
    if shared:
        row = axes[: shape[1]]
        assert all(ax.get_ylabel() == "loss" for ax in row)


def test_twin_axes_stay_on_each_other():
    figure, (ax, other) = plt.subplots(1, 2)
    twin = ax.twinx()
    variants.stack(figure)
    figure.canvas.draw()
    assert ax.get_position().bounds == twin.get_position().bounds
    assert ax.get_position().y0 > other.get_position().y1


def test_figures_inside_a_figure_do_not_lie_on_each_other():
    figure = plt.figure(figsize=(8, 4))
    left, right = figure.subfigures(1, 2)
    first, second = left.subplots(), right.subplots()
    variants.stack(figure)
    figure.canvas.draw()
    a, b = first.get_window_extent(), second.get_window_extent()
    assert a.x1 < b.x0
    assert figure.get_figwidth() * 96 == variants.PHONE


@pytest.mark.parametrize("panels", [1, 3])
def test_colour_bars_stand_inside_the_phone_s_picture(panels):
    figure, axes = plt.subplots(1, panels, figsize=(11, 3.4), squeeze=False)
    for ax in axes.flat:
        drawn = ax.pcolormesh(np.outer(np.arange(60), np.arange(60)) / 1e3)
        figure.colorbar(drawn, ax=ax, label="loss")
        ax.set(xlabel="point", title="its title")
    variants.pictures(figure)
    wide, high = figure.canvas.get_width_height()
    boxes = [ax.get_tightbbox() for ax in figure.axes]
    assert min(min(b.x0, b.y0) for b in boxes) >= 0
    assert max(b.x1 for b in boxes) <= wide
    assert max(b.y1 for b in boxes) <= high
    for box, other in itertools.combinations(boxes, 2):
        across = min(box.x1, other.x1) - max(box.x0, other.x0)
        down = min(box.y1, other.y1) - max(box.y0, other.y0)
        assert min(across, down) < 1


def test_an_empty_figure_is_drawn_without_a_word():
    variants.pictures(plt.figure())  # a warning would be an error


def test_axes_outside_of_a_grid_are_made_narrow_as_they_are():
    figure = plt.figure(figsize=(8, 4), layout="none")
    figure.add_axes((0.1, 0.1, 0.8, 0.8))
    variants.stack(figure)
    assert figure.get_figwidth() * 96 == variants.PHONE
    assert figure.get_figheight() * 96 == variants.PHONE / 2


@pytest.mark.parametrize("columns", [3, 4])
def test_a_phone_s_legend_is_no_wider_than_its_panel(columns):
    figure, ax = plt.subplots(figsize=(8, 3.4))
    for k in range(8):
        ax.plot([0, k], label=f"a long name {k}")
    legend = ax.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1), ncols=columns
    )
    variants.pictures(figure)
    texts = [t.get_window_extent() for t in legend.get_texts()]
    assert len({(round(t.x0), round(t.y0)) for t in texts}) == 8
    found = len({round(t.x0) for t in texts})
    assert found == 2  # three of these names are too wide
    assert ax.bbox.width > 0.8 * figure.bbox.width
    assert ax.bbox.height > 0.9 * figure.dpi  # it did not pay for the rows


def test_few_colours_are_near_those_of_a_map():
    drawn = np.random.default_rng(0).random((60, 50, 3))
    drawn[0, 0] = variants.GROUND
    off = np.abs(pixels(variants._png(drawn)) - drawn)
    np.testing.assert_allclose(off[0, 0], 0, atol=1e-6)
    assert off.mean() < 0.06
