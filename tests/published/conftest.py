"""The chapter's cells, run in order twice in one kernel."""

import contextlib
import io
import os
import sys
import tempfile
import warnings
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

        self.folder, self.names = folder, {}
        self.rounds: list[dict] = []
        self.said: list[dict[str, str]] = []
        self.warned: dict[str, list] = {}
        self.figures: dict[str, list] = {}
        self.cells = cells.CELLS
        exec(cells.SETUP, self.names)

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
def kernel():
    """One kernel that has made its checkpoints and run all cells twice."""
    from cells import CHECKPOINTS

    from dldna.cli import main
    from dldna.published import data

    real, home = data.load, os.getcwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            found = Kernel(Path(folder))
            with contextlib.redirect_stdout(io.StringIO()):
                assert main(CHECKPOINTS.split()) == 0
            found.run()
            found.run()
            yield found
        finally:
            os.chdir(home)
            data.load = real
            found.names["MODELS"]["arena-transformer"] = found.names["real"]
