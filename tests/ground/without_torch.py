"""Run in a fresh process where torch is missing: each room, with an example.

Prints nothing; an assertion or an import that fails is what ends it.
"""

import contextlib
import io
import sys
import tempfile
from importlib.abc import MetaPathFinder
from pathlib import Path

import numpy as np


class NoTorch(MetaPathFinder):
    """As on a machine where torch is not installed."""

    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


if __name__ == "__main__":  # and not where tests are collected
    sys.meta_path.insert(0, NoTorch())

from dldna import graph, landscape, plotting, problems, stored  # noqa: E402
from dldna.exercises import check  # noqa: E402
from dldna.landscape import topology  # noqa: E402, its path in print
from dldna.landscape.shape import scales, wells  # noqa: E402
from dldna.records import Line, Provenance, Record, Surface  # noqa: E402


def bowl() -> Surface:
    at = np.linspace(-1, 1, 9)
    z = at[:, None] ** 2 + 2 * at[None] ** 2
    return Surface(at, at, z, evaluated=np.ones_like(z, bool), centre_loss=0.0)


def records(folder: Path) -> None:
    known = Provenance(made="line", notes={"n": np.float64(2.0)})
    assert known.threads is None
    assert "torch" not in known.versions
    line = Line(np.arange(3.0), np.arange(3.0) ** 2, provenance=known)
    back = Record.load(line.save(folder / "line.npz"))
    assert back.losses.tolist() == [0, 1, 4]
    assert back.provenance.notes == {"n": 2.0}
    plotting.line(back)
    surface = Surface.load(bowl().save(folder / "plane"))
    plotting.contour(surface)
    surface.to_ply(folder / "plane.ply")


def shapes(folder: Path) -> None:
    tree = topology.merge_tree(bowl())
    tree.save(folder / "tree.npz")
    # a file names the module that holds its kind of record
    assert type(Record.load(folder / "tree.npz")) is topology.MergeTree
    assert isinstance(topology.diagram(bowl()), Record)
    assert wells.fit_wells(bowl()).quadratic.r2 > 0.999
    assert scales.__name__ == "dldna.landscape.shape.scales"


def functions() -> None:
    found = problems.problem("rosenbrock")
    xy = np.array([[1.0, 1.0], [-1.2, 1.0]])
    assert np.allclose(found.f(xy), [0, 24.2])
    assert np.allclose(found.gradient(xy), [[0, 0], [-215.6, -88]])
    noisy = problems.problem("noisy-quadratic")
    drawn = noisy.noisy_gradient(np.ones((9, 2)), np.random.default_rng(0))
    assert drawn.shape == (9, 2)
    net = graph.build(["xw = ab*xa"], "sigmoid")
    weights = {"ab": np.array(2.0), "bias_xw": np.array(-1.0)}
    signals = net.forward(weights, {"xa": np.array([0.5, 1.0])})
    assert np.allclose(signals["xw"], 1 / (1 + np.exp([0.0, -1.0])))
    slopes = net.backward(weights, signals, {"xw": np.ones(2)})
    y = signals["xw"]
    assert np.allclose(slopes["bias_xw"], (y * (1 - y)).sum())


def kept() -> None:
    assert "init_table" in stored.names()
    assert stored.stored("init_table")["provenance"]
    with contextlib.redirect_stdout(io.StringIO()) as said:
        check("how_to_use-ex1", 0.0)
    assert said.getvalue().startswith("how_to_use-ex1")


def refused() -> None:
    for name in ("surface", "Operator"):
        try:
            getattr(landscape, name)
        except ImportError as error:
            assert "pip install torch" in str(error), error
        else:
            raise AssertionError(name)
    assert not hasattr(landscape, "no_such_name")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        records(Path(place))
        shapes(Path(place))
        functions()
        kept()
        refused()
    assert "torch" not in sys.modules
