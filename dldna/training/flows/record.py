"""What a flow predicts."""

from dataclasses import dataclass, field

import numpy as np

from dldna.records import Provenance, Record


@dataclass(frozen=True, eq=False)
class Flow(Record):
    r"""The path of a flow, and what the optimizer's run does around it.

    Eigenvalues are those of the Hessian, or of :math:`P^{-1}H` where the
    optimizer divides by :math:`P`.

    Args:
        steps: (T,) time, in steps of the optimizer from the start.
        loss: (T,) at the mean path.
        mean_loss: (T,) average over the oscillation,
            :math:`L(w)+\tfrac12\langle\Sigma,H(w)\rangle`.
        sharpness: (T,) largest eigenvalue at the mean path.
        threshold: at which eigenvalue the optimizer begins to swing.
        critical: (T,) number of directions held at the edge or near it.
        variances: (T, k) eigenvalues of the oscillation's covariance
            :math:`\Sigma` in weight space, largest first.
        missed: (T,) relative violation of the complementarity conditions.
        weights: (T, n) the mean path, in the order of the parameters that
            move; empty if it was not kept.
        oscillation: (T, k, n) vectors :math:`s_i` with
            :math:`\Sigma=\sum_i s_is_i^\top`; empty likewise.
        second_moment: (n,) the squared gradient's average at the end;
            empty if the optimizer has none.
        gradients: (T,) how many gradients of all the data each step of the
            flow took; a product with the Hessian is two of them.
        kind: "central", "stable" or "gradient".
        provenance: where it came from.
    """

    steps: np.ndarray
    loss: np.ndarray
    mean_loss: np.ndarray
    sharpness: np.ndarray
    threshold: float
    critical: np.ndarray
    variances: np.ndarray
    missed: np.ndarray
    weights: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    oscillation: np.ndarray = field(
        default_factory=lambda: np.zeros((0, 0, 0))
    )
    second_moment: np.ndarray = field(default_factory=lambda: np.zeros(0))
    gradients: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    kind: str = "central"
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def reached(self) -> int | None:
        """The first row at the edge; None if the flow does not get there."""
        at = np.flatnonzero(self.sharpness >= 0.99 * self.threshold)
        return int(at[0]) if len(at) else None
