"""The chapter's cells, run in order in one kernel, and there again."""

import contextlib
import io
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, os.path.dirname(__file__))


class Kernel:
    """Names, printed lines, warnings and figures of every cell.

    Args:
        folder: where the reader works.
    """

    def __init__(self, folder: Path):
        import cells

        from dldna.models import MODELS
        from dldna.published import loaders

        self.folder, self.cells = folder, cells.CELLS
        self.names: dict = {}
        self.rounds: list[dict] = []
        self.said: list[dict[str, str]] = []
        self.warned: dict[str, list] = {}
        self.figures: dict[str, list] = {}
        self.homes = ((vars(loaders), "load"), (MODELS, "arena-transformer"))
        real = [home[name] for home, name in self.homes]
        exec(cells.SETUP, self.names)
        self.stand_ins = [home[name] for home, name in self.homes]
        for (home, name), value in zip(self.homes, real, strict=True):
            home[name] = value

    @contextlib.contextmanager
    def at_home(self) -> Iterator[None]:
        """In the reader's folder, with the reader's data; for a while."""
        before = os.getcwd()
        real = [home[name] for home, name in self.homes]
        try:
            os.chdir(self.folder)
            for (home, name), value in zip(
                self.homes, self.stand_ins, strict=True
            ):
                home[name] = value
            yield
        finally:
            os.chdir(before)
            for (home, name), value in zip(self.homes, real, strict=True):
                home[name] = value

    def run(self) -> None:
        """All cells in order; what they leave behind is kept."""
        from matplotlib import pyplot as plt

        said = {}
        for title, source in self.cells.items():
            out = io.StringIO()
            with (
                contextlib.redirect_stdout(out),
                warnings.catch_warnings(record=True) as caught,
            ):
                warnings.simplefilter("always")
                exec(compile(source, f"<{title}>", "exec"), self.names)
            said[title] = out.getvalue()
            self.warned.setdefault(title, []).extend(caught)
            self.figures[title] = [
                [ax.get_title() for ax in plt.figure(n).axes]
                for n in plt.get_fignums()
            ]
            plt.close("all")
        self.said.append(said)
        self.rounds.append(dict(self.names))


@pytest.fixture(scope="session")
def ran():
    """A kernel that has made its checkpoints and run all cells."""
    from cells import CHECKPOINTS

    from dldna.cli import main

    with tempfile.TemporaryDirectory() as folder:
        found = Kernel(Path(folder))
        with found.at_home():
            with contextlib.redirect_stdout(io.StringIO()):
                assert main(CHECKPOINTS.split()) == 0
            found.run()
        yield found


@pytest.fixture
def kernel(ran):
    """That kernel, in its own folder and with its own data."""
    with ran.at_home():
        yield ran


@pytest.fixture
def again(kernel):
    """That kernel, when it has run all cells a second time."""
    if len(kernel.rounds) == 1:
        kernel.run()
    return kernel
