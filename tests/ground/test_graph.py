"""Expressions are read safely; gradients by hand equal autograd's."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dldna import graph

ONE = ["xw = ab*xa + bc*xb + cd*xc + ac*xd"]
THREE = [
    "xw=ap*xp+aq*xq+ar*xr+as*xs",
    "xz=bp*xp+bq*xq+br*xr+bs*xs",
    "xo=cp*xw+cq*xz",
]
ODD = ["xo = -(ab*xa - 2*xb)*cd + ab*ab*xa - (xb + .5)*ef", "xk = gh*xo*xa"]


@pytest.mark.parametrize("activation", graph.ACTIVATIONS)
@pytest.mark.parametrize("lines", [ONE, THREE, ODD], ids=["1", "3", "odd"])
def test_gradients_equal_autograd(lines, activation, float64):
    g = graph.build(lines, activation)
    gen = torch.Generator().manual_seed(3)
    runs, batch = 4, 7
    w = {
        k: torch.randn(runs, 1, generator=gen).requires_grad_()
        for k in g.weights
    }
    x = {k: torch.randn(runs, batch, generator=gen) for k in g.inputs}
    signals = g.forward(w, x)
    loss = sum((signals[o] ** 3).sum() for o in g.outputs)
    expected = torch.autograd.grad(loss, list(w.values()))
    outer = {o: 3 * signals[o] ** 2 for o in g.outputs}
    with torch.no_grad():
        got = g.backward(w, signals, outer)
    for k, e in zip(w, expected, strict=True):
        torch.testing.assert_close(got[k], e, rtol=1e-12, atol=1e-12)


def test_a_python_keyword_may_be_a_weight():
    assert "as" in graph.build(THREE).weights


def test_lines_may_come_in_any_order():
    a, b = graph.build(THREE), graph.build(THREE[::-1])
    assert set(a.neurons) == set(b.neurons)
    assert list(b.neurons)[-1] == "xo"


@pytest.mark.parametrize(
    ("text", "position"),
    [
        ("xw = ap*", 8),
        ("xw ap*xp", 3),
        ("= ap", 0),
        ("xw = (ap*xp", 11),
        ("xw = ap xp", 8),
        ("xw = ap*xp)", 10),
        ("xw = ap^xp", 7),
        ("xw = __import__('os')", 16),
        ("xw = 1.2.3*xp", 5),
        ("", 0),
        ("xw = ä*xp", 5),
        ("xw = ap**xp", 8),
    ],
)
def test_a_malformed_line_points_at_the_character(text, position):
    with pytest.raises(graph.ExpressionError) as caught:
        graph.parse(text)
    assert caught.value.position == position
    caret = str(caught.value).splitlines()[-1]
    assert caret == "  " + " " * position + "^"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([], "at least one neuron"),
        (["xa = ab*xb", "xa = cd*xb"], "defined twice"),
        (["aa = ab*xb"], "begin with 'x'"),
        (["xa = ab*xb", "xb = ab*xa"], "read each other: xa, xb"),
        (["xa = ab*xa"], "read each other: xa"),
    ],
)
def test_graphs_that_make_no_sense_are_refused(lines, message):
    with pytest.raises(ValueError, match=message):
        graph.build(lines)


@pytest.mark.parametrize(
    ("lines", "position"),
    [
        (["xb = w*xa + bias_xb"], 12),
        (["xb = bias_xb*xa"], 5),
        (["xb = w*xa", "xc = v*(xb - bias_xb)"], 13),
        (["xc = v*xb + bias_xb", "xb = w*xa"], 12),
    ],
)
def test_a_bias_that_a_line_names_is_refused_with_the_caret(lines, position):
    with pytest.raises(graph.ExpressionError, match="adds by itself") as found:
        graph.build(lines, "linear")
    assert found.value.position == position


def test_every_weight_is_listed_once_and_counts_once(float64):
    """Also one that looks like a bias, in two lines, twice in a term."""
    lines = ["xb = bias_q*xa*bias_q + w", "xc = bias_q*xb + w"]
    g = graph.build(lines, "linear")
    assert g.weights == ("bias_q", "w", "bias_xb", "bias_xc")
    w = {k: torch.tensor(float(i + 2)) for i, k in enumerate(g.weights)}
    out = g.forward(w, {"xa": torch.tensor([3.0])})
    assert out["xb"] == 2 * 3 * 2 + 3 + 4
    assert out["xc"] == 2 * out["xb"] + 3 + 5


def test_missing_values_are_named():
    g = graph.build(ONE)
    w = {k: torch.zeros(1) for k in g.weights}
    with pytest.raises(ValueError, match="input 'xa'"):
        g.forward(w, {})
    with pytest.raises(ValueError, match="weight 'ab'"):
        g.forward({}, {k: torch.zeros(1) for k in g.inputs})


def test_size_and_depth_are_bounded():
    with pytest.raises(graph.ExpressionError, match="longer than"):
        graph.parse("xw = " + "ab*xa + " * 5000 + "ab")
    for deep in ("(" * 500 + "xa" + ")" * 500, "-" * 500 + "xa"):
        with pytest.raises(graph.ExpressionError, match="nested deeper"):
            graph.parse("xw = " + deep)


PIECES = [
    *"+-*()=.' \n\x00é[",
    "xa",
    "xb",
    "ab",
    "3",
    "__",
    "import",
    "lambda:",
]


@given(st.lists(st.sampled_from(PIECES), max_size=60).map("".join))
def test_any_text_is_read_or_refused_never_run(text):
    try:
        name, tree = graph.parse(text)
    except graph.ExpressionError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert name
        assert tree.kind in ("name", "number", "+", "-", "*")


@given(st.text(max_size=80))
def test_any_unicode_is_read_or_refused(text):
    try:
        graph.parse(text)
    except graph.ExpressionError as error:
        assert 0 <= error.position <= len(text)


def test_layers_and_edges_tell_how_to_draw():
    g = graph.build(THREE)
    assert g.layers() == [["xp", "xq", "xr", "xs"], ["xw", "xz"], ["xo"]]
    assert ("xp", "xw", "ap") in g.edges()
    assert len(g.edges()) == 10
