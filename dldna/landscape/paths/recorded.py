"""Recorded checkpoints as they are read from disk."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Self

import numpy as np
import torch
from torch import nn

from dldna.guard import copy_of
from dldna.landscape.paths.recorder import Recorder
from dldna.landscape.paths.run_files import entries, read_meta
from dldna.landscape.space.checkpoints import (
    checkpoints_in,
    load_into,
    read_checkpoint,
)
from dldna.landscape.space.names import bare, natural_key
from dldna.params import Params
from dldna.progress import track

BLOCK_BYTES = 1 << 26


class Recorded:
    r"""A folder of checkpoints :math:`w_1, \dots, w_T`, read piece by piece.

    What :class:`dldna.landscape.Trajectory` reads with; see there.

    Args:
        path: the folder, as :class:`Recorder` or :meth:`collect` wrote it.

    Raises:
        FileNotFoundError: there is no recorded run.
        ValueError: it is damaged, or holds no complete checkpoint.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        meta = read_meta(self.path)
        self._entries = entries(self.path)
        if not self._entries:
            raise ValueError(f"{self.path} holds no complete checkpoint")
        shapes = bare({k: tuple(s) for k, s in meta["shapes"]})
        self._shapes = list(shapes.items())
        self._split = meta["parameters"]
        self._dtype = np.dtype(meta["dtype"])
        sizes = [int(np.prod(s)) for _, s in self._shapes]
        self.row_size = sum(sizes)
        self.n_params = sum(sizes[: self._split])

    @classmethod
    def collect(
        cls,
        files: str | Path | Iterable[str | Path],
        out: str | Path,
        model: nn.Module,
        replace: bool = False,
        key: str | None = None,
    ) -> Self:
        """Make a trajectory from checkpoint files, in numeric order.

        ``epoch2`` comes before ``epoch10``. Files are read one at a time,
        and nothing in them is executed.

        Args:
            files: checkpoints on disk, in any order: files or folders (see
                :func:`dldna.landscape.read_checkpoint`), or one folder
                with all of them, as a ``Trainer`` leaves it.
            out: folder for the trajectory.
            model: a network they fit; it is not touched.
            replace: overwrite a trajectory that is there.
            key: what the files keep the state dict under, as "ema".

        Returns:
            The trajectory in ``out``. Its steps are the files' places in
            order, from 0; its losses are NaN.

        Raises:
            ValueError: no files, or one that is damaged or does not fit.
            FileNotFoundError: a file is not there.
            FileExistsError: ``out`` holds a run, and ``replace`` is False.

        Example:
            >>> import tempfile
            >>> from dldna.landscape import Trajectory
            >>> folder = Path(tempfile.mkdtemp())
            >>> model = nn.Linear(1, 1, bias=False)
            >>> for n in (10, 2):
            ...     state = {"weight": torch.tensor([[float(n)]])}
            ...     torch.save(state, folder / f"epoch{n}.pt")
            >>> run = Trajectory.collect(folder.glob("*.pt"), folder / "run",
            ...                          model)
            >>> [float(w["weight"]) for w in run]
            [2.0, 10.0]
        """
        paths = files if isinstance(files, (str, Path)) else list(files)
        if not paths:
            raise ValueError("no checkpoint files were given")
        ordered = sorted(checkpoints_in(paths), key=natural_key)
        twin = copy_of(model)
        with Recorder(out, every=1, resume=replace) as recorder:
            for step, file in enumerate(track(ordered, "checkpoints")):
                load_into(twin, read_checkpoint(file, key), file)
                recorder.record(twin, step=step)
        return cls(out)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def identity(self) -> list[int]:
        """Numbers that change when a checkpoint does.

        The number of values in a row, and the checksum (CRC-32) of each
        row as it was written.

        Example:
            >>> import tempfile
            >>> from dldna.landscape import Trajectory
            >>> model = nn.Linear(2, 1, bias=False)
            >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate(points):
            ...         model.weight.data = torch.tensor([w])
            ...         recorder.record(model, step, loss=sum(w))
            >>> run = Trajectory(recorder.path)
            >>> len(run.identity)
            4
        """
        return [self.row_size, *(e["crc"] for e in self._entries)]

    @property
    def steps(self) -> np.ndarray:
        """(T,) number of updates at each checkpoint.

        Example:
            >>> import tempfile
            >>> from dldna.landscape import Trajectory
            >>> model = nn.Linear(2, 1, bias=False)
            >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate(points):
            ...         model.weight.data = torch.tensor([w])
            ...         recorder.record(model, step, loss=sum(w))
            >>> run = Trajectory(recorder.path)
            >>> run.steps
            array([0, 1, 2])
        """
        return np.array([e["step"] for e in self._entries])

    @property
    def losses(self) -> np.ndarray:
        """(T,) recorded training losses; NaN where none was recorded.

        In whatever unit the recorder was given; a callback of training
        gives the loss of the last batch, not that of all data.

        Example:
            >>> import tempfile
            >>> from dldna.landscape import Trajectory
            >>> model = nn.Linear(2, 1, bias=False)
            >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate(points):
            ...         model.weight.data = torch.tensor([w])
            ...         recorder.record(model, step, loss=sum(w))
            >>> run = Trajectory(recorder.path)
            >>> run.losses
            array([7., 3., 0.])
        """
        return np.array(
            [np.nan if e["loss"] is None else e["loss"] for e in self._entries]
        )

    def __getitem__(self, i: int) -> Params:
        """The parameters at checkpoint ``i``."""
        return self._cut(i)[0]

    def __iter__(self) -> Iterator[Params]:
        return (self[i] for i in range(len(self)))

    def state(self, i: int) -> tuple[Params, Params]:
        """Parameters and floating buffers at checkpoint ``i``.

        Args:
            i: its number, from 0; negative numbers count from the end.

        Returns:
            Two dicts of tensors on the CPU, by name: the parameters, and
            the floating buffers (running statistics). They are float64 if
            the run was recorded so, else float32.

        Raises:
            IndexError: there is no such checkpoint.
            ValueError: the file was cut short after it was opened.

        Example:
            >>> import tempfile
            >>> from dldna.landscape import Trajectory
            >>> model = nn.Linear(2, 1, bias=False)
            >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate(points):
            ...         model.weight.data = torch.tensor([w])
            ...         recorder.record(model, step, loss=sum(w))
            >>> run = Trajectory(recorder.path)
            >>> run.state(-2)
            ({'weight': tensor([[3., 0.]])}, {})
        """
        return self._cut(i)

    def final(self, model: nn.Module) -> nn.Module:
        """A copy of ``model`` with the last checkpoint's weights.

        Args:
            model: a network of the recorded kind; it is not touched.

        Returns:
            The copy, with the parameters and floating buffers of the last
            checkpoint. Other buffers (counters) stay those of ``model``.

        Raises:
            ValueError: the run was recorded from another network.

        Example:
            >>> import tempfile
            >>> from dldna.landscape import Trajectory
            >>> model = nn.Linear(2, 1, bias=False)
            >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate(points):
            ...         model.weight.data = torch.tensor([w])
            ...         recorder.record(model, step, loss=sum(w))
            >>> run = Trajectory(recorder.path)
            >>> twin = run.final(nn.Linear(2, 1, bias=False))
            >>> twin.weight.tolist()
            [[0.0, 0.0]]
        """
        twin = copy_of(model)
        weights, buffers = self._cut(-1)
        own = bare(dict(twin.named_parameters()) | dict(twin.named_buffers()))
        with torch.no_grad():
            for name, value in (weights | buffers).items():
                if name not in own or own[name].shape != value.shape:
                    raise ValueError(
                        f"the run was recorded from another network: "
                        f"{name!r} does not fit"
                    )
                own[name].copy_(value)
        return twin

    def _cut(self, i: int) -> tuple[Params, Params]:
        row = np.arange(len(self))[i]  # negative counts from the end
        flat = torch.from_numpy(self._read(row, 0, self.row_size))
        sizes = [int(np.prod(s)) for _, s in self._shapes]
        parts = [
            (name, part.view(shape))
            for (name, shape), part in zip(
                self._shapes, flat.split(sizes), strict=True
            )
        ]
        return dict(parts[: self._split]), dict(parts[self._split :])

    def _read(self, row: int, start: int, stop: int) -> np.ndarray:
        """Numbers ``start`` to ``stop`` of a row, float32 or float64."""
        item = self._dtype.itemsize
        with open(self.path / "weights.bin", "rb", buffering=0) as file:
            file.seek((row * self.row_size + start) * item)
            raw = np.fromfile(file, self._dtype, stop - start)
        if len(raw) != stop - start:
            raise ValueError(f"{self.path}/weights.bin is cut short")
        wide = np.float64 if self._dtype == np.float64 else np.float32
        return raw.astype(wide)

    def _blocks(self) -> Iterator[tuple[slice, np.ndarray]]:
        """All checkpoints, some columns at a time, (T, B) float64."""
        width = max(1, BLOCK_BYTES // (8 * len(self)))
        width = min(width, self.n_params)
        block = np.empty((len(self), width))
        starts = range(0, self.n_params, width)
        for start in track(starts, "trajectory"):
            stop = min(start + width, self.n_params)
            part = block[:, : stop - start]
            for row in range(len(self)):
                part[row] = self._read(row, start, stop)
            yield slice(start, stop), part
