"""A Gaussian well and a parabola, fitted to a surface side by side."""

import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from dldna import checks
from dldna.landscape.shape.forms import (
    GAUSSIAN,
    QUADRATIC,
    Fit,
    PoorFit,
    Wells,
    fitted,
    points,
)

if TYPE_CHECKING:
    from torch import Tensor
    from torch.optim import Optimizer

Maker = Callable[[list["Tensor"]], "Optimizer"]


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
    x, y, z, seen = points(surface)
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
    left = z - model(None, *found)
    fit = fitted(
        surface, "gaussian", GAUSSIAN, values, covariance, left, z, seen
    )
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
    x, y, z, seen = points(surface)
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
    return fitted(
        surface, "quadratic", QUADRATIC, values, covariance, residuals, z, seen
    )


def descend(
    function: Callable[["Tensor"], "Tensor"],
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
        >>> import torch
        >>> bowl = lambda w: (w * w).sum()
        >>> path = descend(bowl, (1.0, 2.0),
        ...                lambda p: torch.optim.SGD(p, lr=0.25), steps=1)
        >>> path.tolist()
        [[1.0, 2.0, 5.0], [0.5, 1.0, 1.25]]
    """
    checks.count("steps", steps)
    import torch

    w = torch.tensor(
        [float(v) for v in start], dtype=torch.float64, device="cpu"
    )
    if w.shape != (2,) or not w.isfinite().all():
        raise ValueError(f"start must be two finite numbers, not {start!r}")
    w.requires_grad_()
    made = optimizer([w])

    def closure() -> "Tensor":
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


def _row(function, w: "Tensor") -> list[float]:
    import torch

    with torch.no_grad():
        return [*w.tolist(), float(function(w))]
