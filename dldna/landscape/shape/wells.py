"""A Gaussian well and a parabola, fitted to a surface side by side."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from dldna import checks
from dldna.landscape.shape.samples import samples
from dldna.records import Provenance, Record

Maker = Callable[[list[Tensor]], torch.optim.Optimizer]
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

    def __call__(self, xy: Tensor) -> Tensor:
        """The formula at points (..., 2); returns (...)."""
        x, y = torch.as_tensor(xy).unbind(-1)
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

    def gradient(self, xy: Tensor) -> Tensor:
        """Its gradient at points (..., 2); returns (..., 2)."""
        x, y = torch.as_tensor(xy).unbind(-1)
        v = self.values
        if self.form == "gaussian":
            height = v["A"] * self._bump(x, y)
            gx = height * (x - v["x0"]) / v["sx"] ** 2
            gy = height * (y - v["y0"]) / v["sy"] ** 2
        else:
            gx = v["bx"] + v["hxx"] * x + v["hxy"] * y
            gy = v["by"] + v["hxy"] * x + v["hyy"] * y
        return torch.stack([gx, gy], dim=-1)

    def _bump(self, x: Tensor, y: Tensor) -> Tensor:
        v = self.values
        u, w = (x - v["x0"]) / v["sx"], (y - v["y0"]) / v["sy"]
        return torch.exp(-(u * u + w * w) / 2)

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


def fit_wells(surface) -> Wells:
    """Fit a Gaussian well and a parabola to a surface.

    That a well was fitted says nothing about the ground: "flat with a
    narrow valley" is a property of the formula. Look at the residuals,
    and at whether six numbers of a parabola do better.

    Args:
        surface: a surface, or an (A, B) array of losses.

    Returns:
        Both fits.

    Raises:
        ValueError: fewer than 7 finite losses.
        RuntimeError: the Gaussian fit does not converge.
        ImportError: SciPy is not installed (extra ``science``).

    Warns:
        PoorFit: see :func:`fit_gaussian`.

    Example:
        >>> x = np.linspace(-1, 1, 15)
        >>> wells = fit_wells(1 + x[:, None] ** 2 + 3 * x**2)
        >>> wells.better, round(wells.quadratic.r2, 9)
        ('quadratic', 1.0)
    """
    return Wells(fit_gaussian(surface), fit_quadratic(surface))


def fit_gaussian(surface, offset: float | None = None) -> Fit:
    """Fit a Gaussian well by least squares.

    The best of several starts counts: at the lowest loss and at the
    lowest median of three by three points, with narrow and wide wells.
    Widths below half a step of the grid, which no loss could show, are
    not searched.

    Args:
        surface: a surface, or an (A, B) array of losses.
        offset: hold the rim at this loss. By default it is fitted too:
            held at the highest loss, it biases depth and widths.

    Returns:
        The fit; widths are positive.

    Raises:
        ValueError: fewer than 7 finite losses.
        RuntimeError: it does not converge.
        ImportError: SciPy is not installed (extra ``science``).

    Warns:
        PoorFit: the well explains next to nothing, or is narrower than
            a step of the grid.

    Example:
        >>> x = np.linspace(-3, 3, 21)
        >>> z = 4 - 2 * np.exp(-(x[:, None] ** 2 + x**2 / 4) / 2)
        >>> fit = fit_gaussian(z)
        >>> round(fit.values["A"], 6), round(fit.values["sx"] * 0.3, 6)
        (2.0, 1.0)
    """
    x, y, z, seen = _points(surface)
    optimize = checks.need("scipy.optimize", "science", "the Gaussian fit")
    if offset is not None:
        checks.number("offset", offset)
    steps = np.array([_step(x), _step(y)])

    def model(_, a, x0, y0, sx, sy, rim=offset):
        u, v = (x - x0) / sx, (y - y0) / sy
        return rim - a * np.exp(-(u * u + v * v) / 2)

    def slopes(_, a, x0, y0, sx, sy, rim=None):
        u, v = (x - x0) / sx, (y - y0) / sy
        e = np.exp(-(u * u + v * v) / 2)
        by = np.stack([u / sx, v / sy, u * u / sx, v * v / sy])
        rows = [-e, *(-a * e * by), *([] if rim is None else [e**0])]
        return np.stack(rows, axis=1)

    best, found, covariance, errors = np.inf, None, None, []
    for i, start in enumerate(_starts(x, y, z, seen, steps, offset)):
        # the first may creep along a valley of ever wider wells
        how = {"jac": slopes, "maxfev": 500} if i else {"maxfev": 20_000}
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore", optimize.OptimizeWarning)
            try:
                point, spread = optimize.curve_fit(
                    model, None, z, p0=start, **how
                )
            except RuntimeError as error:
                errors.append(error)
                continue
            point[3:5] = np.abs(point[3:5])
            loss = float(np.square(z - model(None, *point)).sum())
        # what a start before it found as well is not found anew
        if loss < best * (1 - 1e-6) and (point[3:5] >= steps / 2).all():
            best, found, covariance = loss, point, spread
        if best <= 1e-20 * float(np.square(z - z.mean()).sum()):
            break  # nothing is left to explain
    if found is None:
        raise RuntimeError(
            "no Gaussian well was found in this surface; it may have "
            "no rim, or more than one valley. Compare fit_quadratic, "
            "or take another extent"
            + "".join(f" ({error})" for error in errors[:1])
        )
    values = [*found.tolist(), *([] if offset is None else [float(offset)])]
    fitted = model(None, *found)
    fit = _fit("gaussian", GAUSSIAN, values, covariance, z - fitted, z, seen)
    doubt = []
    if np.isnan(fit.r2):
        return fit  # a flat surface
    if fit.r2 < 0.01:
        doubt.append(f"explains next to nothing (R2 = {fit.r2:.2g})")
    if (found[3:5] < steps).any():
        doubt.append("is narrower than a step of the grid")
    if doubt:
        warnings.warn(
            f"the Gaussian well {' and '.join(doubt)}: do not read its "
            "depth and widths as those of a valley",
            PoorFit,
            stacklevel=2,
        )
    return fit


def _starts(x, y, z, seen, steps, offset):
    """Where to begin: the old start first, then narrower wells."""
    grid = np.full(seen.shape, np.inf)
    grid[seen] = z
    windows = np.lib.stride_tricks.sliding_window_view(
        np.pad(grid, 1, constant_values=np.inf), (3, 3)
    )
    calm = int(np.median(windows, axis=(2, 3))[seen].argmin())
    lowest = int(z.argmin())
    wide = np.array([np.ptp(x), np.ptp(y)])
    rims = [z.max(), np.median(z)] if offset is None else [offset]
    for at in dict.fromkeys((lowest, calm)):
        for rim in rims:
            depth = max(abs(rim - z[at]), 1e-12)
            if at == lowest and rim == rims[0]:
                depth = max(np.ptp(z), 1e-12)
            for width in (wide / 4, wide / 10, 1.5 * steps, wide):
                start = [depth, x[at], y[at], *np.maximum(width, 1e-12)]
                yield [*start, rim] if offset is None else start


def _step(v: np.ndarray) -> float:
    """Smallest step between coordinates; 0 if there is but one."""
    gaps = np.diff(np.unique(v))
    return float(gaps.min()) if len(gaps) else 0.0


def fit_quadratic(surface) -> Fit:
    """Fit a parabola with mixed term by linear least squares.

    Args:
        surface: a surface, or an (A, B) array of losses.

    Returns:
        The fit.

    Raises:
        ValueError: fewer than 7 finite losses.

    Example:
        >>> x = np.arange(5.0)
        >>> fit = fit_quadratic((x[:, None] - 2) ** 2 + (x - 1) ** 2)
        >>> [round(v, 9) for v in fit.bottom]
        [2.0, 1.0]
    """
    x, y, z, seen = _points(surface)
    # Solve in units of the window, so that no column is tiny.
    ux, uy = (max(np.abs(v).max(), 1e-300) for v in (x, y))
    u, v = x / ux, y / uy
    columns = [np.ones_like(u), u, v, u * u / 2, u * v, v * v / 2]
    design = np.stack(columns, axis=1)
    found, _, rank, _ = np.linalg.lstsq(design, z, rcond=None)
    residuals = z - design @ found
    scale = 1 / np.array([1, ux, uy, ux * ux, ux * uy, uy * uy])
    if rank == len(found):
        noise = float(residuals @ residuals) / max(len(z) - rank, 1)
        covariance = np.linalg.inv(design.T @ design) * noise
        covariance = covariance * np.outer(scale, scale)
    else:
        covariance = np.full((len(found), len(found)), np.inf)
    values = (found * scale).tolist()
    return _fit("quadratic", QUADRATIC, values, covariance, residuals, z, seen)


def _points(surface):
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


def _fit(form, names, values, covariance, residuals, z, seen) -> Fit:
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
        provenance=Provenance(made=f"{form} fit", n_samples=len(z)),
    )


def descend(
    function: Callable[[Tensor], Tensor],
    start: Sequence[float],
    optimizer: Maker,
    steps: int = 100,
) -> np.ndarray:
    """Let an optimizer walk on a function of two variables.

    Args:
        function: from a tensor (2,) to a scalar: a :class:`Fit`, or any.
        start: where to begin.
        optimizer: makes an optimizer from a list of tensors, such as
            ``lambda p: torch.optim.SGD(p, lr=0.1)``.
        steps: number of steps.

    Returns:
        (steps + 1, 3) rows x, y, function value, from the start on, in
        float64. A walk that diverges goes on with inf and NaN.

    Raises:
        ValueError: the start is not two finite numbers.

    Example:
        >>> bowl = lambda w: (w * w).sum()
        >>> path = descend(bowl, (1.0, 2.0),
        ...                lambda p: torch.optim.SGD(p, lr=0.25), steps=1)
        >>> path.tolist()
        [[1.0, 2.0, 5.0], [0.5, 1.0, 1.25]]
    """
    checks.count("steps", steps)
    w = torch.tensor([float(v) for v in start], dtype=torch.float64)
    if w.shape != (2,) or not w.isfinite().all():
        raise ValueError(f"start must be two finite numbers, not {start!r}")
    w.requires_grad_()
    made = optimizer([w])

    def closure() -> Tensor:
        made.zero_grad()
        value = function(w)
        value.backward()
        return value

    rows = []
    with torch.enable_grad():
        for _ in range(steps):
            rows.append(_row(function, w))
            made.step(closure)
    rows.append(_row(function, w))
    return np.array(rows)


def _row(function, w: Tensor) -> list[float]:
    with torch.no_grad():
        return [*w.tolist(), float(function(w))]
