"""Where measurements go: any object with ``log(values, step)``.

``values`` is a dict of floats by name, the same names each time, NaN for
what is not known; ``step`` is the number of updates so far. A sink with a
method ``close`` is closed when the observer is.
"""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dldna.integrations.library import library

PREFIX = "observe/"  # keeps our names apart from those of the run itself


def checked(sinks: Any) -> list[Any]:
    """Sinks as a list; one alone is none of them.

    Example:
        >>> checked(3)
        Traceback (most recent call last):
        ...
        TypeError: sinks must be a list of them, as [CSV("run.csv")], not a int
    """
    if not isinstance(sinks, Iterable):
        raise TypeError(
            'sinks must be a list of them, as [CSV("run.csv")], not a '
            f"{type(sinks).__name__}"
        )
    for sink in (sinks := list(sinks)):
        if not callable(getattr(sink, "log", None)):
            raise TypeError(
                "a sink has a method log(values, step), which a "
                f"{type(sink).__name__} has not"
            )
    return sinks


class CSV:
    """Rows of a CSV file, one for each measurement, appended.

    Args:
        path: the file; a new one begins with the names of the columns.

    Raises:
        ValueError: at the first row, if the file has other columns.

    Example:
        >>> import tempfile
        >>> sink = CSV(tempfile.mkdtemp() + "/run.csv")
        >>> sink.log({"loss": 0.5}, 10)
        >>> sink.path.read_text().split()
        ['step,loss', '10,0.5']
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)

    def log(self, values: dict[str, float], step: int) -> None:
        """Append a row."""
        columns = ["step", *values]
        with self.path.open("a+", newline="", encoding="utf-8") as file:
            file.seek(0)
            there = next(csv.reader(file), columns)
            if there != columns:
                raise ValueError(
                    f"{self.path} has other columns ({', '.join(there)}): "
                    "name another file"
                )
            writer = csv.writer(file)
            if file.seek(0, 2) == 0:
                writer.writerow(columns)
            writer.writerow([step, *values.values()])


class TensorBoard:
    """Scalars for TensorBoard (``pip install tensorboard``).

    Args:
        where: a folder, or a ``SummaryWriter`` that is there already.
        prefix: before each name.
    """

    def __init__(self, where: Any, prefix: str = PREFIX):
        library("tensorboard", "this sink")
        from torch.utils.tensorboard import SummaryWriter

        self._mine = isinstance(where, (str, Path))
        self.writer = SummaryWriter(str(where)) if self._mine else where
        self.prefix = prefix

    def log(self, values: dict[str, float], step: int) -> None:
        """Add a scalar for each value."""
        for name, value in values.items():
            self.writer.add_scalar(self.prefix + name, value, step)
        self.writer.flush()

    def close(self) -> None:
        """Close the writer, if it was made here."""
        if self._mine:
            self.writer.close()


class WandB:
    """Metrics of a run of Weights & Biases (``pip install wandb``).

    They have an axis of their own, ``observe/step``, since the run's steps
    count its calls of ``log``.

    Args:
        run: what ``wandb.init(...)`` gave; by default the run that is on.
        prefix: before each name.

    Raises:
        ValueError: no run is on.
    """

    def __init__(self, run: Any = None, prefix: str = PREFIX):
        self.run = run or library("wandb", "this sink").run
        if self.run is None:
            raise ValueError("no run is on: call wandb.init(...) first")
        self.prefix = prefix
        self.run.define_metric(f"{prefix}*", step_metric=f"{prefix}step")

    def log(self, values: dict[str, float], step: int) -> None:
        """Log the values beside their step."""
        named = {"step": step, **values}
        self.run.log({self.prefix + k: v for k, v in named.items()})


class MLflow:
    """Metrics of a run of MLflow (``pip install mlflow``).

    Args:
        run_id: of the run; by default the one that is active.
        prefix: before each name.

    Raises:
        ValueError: no run is active.
    """

    def __init__(self, run_id: str | None = None, prefix: str = PREFIX):
        self._mlflow = library("mlflow", "this sink")
        active = self._mlflow.active_run()
        if run_id is None and active is None:
            raise ValueError("no run is active: call mlflow.start_run() first")
        self.run_id = run_id or active.info.run_id
        self.prefix = prefix

    def log(self, values: dict[str, float], step: int) -> None:
        """Log the values."""
        named = {self.prefix + k: v for k, v in values.items()}
        self._mlflow.log_metrics(named, step=step, run_id=self.run_id)
