"""The record of how far from convex a loss is on a plane."""

from dataclasses import dataclass, field

import numpy as np

from dldna.records.base import Provenance, Record


@dataclass(frozen=True, eq=False)
class ConvexityMap(Record):
    r"""The two ends of the Hessian's spectrum on a plane.

    The point (alpha, beta) is ``centre + alpha * d1 + beta * d2``. The
    Hessian is that over all parameters, not over the plane.

    Args:
        alphas: (A,) coordinates along the first direction; 0 is among them.
        betas: (B,) coordinates along the second; 0 is among them.
        smallest: (A, B) smallest eigenvalue, the most negative; NaN where
            the loss or a product with the Hessian is not finite.
        largest: (A, B) largest eigenvalue.
        residuals: (A, B, 2) ``||H v - lambda v||`` of both, absolute.
        products: (A, B) Hessian-vector products spent at each point.
        directions: how each direction was chosen, for people.
        path_coords: (T, 2) a trajectory's projections, or (0, 2).
        path_distance: (T,) how far they lie off the plane, or (0,).
        provenance: where it came from.

    Example:
        >>> one = np.ones((1, 1))
        >>> m = ConvexityMap(np.zeros(1), np.zeros(1), -one, 4 * one,
        ...                  np.zeros((1, 1, 2)), one)
        >>> m.ratio
        array([[0.25]])
    """

    alphas: np.ndarray
    betas: np.ndarray
    smallest: np.ndarray
    largest: np.ndarray
    residuals: np.ndarray
    products: np.ndarray
    directions: list[str] = field(default_factory=list)
    path_coords: np.ndarray = field(default_factory=lambda: np.zeros((0, 2)))
    path_distance: np.ndarray = field(default_factory=lambda: np.zeros(0))
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def ratio(self) -> np.ndarray:
        r"""(A, B) :math:`|\lambda_\min/\lambda_\max|`; NaN of 0 by 0.

        0 is convex; where it is near 0, a direction that curves down does
        so much less than the steepest one curves up.
        """
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.abs(self.smallest / self.largest)
