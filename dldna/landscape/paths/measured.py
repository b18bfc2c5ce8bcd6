"""How a recorded run moved: inner products, variance, steps, jumps."""

import numpy as np

from dldna.checks import positive
from dldna.landscape.paths.null import (
    centred,
    shares,
    simulated_shares,
    walk_shares,
)
from dldna.landscape.paths.recorded import Recorded


class Measured(Recorded):
    """What the inner products of a run's checkpoints tell of it.

    The base of :class:`dldna.landscape.Trajectory`; see there.
    """

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
            >>> from torch import nn, tensor
            >>> from dldna.landscape import Recorder, Trajectory
            >>> model = nn.Linear(2, 1, bias=False)
            >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate(points):
            ...         model.weight.data = tensor([w])
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
            >>> from torch import nn, tensor
            >>> from dldna.landscape import Recorder, Trajectory
            >>> model = nn.Linear(2, 1, bias=False)
            >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate(points):
            ...         model.weight.data = tensor([w])
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
            >>> from torch import nn, tensor
            >>> from dldna.landscape import Recorder, Trajectory
            >>> model = nn.Linear(2, 1, bias=False)
            >>> points = [3.0, 4.0], [3.0, 0.0], [0.0, 0.0]
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate(points):
            ...         model.weight.data = tensor([w])
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
            >>> from torch import nn, tensor
            >>> from dldna.landscape import Recorder, Trajectory
            >>> model = nn.Linear(1, 1, bias=False)
            >>> with Recorder(tempfile.mkdtemp()) as recorder:
            ...     for step, w in enumerate([0.0, 1.0, 2.0, 50.0, 51.0]):
            ...         model.weight.data = tensor([[w]])
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
