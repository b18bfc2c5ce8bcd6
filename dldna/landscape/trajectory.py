"""The path of a training run: its plane, its shadow, its honesty."""

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna.checks import count, positive
from dldna.landscape.checkpoints import load_into, natural, read_checkpoint
from dldna.landscape.evaluate import Slow, task
from dldna.landscape.null import (
    centred,
    shares,
    simulated_shares,
    walk_shares,
)
from dldna.landscape.plane import Direction, Plane
from dldna.landscape.recorder import Recorder, entries, read_meta
from dldna.params import Params
from dldna.progress import track

BLOCK_BYTES = 1 << 26


@dataclass(frozen=True, eq=False)
class Shadow:
    """A path as seen on a plane.

    Args:
        coords: (T, K) coordinates of each checkpoint's nearest point.
        distances: (T,) how far each lies off the plane.
        lengths: (T,) how far each lies from the plane's origin.
    """

    coords: np.ndarray
    distances: np.ndarray
    lengths: np.ndarray

    @property
    def off(self) -> np.ndarray:
        """(T,) distance off the plane as a share of that to the origin."""
        return self.distances / np.maximum(self.lengths, 1e-300)


class Trajectory:
    """Checkpoints on disk, as written by :class:`Recorder`.

    Whatever their number and size, only a few rows or a block of columns
    are in memory at a time.

    Args:
        path: the folder.

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

        Raises:
            ValueError: no files, or one that does not fit.
        """
        ordered = sorted((Path(f) for f in files), key=natural)
        if not ordered:
            raise ValueError("no checkpoint files were given")
        twin = copy.deepcopy(model)
        with Recorder(out, every=1, resume=replace) as recorder:
            for step, file in enumerate(track(ordered, "checkpoints")):
                load_into(twin, read_checkpoint(file), file)
                recorder.record(twin, step=step)
        return cls(out)

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def identity(self) -> list[int]:
        """Numbers that change when a checkpoint does."""
        return [self.row_size, *(e["crc"] for e in self._entries)]

    @property
    def steps(self) -> np.ndarray:
        """(T,) number of updates at each checkpoint."""
        return np.array([e["step"] for e in self._entries])

    @property
    def losses(self) -> np.ndarray:
        """(T,) recorded training losses; NaN where none was recorded."""
        return np.array(
            [np.nan if e["loss"] is None else e["loss"] for e in self._entries]
        )

    def __getitem__(self, i: int) -> Params:
        """The parameters at checkpoint ``i``."""
        return self._cut(i)[0]

    def __iter__(self) -> Iterator[Params]:
        return (self[i] for i in range(len(self)))

    def state(self, i: int) -> tuple[Params, Params]:
        """Parameters and floating buffers at checkpoint ``i``."""
        return self._cut(i)

    def final(self, model: nn.Module) -> nn.Module:
        """A copy of ``model`` with the last checkpoint's weights."""
        twin = copy.deepcopy(model)
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
        """(T, T) inner products of the checkpoints about the last one.

        Raises:
            ValueError: a checkpoint holds NaN or infinity.
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

        With :math:`M` the rows :math:`w_t - w_n`, from the small matrix
        :math:`M M^\top = U S^2 U^\top` the directions are
        :math:`M^\top U / S`: unit length, at right angles. No matrix with
        as many rows as there are parameters is formed, and ``M`` is read
        in blocks of columns.

        Components are taken about the final weights, where the plane is
        laid, not about the mean, where scikit-learn's PCA takes them.

        Args:
            k: number of directions.
            vectors: "keep", or "zero" to leave biases and normalisation
                layers out of the directions afterwards.

        Returns:
            The plane; ``notes`` holds the variance explained beside that
            of random walks.

        Raises:
            ValueError: fewer than k + 1 checkpoints, or the run moved in
                fewer than k directions.

        References:
            Li et al., NeurIPS 2018, arXiv 1712.09913, section 7.
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
        """Variance shares of the first k components, and of pure noise.

        Args:
            k: number of components.
            gram: :meth:`gram`, if it is known.

        Returns:
            Shares about the end and about the mean; for each what a long
            random walk gives; and the mean over simulated walks with this
            run's own step lengths, about the end.
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
        """(T - 1,) distances from each checkpoint to the next."""
        gram = self.gram() if gram is None else gram
        square = gram.diagonal()[:-1] + gram.diagonal()[1:]
        square = square - 2 * np.diagonal(gram, 1)
        return np.sqrt(np.clip(square, 0, None))

    def jumps(self, factor: float = 5.0) -> list[int]:
        """Checkpoints that are far from the one before.

        A step that is ``factor`` times as long as both its neighbours is
        often the seam of two runs in one folder, or a wrong order.

        Returns:
            Indices of the checkpoints after a jump.
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
        """Coordinates of all checkpoints on a plane, by least squares.

        Args:
            plane: its directions may be oblique.

        Raises:
            ValueError: another network, or parallel directions.
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
        """True losses of the checkpoints, and those of their shadows.

        Args:
            job: model, loss and batches
                (:class:`dldna.landscape.workers.Job`).
            plane: where they are projected to.
            shadow: from :meth:`project`.

        Returns:
            The ``path_*`` fields of a :class:`dldna.records.Surface`.
        """
        keys = ("metrics", "precision", "statistics", "buffer_directions")
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
