"""Pictures hold all points, say what their scale does, and have words."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from dldna import plotting
from dldna.records import History, Line, Spectrum, Surface


@pytest.fixture(autouse=True)
def _close():
    yield
    plt.close("all")


def surface(losses, **more):
    losses = np.asarray(losses, dtype=float)
    a, b = losses.shape
    return Surface(
        np.linspace(-1, 1, a),
        np.linspace(-1, 1, b),
        losses,
        np.ones((a, b), bool),
        float(losses[a // 2, b // 2]),
        **more,
    )


def bowl(n=9):
    x = np.linspace(-1, 1, n)
    return x[:, None] ** 2 + 2 * x[None] ** 2 + 0.5


def history(loss):
    e = np.arange(1, len(loss) + 1)
    loss = np.asarray(loss, dtype=float)
    return History(e, loss, 1 / e, loss, 1 / e, e * 0.1, loss)


def test_a_contour_draws_every_point_the_right_way_round():
    z = np.arange(15.0).reshape(3, 5)
    ax = plotting.contour(surface(z), scale="linear")
    mesh = ax.collections[0]
    xy = mesh.get_coordinates()[..., :2].reshape(-1, 2)
    values = np.asarray(mesh.get_array()).ravel()
    found = {tuple(p): v for p, v in zip(xy, values, strict=True)}
    assert found[(-1.0, 1.0)] == z[0, 4]
    assert found[(1.0, -1.0)] == z[2, 0]


def test_points_that_are_not_finite_are_counted():
    z = bowl()
    z[0, 0], z[1, 1] = np.nan, np.inf
    ax = plotting.contour(surface(z))
    assert ax.get_title() == "2 points not finite (grey)"


def test_a_clipped_scale_says_how_many_points_lie_above():
    z = np.arange(100.0).reshape(10, 10)
    norm, words = plotting.shade(surface(z), "clip", quantile=0.9)
    assert "10 points above" in words
    assert norm.vmax == pytest.approx(89.1)


def test_the_scale_is_logarithmic_where_losses_span_decades():
    assert "log" in plotting.shade(surface(np.logspace(-2, 2, 9)[None]))[1]
    assert plotting.shade(surface(bowl()))[1] == "loss"


def test_an_unknown_scale_suggests_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'linear'"):
        plotting.contour(surface(bowl()), scale="linaer")


@pytest.mark.parametrize("z", [np.full((3, 3), 2.0), np.full((3, 3), np.nan)])
def test_flat_and_empty_surfaces_can_be_drawn(z):
    plotting.contour(surface(z)).figure.canvas.draw()


# plotly 6.0 calls a deprecated class of its own for its own templates.
TEMPLATES = pytest.mark.filterwarnings(
    r"ignore:\*scattermapbox\* is deprecated!:DeprecationWarning"
)


@TEMPLATES
def test_the_turning_surface_has_the_record_s_axes():
    z = np.arange(1.0, 16.0).reshape(3, 5)
    figure = plotting.surface_3d(surface(z), scale="linear")
    data = figure.data[0]
    assert np.shape(data.z) == (5, 3)
    assert data.z[4][0] == z[0, 4]
    assert set(figure.layout.meta) == {"alt"}


@TEMPLATES
def test_the_turning_surface_brings_its_caption():
    words = {"caption": "Turn it.", "name": "fig-turn"}
    meta = plotting.surface_3d(surface(bowl()), title="Bowl.", **words).layout
    assert meta.meta["alt"].startswith("Bowl. Loss on a plane")
    assert {k: meta.meta[k] for k in words} == words
    with pytest.raises(ValueError, match="needs a caption"):
        plotting.surface_3d(surface(bowl()), name="fig-turn")


@TEMPLATES
def test_a_path_is_drawn_on_both_kinds_of_surface():
    record = surface(
        bowl(),
        path_coords=np.array([[0.5, 0.5], [0.0, 0.0]]),
        path_losses=np.array([0.9, 0.1]),
    )
    ax = plotting.contour(record)
    drawn = [line.get_xydata().tolist() for line in ax.lines]
    assert record.path_coords.tolist() in drawn
    assert list(plotting.surface_3d(record).data[1].x) == [0.5, 0.0]


def test_bands_show_median_and_range_and_count_failures():
    rows = np.array([[1.0, 2.0], [3.0, 4.0], [np.nan, 6.0]])
    ax = plotting.bands([0, 1], {"run": rows})
    assert ax.lines[0].get_ydata().tolist() == [2.0, 4.0]
    assert ax.lines[0].get_label() == "run (1 of 3 not finite)"


def test_histories_take_fields_and_metrics():
    h = history([3.0, 2.0, 1.0])
    ax = plotting.histories({"a": [h, h]}, "train_loss")
    assert ax.lines[0].get_ydata().tolist() == [3.0, 2.0, 1.0]


def test_a_line_marks_what_is_not_finite():
    record = Line(np.arange(3.0), np.array([1.0, np.inf, 2.0]))
    ax = plotting.line({"a": record})
    assert ax.lines[1].get_xdata().tolist() == [1.0]
    assert ax.lines[1].get_label() == "a not finite"


def test_words_tell_ranges_and_minima():
    text = plotting.alt_text(surface(bowl()))
    assert "between 0.5 and 3.5" in text
    assert "lowest at (0, 0)" in text
    assert "3 epochs" in plotting.alt_text(history([3.0, 2.0, 1.0]))
    spectrum = Spectrum(np.array([5.0]), np.eye(1), np.array([1e-4]), 7)
    assert "5" in plotting.alt_text(spectrum)
    with pytest.raises(TypeError, match="no words"):
        plotting.alt_text("a string")


def test_show_wants_words_and_displays_them(monkeypatch):
    shown = []
    monkeypatch.setattr(
        "IPython.display.display", lambda d, **k: shown.append((d, k))
    )
    with pytest.raises(ValueError, match="in words"):
        plotting.show(plt.figure(), " ")
    monkeypatch.setenv("DLDNA_BOOK", "1")  # a page has four pictures
    plotting.show(plt.figure(), "a bowl", {"x": [1, 2], "y": ["a", "<b>"]})
    data, more = shown[0]
    assert data["image/png"].startswith(b"\x89PNG")
    assert data["text/plain"] == "a bowl"
    meta = more["metadata"]["image/png"]
    assert meta["alt"] == "a bowl"
    assert set(meta["variants"]) == {"dark", "phone-light", "phone-dark"}
    assert "&lt;b&gt;" in meta["table"]
    assert "caption" not in meta
    plotting.show(plt.figure(), "a bowl", caption="Loss.", name="fig-bowl")
    meta = shown[1][1]["metadata"]["image/png"]
    assert (meta["caption"], meta["name"]) == ("Loss.", "fig-bowl")
    with pytest.raises(ValueError, match="needs a caption"):
        plotting.show(plt.figure(), "a bowl", name="fig-bowl")
    monkeypatch.delenv("DLDNA_BOOK")  # a notebook has one, the same
    plotting.show(plt.figure(), "a bowl", {"x": [1, 2], "y": ["a", "<b>"]})
    alone, more = shown[2]
    assert alone == data
    assert "variants" not in more["metadata"]["image/png"]
    with pytest.raises(ValueError, match="differ in length"):
        plotting.show(plt.figure(), "x", {"a": [1], "b": []})


def test_use_sets_the_look():
    with plt.rc_context():
        plotting.use()
        assert plt.rcParams["figure.facecolor"] == "white"


def test_a_network_is_drawn_with_every_signal_and_weight():
    layers = [["xa", "xb"], ["xw"]]
    edges = [("xa", "xw", "ab"), ("xb", "xw", "")]
    ax = plotting.network(layers, edges)
    words = sorted(t.get_text() for t in ax.texts if t.get_text())
    assert words == ["ab", "xa", "xb", "xw"]
    assert len([t for t in ax.texts if not t.get_text()]) == 2
