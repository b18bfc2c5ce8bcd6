"""A picture says which record it takes."""

import numpy as np
import pytest
from matplotlib import pyplot as plt

from dldna import plotting
from dldna.records import Line, Surface

AXIS = np.array([-1.0, 0.0, 1.0])
LINE = Line(AXIS, AXIS**2, {"accuracy": AXIS})
PLANE = Surface(
    AXIS, AXIS, np.add.outer(AXIS**2, AXIS**2), np.ones((3, 3), bool), 0.0
)


@pytest.fixture(autouse=True)
def _all_closed():
    yield
    plt.close("all")


@pytest.mark.parametrize(
    ("draw", "record", "says"),
    [
        ("contour", LINE, "takes a Surface, not a Line"),
        ("contours_3d", LINE, "takes a Surface, not a Line"),
        ("mesh_3d", AXIS, "takes a Surface, not a ndarray"),
        ("path", None, "takes a Surface, not a NoneType"),
        ("line", PLANE, "takes a Line, not a Surface"),
        ("line", {"one": PLANE}, "takes a Line, not a Surface"),
        ("eigenvalues", AXIS, "takes a Spectrum, not a ndarray"),
        ("sharpness", PLANE, "takes a Motion, not a Surface"),
    ],
)
def test_another_record_is_refused_in_words(draw, record, says):
    with pytest.raises(TypeError, match=says):
        getattr(plotting, draw)(record)


def test_a_metric_that_a_line_has_not():
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        plotting.line(LINE, metric="acuracy")
    assert plotting.line(LINE, metric="accuracy").get_ylabel() == "accuracy"
