"""Checkpoints streamed to disk while a network trains."""

import json
import os
import time
import zlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from dldna.checks import choice, count, folder
from dldna.files import write_atomic
from dldna.landscape.paths.run_files import (
    DTYPES,
    FORMAT,
    check_network,
    entries,
    read_meta,
    stored,
    tensors,
)
from dldna.landscape.scan.locking import locked


class Recorder:
    r"""Write flat checkpoints to a folder, one after the other.

    Nothing is kept in memory. ``weights.bin`` holds one row of numbers for
    each checkpoint (parameters, then floating buffers); ``index.jsonl``
    one line for each row that is complete, so that after a kill the folder
    reads up to the last whole checkpoint.

    It is a callback of training: ``on_step(state)`` and
    ``on_epoch(state)``, where the state has ``model``, ``epoch``, ``step``
    and ``loss``. In a loop of your own call :meth:`record`.

    For T checkpoints of N numbers, each of s bytes, ``weights.bin`` takes

    .. math:: T \cdot N \cdot s \text{ bytes}

    where N counts parameters and floating buffers.

    Args:
        path: the folder; it is made if it is not there.
        every: as a callback, record after so many steps, or after each
            "epoch"; :meth:`record` records whenever it is called.
        dtype: numbers on disk: "float32", "float16" (half the space,
            weights to 3 digits, from 6e-5 to 65504) or "float64". A
            tensor that would become infinite, or 0 altogether, is
            refused.
        resume: go on in a folder that holds checkpoints. Those at or after
            the first new step are replaced by the new ones.
        params: the parameters to record, named as for
            :func:`~dldna.landscape.surface`; by default all.

    Raises:
        FileExistsError: the folder holds a run, and ``resume`` is False.
        NotADirectoryError: there is a file.
        ValueError: an unknown dtype, ``every`` is no whole number, or an
            empty path.
        RuntimeError: at the first checkpoint, if another process is
            recording into the folder.

    Example:
        >>> import tempfile
        >>> from dldna.landscape import Trajectory
        >>> model, folder = nn.Linear(3, 2), tempfile.mkdtemp() + "/run"
        >>> with Recorder(folder) as recorder:
        ...     for step in range(4):
        ...         recorder.record(model, step=step, loss=1.0 / (step + 1))
        ...         _ = nn.init.normal_(model.weight)
        >>> run = Trajectory(folder)
        >>> len(run), run.steps.tolist()
        (4, [0, 1, 2, 3])
    """

    def __init__(
        self,
        path: str | Path,
        every: int | str = "epoch",
        dtype: str = "float32",
        resume: bool = False,
        params: Any = None,
    ):
        self.params = params
        self.path = folder("path", path)
        self.every = every if every == "epoch" else count("every", every)
        self.dtype = choice("dtype", dtype, DTYPES)
        self.resume = resume
        self._weights = self._index = None
        self._synced = 0.0
        if entries(self.path) and not resume:
            raise FileExistsError(
                f"{self.path} holds a recorded run; choose another folder, "
                "or go on with it by resume=True"
            )

    # The callback

    def on_start(self, state: Any) -> None:
        """Record where training starts, unless the folder has that step.

        Args:
            state: has ``model`` (a module), ``step`` (updates so far),
                ``epoch`` (epochs so far) and perhaps ``loss`` (a number).

        Raises:
            ValueError: as :meth:`record`.

        Example:
            >>> import tempfile
            >>> from types import SimpleNamespace
            >>> from dldna.landscape import Trajectory
            >>> state = SimpleNamespace(model=nn.Linear(2, 1), step=0, epoch=0)
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     recorder.on_start(state)
            ...     recorder.on_start(state)  # it is there already
            >>> Trajectory(recorder.path).steps.tolist()
            [0]
        """
        if all(entry["step"] != state.step for entry in entries(self.path)):
            self._of(state)

    def on_step(self, state: Any) -> None:
        """Record after a step, if its number is a multiple of ``every``.

        With ``every="epoch"`` nothing is done here.

        Args:
            state: has ``model`` (a module), ``step`` (updates so far),
                ``epoch`` (the epoch's number) and perhaps ``loss`` (of
                the step's batch).

        Raises:
            ValueError: as :meth:`record`.

        Example:
            >>> import tempfile
            >>> from types import SimpleNamespace
            >>> from dldna.landscape import Trajectory
            >>> state = SimpleNamespace(model=nn.Linear(2, 1), epoch=1)
            >>> with Recorder(tempfile.mkdtemp(), every=2) as recorder:
            ...     for state.step in (1, 2, 3, 4):
            ...         recorder.on_step(state)
            >>> Trajectory(recorder.path).steps.tolist()
            [2, 4]
        """
        if self.every != "epoch" and state.step % self.every == 0:
            self._of(state)

    def on_epoch(self, state: Any) -> None:
        """Record after an epoch, if ``every`` is "epoch".

        Args:
            state: has ``model`` (a module), ``step`` (updates so far),
                ``epoch`` (the epoch's number) and perhaps ``loss`` (of
                the last step's batch).

        Raises:
            ValueError: as :meth:`record`.

        Example:
            >>> import tempfile
            >>> from types import SimpleNamespace
            >>> from dldna.landscape import Trajectory
            >>> state = SimpleNamespace(model=nn.Linear(2, 1))
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for state.epoch, state.step in ((1, 10), (2, 20)):
            ...         recorder.on_epoch(state)
            >>> Trajectory(recorder.path).steps.tolist()
            [10, 20]
        """
        if self.every == "epoch":
            self._of(state)

    def _of(self, state: Any) -> None:
        loss = getattr(state, "loss", None)
        self.record(state.model, step=state.step, epoch=state.epoch, loss=loss)

    # The file

    def record(
        self,
        model: nn.Module,
        step: int,
        loss: float | None = None,
        epoch: int | None = None,
    ) -> None:
        """Append the model's parameters and floating buffers.

        Args:
            model: the network; the same architecture each time.
            step: number of updates so far; it must grow.
            loss: training loss, if known.
            epoch: number of epochs so far, if known.

        Raises:
            TypeError: no module, or one that is sharded over devices.
            ValueError: another network, a step that does not grow, or weights
                beyond the range of ``dtype``.
            RuntimeError: another process is recording into the folder.
            OSError: the disk is full, say; what is there stays whole.

        Example:
            >>> import tempfile
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     recorder.record(nn.Linear(2, 1), step=5)
            ...     recorder.record(nn.Linear(2, 1), step=5)
            Traceback (most recent call last):
            ...
            ValueError: step 5 comes after step 5: steps must grow
        """
        check_network(model, first=self._weights is None)
        if self._weights is None:
            self._open(model, int(step))
        if self._last is not None and step <= self._last:
            raise ValueError(
                f"step {step} comes after step {self._last}: steps must grow"
            )
        row = self._row(model)
        entry = {
            "step": int(step),
            "epoch": None if epoch is None else int(epoch),
            "loss": None if loss is None else float(loss),
            "crc": zlib.crc32(row),
        }
        self._append(row, (json.dumps(entry) + "\n").encode())
        self._last = entry["step"]
        if time.monotonic() - self._synced > 1:
            self._sync()

    def _append(self, row: bytes, line: bytes) -> None:
        """Write a row and its line, or neither."""
        files = (self._weights, self._index)
        ends = [os.fstat(file.fileno()).st_size for file in files]
        try:
            for file, data in zip(files, (row, line), strict=True):
                rest = memoryview(data)
                while rest:
                    rest = rest[file.write(rest) :]
        except BaseException as error:
            for file, end in zip(files, ends, strict=True):
                os.truncate(file.fileno(), end)
            if isinstance(error, OSError):
                raise OSError(
                    error.errno,
                    f"cannot write a checkpoint to {self.path} "
                    f"({error.strerror}); those before are whole",
                ) from error
            raise

    def close(self) -> None:
        """Write everything through to disk and close the files.

        Leaving a ``with`` block does the same. A second call does nothing.

        Example:
            >>> import tempfile
            >>> recorder = Recorder(tempfile.mkdtemp(), dtype="float64")
            >>> recorder.record(nn.Linear(2, 1), step=0)  # 3 numbers
            >>> recorder.close()
            >>> (recorder.path / "weights.bin").stat().st_size
            24
        """
        if self._weights is not None:
            self._sync()
            self._shut()

    def _shut(self) -> None:
        self._weights.close()
        self._index.close()
        self._weights = None
        self._lock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        if getattr(self, "_weights", None) is not None:
            self._shut()

    def _sync(self) -> None:
        for file in (self._weights, self._index):
            os.fsync(file.fileno())
        self._synced = time.monotonic()

    def _row(self, model: nn.Module) -> bytes:
        found = tensors(model, self.params)
        self._check([[k, list(t.shape)] for k, t in found.items()])
        return b"".join(
            stored(name, t.detach().reshape(-1).cpu(), self.dtype).tobytes()
            for name, t in found.items()
        )

    def _check(self, shapes: list) -> None:
        if shapes != self._shapes:
            raise ValueError(
                f"{self.path} holds another network: its tensors have "
                "other names or shapes"
            )

    def _open(self, model: nn.Module, step: int) -> None:
        with ExitStack() as stack:
            stack.enter_context(locked(self.path, "recording a run"))
            self._begin(model, step)
            self._lock = stack.pop_all()

    def _begin(self, model: nn.Module, step: int) -> None:
        meta = self.path / "meta.json"
        before = entries(self.path)
        found = tensors(model, self.params)
        moving = sum(isinstance(t, nn.Parameter) for t in found.values())
        self._shapes = [[k, list(t.shape)] for k, t in found.items()]
        if before:
            known = read_meta(self.path)
            self._check(known["shapes"])
            self.dtype = known["dtype"]
        else:
            head = {
                "format": FORMAT,
                "dtype": self.dtype,
                "parameters": moving,
                "shapes": self._shapes,
                "model": type(model).__name__,
            }
            text = json.dumps(head, indent=1).encode()
            write_atomic(meta, lambda f: f.write(text))
        kept = [e for e in before if e["step"] < step]
        lines = "".join(json.dumps(e) + "\n" for e in kept).encode()
        write_atomic(self.path / "index.jsonl", lambda f: f.write(lines))
        weights = self.path / "weights.bin"
        weights.touch()
        os.truncate(weights, len(kept) * self._row_bytes)
        self._weights = open(weights, "ab", buffering=0)  # noqa: SIM115
        index = self.path / "index.jsonl"
        self._index = open(index, "ab", buffering=0)  # noqa: SIM115
        self._last = kept[-1]["step"] if kept else None

    @property
    def _row_bytes(self) -> int:
        numbers = sum(int(np.prod(s)) for _, s in self._shapes)
        return numbers * np.dtype(self.dtype).itemsize
