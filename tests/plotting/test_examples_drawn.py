"""What is drawn most has an example in its own words, and it runs."""

import doctest
import sys

import pytest
from matplotlib import pyplot as plt

from dldna import landscape, plotting

DRAWN = ("contour", "surface_3d", "line", "path", "eigenvalues", "density")
MEASURED = ("spectral_density", "trace", "top_eigenpairs")


@pytest.mark.parametrize("name", [*DRAWN, *MEASURED])
def test_it_has_an_example_that_runs(name):
    room = plotting if name in DRAWN else landscape
    function = getattr(room, name)
    names = vars(sys.modules[function.__module__])
    [example] = doctest.DocTestFinder().find(
        function, name, globs=dict(names)
    )  # fmt: skip
    assert example.examples
    told = []
    doctest.DocTestRunner().run(example, out=told.append)
    plt.close("all")
    assert not told
