"""The path of a training run: its plane, its shadow, its honesty."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna.checks import count, positive
from dldna.guard import copy_of
from dldna.landscape.evaluate import Slow, task
from dldna.landscape.paths.null import (
    centred,
    shares,
    simulated_shares,
    walk_shares,
)
from dldna.landscape.paths.recorder import Recorder, entries, read_meta
from dldna.landscape.space.checkpoints import (
    load_into,
    natural,
    read_checkpoint,
)
from dldna.landscape.space.plane import Direction, Plane
from dldna.params import Params
from dldna.progress import track

BLOCK_BYTES = 1 << 26


@dataclass(frozen=True, eq=False)
class Shadow:
    r"""A path as seen on a plane.

    For each checkpoint :math:`w_t` and the plane
    :math:`o + \sum_k c_k d_k`,

    .. math:: w_t - o = \sum_k c_{tk} d_k + r_t, \qquad r_t \perp d_k,

    where :math:`\|r_t\|` is its distance from the plane. A path is what
    it seems only where the distances are small.

    Args:
        coords: (T, K) coordinates :math:`c_{tk}` of each checkpoint's
            nearest point, in units of the directions' lengths.
        distances: (T,) :math:`\|r_t\|`, how far each lies off the plane.
        lengths: (T,) :math:`\|w_t - o\|`, how far each lies from the
            plane's origin.

    Example:
        >>> shadow = Shadow(np.array([[3.0], [0.0]]), np.array([4.0, 0.0]),
        ...                 np.array([5.0, 0.0]))
        >>> shadow.off.tolist()
        [0.8, 0.0]

    References:
        Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape
        of Neural Nets", NeurIPS 2018, arXiv 1712.09913, section 7.
    """

    coords: np.ndarray
    distances: np.ndarray
    lengths: np.ndarray

    @property
    def off(self) -> np.ndarray:
        r"""(T,) distance off the plane as a share of that to the origin.

        .. math:: \|r_t\| \, / \, \|w_t - o\|

        It is 0 on the plane and 1 for a checkpoint straight above the
        origin; at the origin itself it is 0.

        Example:
            >>> Shadow(np.zeros((2, 1)), np.array([0.0, 2.0]),
            ...        np.array([0.0, 2.0])).off
            array([0., 1.])
        """
        return self.distances / np.maximum(self.lengths, 1e-300)


class Trajectory:
    r"""Checkpoints on disk, as written by :class:`Recorder`.

    They are the weights :math:`w_1, \dots, w_T` of one run. Whatever their
    number and size, only a few rows or a block of columns are in memory at
    a time. ``run[i]`` reads the parameters of a checkpoint, ``len(run)`` is
    T, and a loop over ``run`` reads one after the other.

    Args:
        path: the folder.

    Raises:
        FileNotFoundError: there is no recorded run.
        ValueError: it is damaged, or holds no complete checkpoint.

    Example:
        >>> import tempfile
        >>> model = nn.Linear(2, 1, bias=False)
        >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
        >>> with Recorder(tempfile.mkdtemp()) as recorder:
        ...     for step, w in enumerate(points):
        ...         model.weight.data = torch.tensor([w])
        ...         recorder.record(model, step, loss=sum(w))
        >>> run = Trajectory(recorder.path)
        >>> len(run), run[0]["weight"]
        (3, tensor([[3., 4.]]))
        >>> [d.name for d in run.plane().directions]
        ['principal component 1', 'principal component 2']

    References:
        Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape
        of Neural Nets", NeurIPS 2018, arXiv 1712.09913, section 7.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        meta = read_meta(self.path)
        self._entries = entries(self.path)
        if not self._entries:
            raise ValueError(f"{self.path} holds no complete checkpoint")
        self._shapes = [(k, tuple(s)) for k, s in meta["shapes"]]
        self._split = meta["parameters"]
        self._dtype = np.dtype(meta["dtype"])
        sizes = [int(np.prod(s)) for _, s in self._shapes]
        self.row_size = sum(sizes)
        self.n_params = sum(sizes[: self._split])

    @classmethod
    def collect(
        cls,
        files: Iterable[str | Path],
        out: str | Path,
        model: nn.Module,
        replace: bool = False,
    ) -> "Trajectory":
        """Make a trajectory from checkpoint files, in numeric order.

        ``epoch2`` comes before ``epoch10``. Files are read one at a time,
        with ``torch.load(weights_only=True)``.

        Args:
            files: state dicts on disk, in any order.
            out: folder for the trajectory.
            model: a network they fit; it is not touched.
            replace: overwrite a trajectory that is there.

        Returns:
            The trajectory in ``out``. Its steps are the files' places in
            order, from 0; its losses are NaN.

        Raises:
            ValueError: no files, or one that is damaged or does not fit.
            FileNotFoundError: a file is not there.
            FileExistsError: ``out`` holds a run, and ``replace`` is False.

        Example:
            >>> import tempfile
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
        ordered = sorted((Path(f) for f in files), key=natural)
        if not ordered:
            raise ValueError("no checkpoint files were given")
        twin = copy_of(model)
        with Recorder(out, every=1, resume=replace) as recorder:
            for step, file in enumerate(track(ordered, "checkpoints")):
                load_into(twin, read_checkpoint(file), file)
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
        own = dict(twin.named_parameters()) | dict(twin.named_buffers())
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

    # The plane

    def gram(self) -> np.ndarray:
        r"""(T, T) inner products of the checkpoints about the last one.

        .. math:: G_{st} = (w_s - w_T) \cdot (w_t - w_T)

        Returns:
            (T, T) in float64; its last row and column are 0. Buffers play
            no part.

        Raises:
            ValueError: a checkpoint holds NaN or infinity.

        Example:
            >>> import tempfile
            >>> model = nn.Linear(2, 1, bias=False)
            >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate(points):
            ...         model.weight.data = torch.tensor([w])
            ...         recorder.record(model, step, loss=sum(w))
            >>> run = Trajectory(recorder.path)
            >>> run.gram().tolist()
            [[25.0, 9.0, 0.0], [9.0, 9.0, 0.0], [0.0, 0.0, 0.0]]
        """
        total = np.zeros((len(self), len(self)))
        for _, block in self._blocks():
            block -= block[-1].copy()
            total += block @ block.T
        bad = np.flatnonzero(~np.isfinite(total.diagonal()))
        if len(bad) == len(self):  # the last one poisons all
            bad = np.array([len(self) - 1])
        if len(bad):
            raise ValueError(
                f"checkpoint {bad[0]} (step {self.steps[bad[0]]}) holds NaN "
                "or infinity: leave it out, the run diverged"
            )
        return total

    def plane(self, k: int = 2, vectors: str = "keep") -> Plane:
        r"""The plane of the first principal components about the end.

        With :math:`M` the rows :math:`w_t - w_T`, the directions come from
        the small matrix :math:`M M^\top` (T, T), which is :meth:`gram`:

        .. math:: M M^\top = U S^2 U^\top, \qquad D = M^\top U S^{-1}.

        The columns of :math:`D` have unit length and stand at right
        angles. The run starts at positive coordinates. No matrix with a
        row and a column for each parameter is formed, and :math:`M` is
        read in blocks of columns.

        Components are taken about the final weights, where the plane is
        laid, not about the mean, where scikit-learn's PCA takes them.

        Args:
            k: number of directions.
            vectors: "keep", or "zero" to leave biases and normalisation
                layers out of the directions afterwards; then they are a
                little shorter than 1, and no longer quite at right angles.

        Returns:
            The plane; ``notes`` holds the variance explained beside that
            of random walks.

        Raises:
            ValueError: fewer than k + 1 checkpoints, or the run moved in
                fewer than k directions.

        Example:
            >>> import tempfile
            >>> model = nn.Linear(2, 1, bias=False)
            >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate(points):
            ...         model.weight.data = torch.tensor([w])
            ...         recorder.record(model, step, loss=sum(w))
            >>> run = Trajectory(recorder.path)
            >>> plane = run.plane()
            >>> run.project(plane).distances.round(3).tolist()
            [0.0, 0.0, 0.0]
            >>> plane.directions[0].done.split(";")[0]
            'principal component 1, 85.4 % of the variance'

        References:
            Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss
            Landscape of Neural Nets", NeurIPS 2018, arXiv 1712.09913,
            section 7.
            Antognini, Sohl-Dickstein, "PCA of high dimensional random walks
            with comparison to neural network training", NeurIPS 2018,
            arXiv 1806.08805.
        """
        count("k", k)
        if len(self) < k + 1:
            raise ValueError(
                f"{k} directions need at least {k + 1} checkpoints; "
                f"{self.path} holds {len(self)}"
            )
        gram = self.gram()
        values, u = np.linalg.eigh(gram)
        values, u = values[::-1][:k], u[:, ::-1][:, :k]
        if values[-1] <= 1e-13 * max(values[0], 1e-300):
            raise ValueError(
                f"the run moved in fewer than {k} directions "
                f"(variances {values.tolist()})"
            )
        scale = np.sqrt(values)
        start = u[0] * scale  # where the run starts: positive coordinates
        u = u * np.where(start < 0, -1.0, 1.0)
        flat = torch.empty(k, self.n_params)
        if self._dtype == np.float64:
            flat = flat.double()
        mix = (u / scale).T
        for columns, block in self._blocks():
            block -= block[-1].copy()
            flat[:, columns] = torch.from_numpy(mix @ block).to(flat)
        origin = self[-1]
        made = [self._as_params(row, vectors == "zero") for row in flat]
        about_end = shares(gram)[:k]
        done = "unit length, about the final weights" + (
            "; biases and normalisation layers zero"
            if vectors == "zero"
            else ""
        )
        return Plane(
            origin,
            [
                Direction(
                    vector,
                    f"principal component {i + 1}",
                    f"principal component {i + 1}, "
                    f"{100 * about_end[i]:.1f} % of the variance; {done}",
                )
                for i, vector in enumerate(made)
            ],
            {"explained": self.explained(k, gram)},
        )

    def _as_params(self, row: Tensor, zero_vectors: bool) -> Params:
        out, at = {}, 0
        for name, shape in self._shapes[: self._split]:
            size = int(np.prod(shape))
            out[name] = row[at : at + size].view(shape)
            if zero_vectors and len(shape) < 2:
                out[name].zero_()
            at += size
        return out

    def explained(
        self, k: int = 2, gram: np.ndarray | None = None
    ) -> dict[str, list[float]]:
        r"""Variance shares of the first k components, and of pure noise.

        .. math:: \frac{S_i^2}{\sum_j S_j^2}, \qquad i = 1, \dots, k

        where :math:`S_i^2` are the eigenvalues of :meth:`gram`, the largest
        first; about the mean, those of the centred matrix. Two components
        explain most of a random walk, too: a run says something where it
        differs from one.

        Args:
            k: number of components.
            gram: :meth:`gram`, if it is known.

        Returns:
            Shares about the end and about the mean; for each what a long
            random walk gives; and the mean over simulated walks with this
            run's own step lengths, about the end.

        Raises:
            ValueError: k is no whole number of at least 1, or a checkpoint
                holds NaN or infinity.

        Example:
            >>> import tempfile
            >>> model = nn.Linear(2, 1, bias=False)
            >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate(points):
            ...         model.weight.data = torch.tensor([w])
            ...         recorder.record(model, step, loss=sum(w))
            >>> run = Trajectory(recorder.path)
            >>> found = run.explained(2)
            >>> [round(v, 3) for v in found["about the end"]]
            [0.854, 0.146]
            >>> [round(v, 3) for v in found["random walk about the end"]]
            [0.811, 0.09]

        References:
            Antognini, Sohl-Dickstein, "PCA of high dimensional random walks
            with comparison to neural network training", NeurIPS 2018,
            arXiv 1806.08805.
        """
        gram = self.gram() if gram is None else gram
        walks = simulated_shares(self.step_lengths(gram), k)
        return {
            "about the end": shares(gram)[:k].tolist(),
            "random walk about the end": walk_shares(k).tolist(),
            "random walk with these steps": walks.mean(0).tolist(),
            "about the mean": shares(centred(gram))[:k].tolist(),
            "random walk about the mean": walk_shares(k, "mean").tolist(),
        }

    def step_lengths(self, gram: np.ndarray | None = None) -> np.ndarray:
        r"""(T - 1,) distances from each checkpoint to the next.

        .. math:: \|w_{t+1} - w_t\|
            = \sqrt{G_{tt} + G_{t+1,t+1} - 2 G_{t,t+1}}

        Args:
            gram: (T, T) :meth:`gram`, if it is known.

        Returns:
            (T - 1,) Euclidean lengths in float64, over all parameters. A
            step below about 1e-8 of the way to the end is lost in rounding.

        Raises:
            ValueError: a checkpoint holds NaN or infinity.

        Example:
            >>> import tempfile
            >>> model = nn.Linear(2, 1, bias=False)
            >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate(points):
            ...         model.weight.data = torch.tensor([w])
            ...         recorder.record(model, step, loss=sum(w))
            >>> run = Trajectory(recorder.path)
            >>> run.step_lengths()
            array([4., 3.])
        """
        gram = self.gram() if gram is None else gram
        square = gram.diagonal()[:-1] + gram.diagonal()[1:]
        square = square - 2 * np.diagonal(gram, 1)
        return np.sqrt(np.clip(square, 0, None))

    def jumps(self, factor: float = 5.0) -> list[int]:
        r"""Checkpoints that are far from the one before.

        .. math:: s_t > f \max(s_{t-1}, s_{t+1}), \qquad
            s_t = \|w_{t+1} - w_t\|

        A step that is more than ``factor`` times as long as both its
        neighbours is often the seam of two runs in one folder, or a wrong
        order. The first and the last step have one neighbour.

        Args:
            factor: :math:`f`, positive.

        Returns:
            Indices of the checkpoints after a jump; none where there are
            fewer than two steps.

        Raises:
            ValueError: ``factor`` is not positive, or a checkpoint holds
                NaN or infinity.

        Example:
            >>> import tempfile
            >>> model = nn.Linear(1, 1, bias=False)
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate([0.0, 1.0, 2.0, 50.0, 51.0]):
            ...         model.weight.data = torch.tensor([[w]])
            ...         recorder.record(model, step)
            >>> Trajectory(recorder.path).jumps()
            [3]
        """
        positive("factor", factor)
        steps = self.step_lengths()
        if len(steps) < 2:
            return []
        padded = np.concatenate([[steps[1]], steps, [steps[-2]]])
        near = np.maximum(padded[:-2], padded[2:])
        return (np.flatnonzero(steps > factor * near) + 1).tolist()

    # The shadow

    def project(self, plane: Plane) -> Shadow:
        r"""Coordinates of all checkpoints on a plane, by least squares.

        The coordinates :math:`c_t` of checkpoint :math:`w_t` solve the
        normal equations

        .. math:: \sum_l (d_k \cdot d_l) \, c_{tl} = d_k \cdot (w_t - o),
            \qquad k = 1, \dots, K,

        as in :meth:`Plane.project`, with the checkpoints read in blocks of
        columns. Buffers play no part.

        Args:
            plane: its directions may be oblique.

        Returns:
            The shadow: coordinates (T, K), distances off the plane (T,)
            and distances from its origin (T,), in float64.

        Raises:
            ValueError: another network, or directions that are parallel or
                zero.

        Example:
            >>> import tempfile
            >>> model = nn.Linear(2, 1, bias=False)
            >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate(points):
            ...         model.weight.data = torch.tensor([w])
            ...         recorder.record(model, step, loss=sum(w))
            >>> run = Trajectory(recorder.path)
            >>> along = Direction({"weight": torch.tensor([[2.0, 0.0]])})
            >>> shadow = run.project(Plane(run[-1], [along]))
            >>> shadow.coords.T.tolist(), shadow.distances.tolist()
            ([[1.5, 1.5, 0.0]], [4.0, 0.0, 0.0])

        References:
            Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss
            Landscape of Neural Nets", NeurIPS 2018, arXiv 1712.09913,
            section 7.
        """
        names = [k for k, _ in self._shapes[: self._split]]
        if list(plane.origin) != names or any(
            tuple(plane.origin[k].shape) != s
            for k, s in self._shapes[: self._split]
        ):
            raise ValueError(
                f"the plane and {self.path} belong to different networks"
            )
        k, t = len(plane.directions), len(self)
        origin = _Flat(plane.origin)
        rows = [_Flat(v) for v in plane.vectors]
        gram, b, square = np.zeros((k, k)), np.zeros((t, k)), np.zeros(t)
        for columns, block in self._blocks():
            d = np.stack([r[columns] for r in rows])
            block -= origin[columns]
            gram += d @ d.T
            b += block @ d.T
            square += np.einsum("tb,tb->t", block, block)
        scale = np.sqrt(gram.diagonal())
        cosines = gram / np.outer(scale, scale)
        if not np.linalg.eigvalsh(cosines)[0] > 1e-12:
            raise ValueError(
                "the directions are parallel or zero: they span no plane"
            )
        coords = np.linalg.solve(cosines, (b / scale).T).T / scale
        rest = np.clip(square - np.einsum("tk,tk->t", coords, b), 0, None)
        return Shadow(coords, np.sqrt(rest), np.sqrt(square))

    def losses_on(self, job: Any, plane: Plane, shadow: Shadow) -> dict:
        r"""True losses of the checkpoints, and those of their shadows.

        .. math:: L(w_t) \quad\text{and}\quad
            L\Big(o + \sum_k c_{tk} d_k\Big)

        Where the two differ, the path that is drawn does not tell the
        loss of the run. A checkpoint is evaluated with its own running
        statistics, a shadow with what ``job`` says.

        Args:
            job: model, loss and batches
                (:class:`dldna.landscape.scan.pool.Job`).
            plane: where they are projected to.
            shadow: from :meth:`project`.

        Returns:
            The ``path_*`` fields of a :class:`dldna.records.Surface`:
            coordinates (T, K), true losses (T,), losses at the projections
            (T,) and distances off the plane (T,).

        Example:
            >>> import tempfile
            >>> model = nn.Linear(2, 1, bias=False)
            >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate(points):
            ...         model.weight.data = torch.tensor([w])
            ...         recorder.record(model, step, loss=sum(w))
            >>> run = Trajectory(recorder.path)
            >>> along = Direction({"weight": torch.tensor([[1.0, 0.0]])})
            >>> plane = Plane(run[-1], [along])
            >>> from dldna.landscape.scan.pool import Job
            >>> held = [(torch.eye(2), torch.zeros(2, 1))]
            >>> job = Job(model, nn.MSELoss(), held, plane.origin,
            ...           plane.vectors)
            >>> found = run.losses_on(job, plane, run.project(plane))
            >>> found["path_losses"].tolist()
            [12.5, 4.5, 0.0]
            >>> found["path_projected"].tolist()
            [4.5, 4.5, 0.0]
        """
        keys = ("metrics", "dtype", "statistics", "buffer_directions")
        options = {k: v for k, v in job.options.items() if k in keys}
        one = task(
            job.model, job.loss_fn, job.held, plane.origin, plane.vectors,
            **options,
        )  # fmt: skip
        evaluator = job.evaluator()
        coords = torch.from_numpy(shadow.coords)
        size = max(1, evaluator.chunk)
        shadows = [
            evaluator(coords[i : i + size])["loss"]
            for i in range(0, len(coords), size)
        ]
        true = np.empty(len(self))
        for i in track(range(len(self)), "true losses"):
            weights, buffers = self.state(i)
            true[i] = _loss_of(one, weights, buffers)
        return {
            "path_coords": shadow.coords,
            "path_losses": true,
            "path_projected": np.concatenate(shadows),
            "path_distance": shadow.distances,
        }


def _loss_of(one: Any, weights: Params, buffers: Params) -> float:
    """The loss at a checkpoint, with its own running statistics."""
    from dataclasses import replace

    own = {k: weights[k].to(v) for k, v in one.origin.items()}
    kept = one.buffers | {
        k: v.to(one.buffers[k]) for k, v in buffers.items() if k in one.buffers
    }
    here = replace(one, origin=own, buffers=kept)
    zero = torch.zeros(1, len(one.directions))
    return float(Slow(here)(zero)["loss"][0])


class _Flat:
    """A point as one long vector, of which pieces are copied at a time."""

    def __init__(self, point: Params):
        self.parts = [v.detach().reshape(-1) for v in point.values()]
        self.ends = np.cumsum([len(p) for p in self.parts])

    def __getitem__(self, columns: slice) -> np.ndarray:
        found = []
        for part, end in zip(self.parts, self.ends, strict=True):
            start = end - len(part)
            low, high = max(columns.start, start), min(columns.stop, end)
            if low < high:
                found.append(part[low - start : high - start].cpu().double())
        return torch.cat(found).numpy()
