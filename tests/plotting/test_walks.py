"""Paths lie where their points are, and say when they leave."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from dldna import plotting
from dldna.records import Surface


@pytest.fixture
def bowl():
    a, b = np.linspace(-2, 2, 9), np.linspace(-1, 1, 7)
    z = a[:, None] ** 2 + b**2 + 1
    done = np.ones(z.shape, dtype=bool)
    return Surface(a, b, z, done, 1.0, directions=["W2[1,1]", "b3[2]"])


def test_walks_are_drawn_in_the_surfaces_coordinates(bowl):
    near = np.array([[1.0, 0.5], [0.0, 0.25]])
    far = np.array([[0.0, 0.0], [0.0, 3.0]])
    ax = plotting.walks(bowl, {"near": near, "far": far}, goal=(0, 0))
    lines = {line.get_label(): line for line in ax.get_lines()}
    np.testing.assert_array_equal(lines["near"].get_xydata(), near)
    assert "far (leaves)" in lines
    squares = [
        line.get_xydata()[0].tolist()
        for line in ax.get_lines()
        if line.get_marker() == "s" and len(line.get_xydata()) == 1
    ]
    assert squares == [[1.0, 0.5], [0.0, 0.0]]
    assert lines["near"].get_color() != lines["far (leaves)"].get_color()
    assert ax.get_xlim() == (-2, 2)
    assert ax.get_ylim() == (-1, 1)
    assert ax.get_xlabel() == "W2[1,1]"
    assert ax.get_ylabel() == "b3[2]"
    plt.close("all")


def test_a_surface_alone_has_no_legend(bowl):
    ax = plotting.walks(bowl, {}, bar=False)
    assert ax.get_legend() is None
    assert len(ax.figure.axes) == 1
    plt.close("all")
