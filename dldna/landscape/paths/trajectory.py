"""The path of a training run: its plane, its shadow, its honesty."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dldna.checks import count
from dldna.landscape.paths import shadow as below
from dldna.landscape.paths.measured import Measured
from dldna.landscape.paths.null import (
    shares,
)
from dldna.landscape.paths.shadow import Shadow
from dldna.landscape.space.plane import Direction, Plane
from dldna.params import Params

__all__ = ["Shadow", "Trajectory"]


class Trajectory(Measured):
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
        >>> from torch import nn
        >>> from dldna.landscape import Recorder
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

    def __repr__(self) -> str:
        first, last = self.steps[[0, -1]]
        words = f"{len(self)} checkpoints, steps {first} to {last}"
        return f"<Trajectory in {self.path}: {words}>"

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
            >>> from torch import nn
            >>> from dldna.landscape import Recorder
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
        flat = torch.empty(k, self.n_params, device="cpu")
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
            >>> from torch import nn
            >>> from dldna.landscape import Recorder
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
        return below.project(self, plane)

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
            >>> from torch import nn
            >>> from dldna.landscape import Recorder
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
        return below.losses_on(self, job, plane, shadow)


def opened(trajectory: Any) -> Trajectory | None:
    """A trajectory, from itself or its folder."""
    if trajectory is None or isinstance(trajectory, Trajectory):
        return trajectory
    if isinstance(trajectory, (str, Path)):
        return Trajectory(trajectory)
    raise TypeError(
        "trajectory must be a Trajectory or the folder of a recorded run, "
        f"not a {type(trajectory).__name__}"
    )
