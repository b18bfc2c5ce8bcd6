"""Spectra are drawn from their records."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from dldna import plotting
from dldna.records import Density, Spectrum


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def a_density():
    grid = np.linspace(-1, 3, 7)
    flat = np.full(7, 0.25)
    return Density(
        grid, flat, 0 * flat, np.ones((1, 2)), np.ones((1, 2)), 0.1, 5, 2
    )


def test_a_density_is_drawn_from_its_record_or_its_arrays():
    record, (_, ax) = a_density(), plt.subplots()
    drawn = [
        plotting.density(record),
        plotting.density(record, ax),
        plotting.density(record, ax=ax, label="again"),
        plotting.density(record.grid, record.density),
    ]
    assert drawn[1] is drawn[2] is ax
    for axis in drawn:
        for line in axis.lines:
            np.testing.assert_array_equal(line.get_xdata(), record.grid)
            np.testing.assert_array_equal(line.get_ydata(), record.density)


@pytest.mark.parametrize(
    ("values", "label"),
    [
        ([3.0, -2.0, 1.0], "rank by absolute value"),
        ([3.0, 1.0, -2.0], "rank"),  # the largest, with their signs
        ([-2.0, 1.0, 3.0], "rank"),
    ],
)
def test_eigenvalues_say_by_what_they_are_ranked(values, label):
    values = np.array(values)
    record = Spectrum(values, np.eye(3), 0 * values, 9)
    assert plotting.eigenvalues(record).get_xlabel() == label
