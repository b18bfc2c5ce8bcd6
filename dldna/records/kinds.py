"""The records: one class for each kind of result."""

from dataclasses import dataclass, field

import numpy as np

from dldna.records.base import Provenance, Record


def _none() -> np.ndarray:
    return np.zeros(0)


def _no_rows() -> np.ndarray:
    return np.zeros((0, 0))


@dataclass(frozen=True, eq=False)
class History(Record):
    """What a training run measured, one entry for each epoch.

    Args:
        epochs: (E,) 1-based numbers of the epochs.
        train_loss: (E,) mean loss over the epoch's batches.
        train_accuracy: (E,) fraction of right answers while training.
        test_loss: (E,) loss on the test set after the epoch.
        test_accuracy: (E,) fraction of right answers on the test set.
        seconds: (E,) wall time of each epoch.
        step_loss: (S,) loss of each step's batch.
        metrics: further columns by name, each (E,).
        provenance: where it came from.
    """

    epochs: np.ndarray
    train_loss: np.ndarray
    train_accuracy: np.ndarray
    test_loss: np.ndarray
    test_accuracy: np.ndarray
    seconds: np.ndarray
    step_loss: np.ndarray
    metrics: dict[str, np.ndarray] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)


@dataclass(frozen=True, eq=False)
class Line(Record):
    """Losses along a line or a curve.

    Args:
        alphas: (A,) positions; 0 and 1 are the two ends.
        losses: (A,) mean loss, NaN and inf kept.
        metrics: further values by name, each (A,).
        provenance: where it came from.
    """

    alphas: np.ndarray
    losses: np.ndarray
    metrics: dict[str, np.ndarray] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)


@dataclass(frozen=True, eq=False)
class Spectrum(Record):
    """Eigenpairs of a symmetric matrix of curvature.

    Args:
        eigenvalues: (k,) by decreasing absolute value.
        eigenvectors: (k, n) unit rows, in the order of the parameters.
        residuals: (k,) ``||H v - lambda v|| / |lambda|``.
        products: number of Hessian-vector products spent.
        matrix: which matrix ("hessian", "gauss-newton").
        errors: (k,) spread of each eigenvalue over batches, or (0,).
        provenance: where it came from.
    """

    eigenvalues: np.ndarray
    eigenvectors: np.ndarray
    residuals: np.ndarray
    products: int
    matrix: str = "hessian"
    errors: np.ndarray = field(default_factory=lambda: np.zeros(0))
    provenance: Provenance = field(default_factory=Provenance)


@dataclass(frozen=True, eq=False)
class Density(Record):
    """Density of all eigenvalues of a matrix of curvature.

    Args:
        grid: (G,) eigenvalues at which the density is given.
        density: (G,) mean over probes; its integral is 1.
        spread: (G,) standard error of that mean over probes.
        nodes: (P, m) Ritz values of each probe; NaN after an early end.
        weights: (P, m) their weights; each row sums to 1.
        sigma: width of the Gaussian bumps.
        n: number of eigenvalues.
        products: number of products spent.
        matrix: which matrix ("hessian", "gauss-newton").
        provenance: where it came from.
    """

    grid: np.ndarray
    density: np.ndarray
    spread: np.ndarray
    nodes: np.ndarray
    weights: np.ndarray
    sigma: float
    n: int
    products: int
    matrix: str = "hessian"
    provenance: Provenance = field(default_factory=Provenance)


@dataclass(frozen=True, eq=False)
class Estimate(Record):
    """A quantity estimated from random probes, with its standard error.

    Args:
        value: the estimate; () for a trace, (n,) for a diagonal.
        error: its standard error, of the same shape.
        products: number of products spent.
        method: how it was estimated.
        samples: (S,) what each probe gave, or (0,).
        matrix: which matrix ("hessian", "gauss-newton").
        provenance: where it came from.
    """

    value: np.ndarray
    error: np.ndarray
    products: int
    method: str
    samples: np.ndarray = field(default_factory=lambda: np.zeros(0))
    matrix: str = "hessian"
    provenance: Provenance = field(default_factory=Provenance)


@dataclass(frozen=True, eq=False)
class Sharpness(Record):
    """How far the loss can rise in a neighbourhood.

    Args:
        value: the measure.
        loss: the loss at the centre.
        worst: the largest loss found; a lower bound of the maximum.
        measure: which measure.
        radius: size of the neighbourhood.
        steps: number of ascent steps.
        path: (steps + 1,) the loss after each step, centre first.
        provenance: where it came from.
    """

    value: float
    loss: float
    worst: float
    measure: str
    radius: float
    steps: int
    path: np.ndarray
    provenance: Provenance = field(default_factory=Provenance)


@dataclass(frozen=True, eq=False)
class LayerStats(Record):
    """Moments of the signal through a model, one entry for each layer.

    Args:
        names: (L,) of the layers, in the order of their calls.
        kinds: (L,) their types.
        mean: (L,) of each layer's output, over samples and units.
        variance: (L,) of the same.
        second_moment: (L,) of the same.
        grad_mean: (L,) of the gradient by that output.
        grad_variance: (L,) of the same.
        grad_second_moment: (L,) of the same.
        predicted: theory by the same names, each (L,); NaN where it does
            not hold.
        provenance: where it came from.
    """

    names: list[str]
    kinds: list[str]
    mean: np.ndarray
    variance: np.ndarray
    second_moment: np.ndarray
    grad_mean: np.ndarray
    grad_variance: np.ndarray
    grad_second_moment: np.ndarray
    predicted: dict[str, np.ndarray] = field(default_factory=dict)
    provenance: Provenance = field(default_factory=Provenance)


@dataclass(frozen=True, eq=False)
class Motion(Record):
    """How a network moved: T steps, and M points measured on fixed data.

    Norms are Euclidean, over all parameters or over those of one of the
    L layers. A step's loss and gradient are those of its batch at the
    weights before the step. What was not measured is NaN or empty.

    Args:
        steps: (T,) numbers of the steps, from 1.
        epochs: (T,) the epoch of each, from 1.
        loss: (T,) loss of the batch before the step.
        grad_norm: (T,) length of the gradient.
        param_change: (T,) length of the step.
        weight_norm: (T,) length of the weights after the step.
        loss_improvement: (T,) loss of the batch before the step minus
            that of the same batch after it.
        cosine: (T,) of the angle to the step before.
        samples: (T,) samples in the batch; empty if not known.
        layers: names of the layers, or empty.
        layer_grad_norm: (T, L) as ``grad_norm``, for each layer.
        layer_change: (T, L) as ``param_change``.
        layer_weight_norm: (T, L) as ``weight_norm``.
        points: (M,) after how many steps the data were tried.
        data_loss: (M,) mean loss on the data.
        data_grad_norm: (M,) length of its gradient.
        eigenvalues: (M, k) largest of the Hessian.
        residuals: (M, k) their relative residuals.
        gradient_share: (M, k) share of the squared gradient in the space
            of the first 1 to k eigenvectors.
        preconditioned: (M,) largest eigenvalue after the optimizer's
            division.
        threshold: (M,) of stability, for the rate at that point.
        noise_trace: (M,) trace of one sample's gradient covariance.
        noise_scale: (M,) that trace over the squared gradient, in samples.
        trace: (M,) trace of the Hessian.
        trace_error: (M,) its standard error, of the probes.
        threshold_of: what the threshold is to be compared with:
            "sharpness", "preconditioned sharpness" or "unknown".
        provenance: where it came from.
    """

    steps: np.ndarray
    epochs: np.ndarray
    loss: np.ndarray
    grad_norm: np.ndarray
    param_change: np.ndarray
    weight_norm: np.ndarray
    loss_improvement: np.ndarray
    cosine: np.ndarray
    samples: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    layers: list[str] = field(default_factory=list)
    layer_grad_norm: np.ndarray = field(default_factory=_no_rows)
    layer_change: np.ndarray = field(default_factory=_no_rows)
    layer_weight_norm: np.ndarray = field(default_factory=_no_rows)
    points: np.ndarray = field(default_factory=lambda: np.zeros(0, dtype=int))
    data_loss: np.ndarray = field(default_factory=_none)
    data_grad_norm: np.ndarray = field(default_factory=_none)
    eigenvalues: np.ndarray = field(default_factory=_no_rows)
    residuals: np.ndarray = field(default_factory=_no_rows)
    gradient_share: np.ndarray = field(default_factory=_no_rows)
    preconditioned: np.ndarray = field(default_factory=_none)
    threshold: np.ndarray = field(default_factory=_none)
    noise_trace: np.ndarray = field(default_factory=_none)
    noise_scale: np.ndarray = field(default_factory=_none)
    trace: np.ndarray = field(default_factory=_none)
    trace_error: np.ndarray = field(default_factory=_none)
    threshold_of: str = "unknown"
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def sharpness(self) -> np.ndarray:
        """(M,) the largest eigenvalue of the Hessian."""
        if self.eigenvalues.shape[1] == 0:
            return np.full(len(self.points), np.nan)
        return self.eigenvalues[:, 0]

    @property
    def edge_ratio(self) -> np.ndarray:
        """(M,) the optimizer's sharpness over its threshold: 1 is the edge."""
        own = self.threshold_of == "preconditioned sharpness"
        return (self.preconditioned if own else self.sharpness) / (
            self.threshold
        )

    def by_epoch(self) -> dict[str, list[float]]:
        """Means over each epoch's measured steps.

        Returns:
            Lists ``loss``, ``grad_norm``, ``param_change``,
            ``weight_norm`` and ``loss_improvement``, one entry for each
            epoch. Losses count by the samples of their batch, lengths by
            steps; the weight norm is that of the last measured step.
        """
        ones = np.ones(len(self.steps))
        samples = self.samples if len(self.samples) else ones
        weights = {"loss": samples, "loss_improvement": samples}
        names = ("loss", "grad_norm", "param_change", "loss_improvement")
        found: dict[str, list[float]] = {
            name: [
                float(
                    np.average(
                        getattr(self, name)[self.epochs == e],
                        weights=weights.get(name, ones)[self.epochs == e],
                    )
                )
                for e in np.unique(self.epochs)
            ]
            for name in names
        }
        found["weight_norm"] = [
            float(self.weight_norm[self.epochs == e][-1])
            for e in np.unique(self.epochs)
        ]
        return found
