"""A formula fitted to a surface, as a record, and what all fits share."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from dldna.landscape.shape.samples import samples
from dldna.records import Provenance, Record, derived_from

if TYPE_CHECKING:
    from torch import Tensor

GAUSSIAN = ("A", "x0", "y0", "sx", "sy", "offset")
QUADRATIC = ("c", "bx", "by", "hxx", "hxy", "hyy")


class PoorFit(UserWarning):
    """A fit whose numbers say little about the surface."""


@dataclass(frozen=True, eq=False)
class Fit(Record):
    r"""A formula fitted to a surface, and how well it fits.

    A "gaussian" has the parameters A, x0, y0, sx, sy, offset:

    .. math:: z = \text{offset} - A \exp\Big(-\frac{(x-x_0)^2}{2 s_x^2}
              - \frac{(y-y_0)^2}{2 s_y^2}\Big)

    and a "quadratic" as many, c, bx, by, hxx, hxy, hyy:

    .. math:: z = c + b_x x + b_y y
              + \tfrac12 (h_{xx} x^2 + 2 h_{xy} x y + h_{yy} y^2)

    Args:
        form: "gaussian" or "quadratic".
        values: the parameters by name.
        covariance: (p, p) of the parameters that were fitted, in order;
            inf where the data do not fix them.
        residuals: (A, B) surface minus formula; NaN where left out.
        rmse: root of the mean squared residual.
        r2: share of the variance that the formula explains, at most 1.
        left_out: number of losses that are NaN or inf, and not used.
        provenance: where it came from.
    """

    form: str
    values: dict[str, float]
    covariance: np.ndarray
    residuals: np.ndarray
    rmse: float
    r2: float
    left_out: int = 0
    provenance: Provenance = field(default_factory=Provenance)

    def __call__(self, xy: "Tensor") -> "Tensor":
        """The formula at points (..., 2); returns (...)."""
        x, y = _tensor(xy).unbind(-1)
        v = self.values
        if self.form == "gaussian":
            return v["offset"] - v["A"] * self._bump(x, y)
        return (
            v["c"]
            + v["bx"] * x
            + v["by"] * y
            + (v["hxx"] * x * x + v["hyy"] * y * y) / 2
            + v["hxy"] * x * y
        )

    def gradient(self, xy: "Tensor") -> "Tensor":
        """Its gradient at points (..., 2); returns (..., 2)."""
        import torch

        x, y = _tensor(xy).unbind(-1)
        v = self.values
        if self.form == "gaussian":
            height = v["A"] * self._bump(x, y)
            gx = height * (x - v["x0"]) / v["sx"] ** 2
            gy = height * (y - v["y0"]) / v["sy"] ** 2
        else:
            gx = v["bx"] + v["hxx"] * x + v["hxy"] * y
            gy = v["by"] + v["hxy"] * x + v["hyy"] * y
        return torch.stack([gx, gy], dim=-1)

    def _bump(self, x: "Tensor", y: "Tensor") -> "Tensor":
        v = self.values
        u, w = (x - v["x0"]) / v["sx"], (y - v["y0"]) / v["sy"]
        return (-(u * u + w * w) / 2).exp()

    @property
    def hessian(self) -> np.ndarray:
        """(2, 2) curvature at the bottom; for a Gaussian A / s^2."""
        v = self.values
        if self.form == "gaussian":
            return np.diag([v["A"] / v["sx"] ** 2, v["A"] / v["sy"] ** 2])
        return np.array([[v["hxx"], v["hxy"]], [v["hxy"], v["hyy"]]])

    @property
    def bottom(self) -> tuple[float, float]:
        """Where the gradient vanishes; NaN where it never does."""
        v = self.values
        if self.form == "gaussian":
            return v["x0"], v["y0"]
        h = self.hessian
        if np.linalg.matrix_rank(h) < 2:
            return float("nan"), float("nan")
        at = np.linalg.solve(h, [-v["bx"], -v["by"]])
        return float(at[0]), float(at[1])

    @property
    def stable_rate(self) -> float:
        r"""Gradient descent settles at the bottom below this rate.

        :math:`2 / \lambda_{\max}`, for a Gaussian :math:`2 s^2 / A`; inf
        where nothing curves upwards.
        """
        top = np.linalg.eigvalsh(self.hessian)[-1]
        return float(2 / top) if top > 0 else float("inf")


@dataclass(frozen=True)
class Wells:
    """Both fits of one surface, with as many parameters each.

    Args:
        gaussian: the well.
        quadratic: the parabola.
    """

    gaussian: Fit
    quadratic: Fit

    @property
    def better(self) -> str:
        """The form that leaves the smaller residuals."""
        pair = (self.gaussian, self.quadratic)
        return max(pair, key=lambda fit: fit.r2).form


def _tensor(xy: "Tensor") -> "Tensor":
    """Points as a tensor: those of a list or an array on the CPU."""
    import torch

    there = isinstance(xy, torch.Tensor)
    return xy if there else torch.as_tensor(xy, device="cpu")


def points(surface):
    """Coordinates and losses of the finite points, and where they are."""
    axes = samples(surface)
    seen = np.isfinite(axes.z)
    if seen.sum() < 7:
        raise ValueError(
            f"{int(seen.sum())} finite losses are too few to fit six "
            "parameters and judge the fit: give at least 7"
        )
    x, y = np.meshgrid(axes.x, axes.y, indexing="ij")
    return x[seen], y[seen], axes.z[seen], seen


def fitted(
    surface, form, names, values, covariance, residuals, z, seen
) -> Fit:
    """The record of a fit, with its residuals put back on the grid."""
    left = np.full(seen.shape, np.nan)
    left[seen] = residuals
    spread = float(((z - z.mean()) ** 2).sum())
    squares = float((residuals**2).sum())
    flat = spread <= 1e-24 * max(float((z**2).sum()), 1e-300)
    return Fit(
        form=form,
        values=dict(zip(names, values, strict=True)),
        covariance=np.asarray(covariance),
        residuals=left,
        rmse=float(np.sqrt(squares / len(z))),
        r2=float("nan") if flat else 1 - squares / spread,
        left_out=int((~seen).sum()),
        provenance=derived_from(surface, f"{form} fit", points=len(z)),
    )
