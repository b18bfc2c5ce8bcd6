"""A Gaussian fitted to a surface, and optimizers walking on it.

The fit and the walk stand in :mod:`dldna.landscape.shape.wells`, which also
fits a parabola with as many numbers: compare both before reading anything into
a well. Here the rim (``offset``) is fitted too; held at the highest loss,
as published, it biases depth and widths.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from torch import Tensor

from dldna import checks, plotting
from dldna.landscape.shape.wells import GAUSSIAN, Fit, descend, fit_gaussian
from dldna.published.loss_surface import grid_of
from dldna.published.readers_optimizers import as_optimizer, describe
from dldna.records import Surface
from dldna.training.stepping import needs_closure

Gaussian = Sequence[float]


def get_opt_params(
    x: np.ndarray, y: np.ndarray, z: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    r"""Fit a Gaussian well to a surface.

    .. math:: z = \text{offset} - A \exp\Big(-\frac{(x-x_0)^2}{2 s_x^2}
              - \frac{(y-y_0)^2}{2 s_y^2}\Big)

    Args:
        x, y, z: flat, as ``xy_perturb_loss`` returns them.

    Returns:
        ``[A, x0, y0, sx, sy]``, their (5, 5) covariance, and the offset.

    Raises:
        RuntimeError: no well was found.

    Example:
        >>> x, y = np.meshgrid(np.linspace(-1, 1, 9), np.linspace(-1, 1, 9))
        >>> z = 3 - 2 * np.exp(-(x**2 + 4 * y**2))
        >>> popt, pcov, offset = get_opt_params(
        ...     x.T, y.T, z.T)  # doctest: +ELLIPSIS
        Function parameters = [...]
        >>> round(float(popt[0]), 6), round(float(offset), 6)
        (2.0, 3.0)
    """
    fit = fit_gaussian(_surface(x, y, z))
    popt = np.array([fit.values[k] for k in GAUSSIAN[:5]])
    print(f"Function parameters = {popt}")
    return popt, fit.covariance[:5, :5], float(fit.values["offset"])


def _surface(x, y, z) -> Surface:
    x, y, z = grid_of(x, y, z)
    return Surface(
        alphas=x[:, 0],
        betas=y[0],
        losses=z,
        evaluated=np.ones(z.shape, bool),
        centre_loss=float("nan"),
    )


def gaussian(parameters: Gaussian, offset: float = 0.0) -> Fit:
    """The well with given parameters, as a function of points (..., 2).

    Args:
        parameters: ``[A, x0, y0, sx, sy]``, or the same and the offset.
        offset: the rim, where ``parameters`` has five numbers.

    Example:
        >>> float(gaussian([2, 0, 0, 1, 1], 3)(torch.zeros(2)))
        1.0
    """
    values = [float(v) for v in parameters]
    if len(values) == 5:
        values.append(float(offset))
    if len(values) != 6:
        raise ValueError(
            "a Gaussian has the parameters A, x0, y0, sx, sy and, if you "
            f"like, the offset; {len(values)} numbers were given"
        )
    return Fit(
        form="gaussian",
        values=dict(zip(GAUSSIAN, values, strict=True)),
        covariance=np.full((6, 6), np.nan),
        residuals=np.zeros((0, 0)),
        rmse=float("nan"),
        r2=float("nan"),
    )


def visualize_gaussian_fit(
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    popt: Gaussian,
    offset: float,
    d_min: float = -1,
    d_max: float = 1,
    d_num: int = 30,
    figsize: tuple[float, float] = (7, 7),
    elev: float = 10,
    azim: float = 100,
    *,
    act_name: str = "",
) -> list[Axes]:
    """Draw a surface and the well fitted to it, and what the well misses.

    Args:
        x, y, z: the surface, flat.
        popt: ``[A, x0, y0, sx, sy]``.
        offset: the rim.
        d_min, d_max: range in which the well is drawn.
        d_num: points along each axis of that range.
        figsize: of the figure in inches.
        elev, azim: from where the surface is seen, in degrees.
        act_name: for the title.

    Returns:
        Two axes: losses (points) and well in space, and the losses minus
        the well from above.
    """
    x, y, z = grid_of(x, y, z)
    well = gaussian(popt, offset)
    wx, wy, wz = _drawn(well, d_min, d_max, d_num)
    missed = z - well(torch.from_numpy(np.stack([x, y], -1))).numpy()
    figure = plt.figure(figsize=figsize, layout="constrained")
    rows = figure.add_gridspec(2, 1, height_ratios=(5, 2))
    space = figure.add_subplot(rows[0], projection="3d")
    space.scatter(
        x, y, z, s=6, alpha=0.4, color=plotting.COLORS[0], label="losses"
    )
    space.plot_surface(wx, wy, wz, alpha=0.5, color=plotting.COLORS[1])
    space.view_init(elev=elev, azim=azim)
    title = f"{act_name} losses and fitted well".strip()
    space.set(xlabel="x", ylabel="y", zlabel="loss", title=title)
    flat = figure.add_subplot(rows[1])
    bound = float(np.nanmax(np.abs(missed)))
    filled = flat.pcolormesh(
        x, y, missed, shading="nearest", cmap="RdBu_r", vmin=-bound, vmax=bound
    )
    flat.set(title="losses minus well", xlabel="x", ylabel="y")
    flat.grid(visible=False)
    figure.colorbar(filled, ax=flat)
    return [space, flat]


class Points(np.ndarray):
    """(T, 3) rows x, y, loss that remember which optimizer made them."""

    label: str = ""

    def __array_finalize__(self, source: Any) -> None:
        self.label = getattr(source, "label", "")


def train_loss_surface(
    optim_func: Callable[[list[Tensor]], Any],
    init_weights: Sequence[float],
    num_iter: int,
    gaussian_params: Gaussian,
) -> np.ndarray:
    """Let an optimizer walk on a Gaussian well.

    Args:
        optim_func: makes an optimizer from a list of tensors, such as
            ``lambda p: SGD(p, lr=0.1)``; a reader's own will do, of any
            class that has ``step()``.
        init_weights: where to begin, x and y.
        num_iter: number of rows.
        gaussian_params: ``[A, x0, y0, sx, sy]``, or the same and the
            offset.

    Returns:
        (num_iter, 3) rows x, y, loss, from the start on; its attribute
        ``label`` names the optimizer.
    """
    well = gaussian(gaussian_params)
    made = []

    def make(parameters: list[Tensor]) -> "_Stepper":
        made.append(optim_func(parameters))
        return _Stepper(as_optimizer(made[0], parameters))

    checks.count("num_iter", num_iter)
    start = [w.item() if isinstance(w, Tensor) else w for w in init_weights]
    whole = descend(well, start, make, steps=num_iter)
    name = type(made[0]).__name__
    print(f"\ntrain_loss_surface: {name}")
    for k in sorted({0, num_iter - 1}):
        to = ", ".join(f"{w:.4f}" for w in whole[k + 1, :2])
        print(f"{name}: Iter={k + 1} loss={whole[k, 2]:.4f} w=[{to}]")
    points = whole[:num_iter].view(Points)
    points.label = describe(made[0])
    return points


class _Stepper:
    """Any optimizer, stepped with gradients that stand ready."""

    def __init__(self, inner: Any):
        self.inner = inner

    def zero_grad(self) -> None:
        self.inner.zero_grad()

    def step(self, closure: Callable[[], Tensor]) -> None:
        if needs_closure(self.inner):
            self.inner.step(closure)
            return
        closure()
        self.inner.step()


def visualize_optimization_path(
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    popt: Gaussian,
    offset: float,
    optimizers_points: Sequence[np.ndarray] | Mapping[str, np.ndarray],
    act_name: str,
    d_min: float = -1,
    d_max: float = 1,
    d_num: int = 30,
) -> Axes:
    """Draw optimizers' paths on a well, from above and in space.

    A path is drawn until it leaves the range, and its label says when.

    Args:
        x, y, z: the surface the well was fitted to, flat.
        popt: ``[A, x0, y0, sx, sy]``.
        offset: the rim; the paths' heights are computed with it.
        optimizers_points: any number of paths (T, 2 or 3), in a list
            (labelled by their optimizers) or by label; or a single one.
        act_name: for the title.
        d_min, d_max: range in which the well is drawn.
        d_num: points along each axis of that range.

    Returns:
        The axes from above; those in space are the figure's second.
    """
    grid_of(x, y, z)  # it must be a surface
    well = gaussian(popt, offset)
    paths = _labelled(optimizers_points)
    wx, wy, wz = _drawn(well, d_min, d_max, d_num)
    figure = plt.figure(figsize=(11, 4.6), layout="constrained")
    flat = figure.add_subplot(1, 2, 1)
    space = figure.add_subplot(1, 2, 2, projection="3d")
    flat.contour(wx, wy, wz, levels=20, cmap="viridis", linewidths=0.8)
    space.plot_surface(wx, wy, wz, cmap="viridis", alpha=0.5, linewidth=0)
    for i, (label, path) in enumerate(paths.items()):
        inside = ((path[:, :2] >= d_min) & (path[:, :2] <= d_max)).all(1)
        if not inside.all():
            left = int(np.argmin(inside))
            label = f"{label}: leaves at step {left}"
            path = path[: left + 1]
        how = {"color": plotting.COLORS[i % 8], "label": label, "lw": 1.2}
        mark = {"marker": plotting.MARKERS[i % 8], "ms": 3}
        flat.plot(path[:, 0], path[:, 1], ls="-", **how, **mark)
        path = path[inside[: len(path)], :2]
        height = well(torch.from_numpy(path)).numpy()
        space.plot(path[:, 0], path[:, 1], height, ls="-", **how)
    flat.plot(well.values["x0"], well.values["y0"], "k+", ms=10)
    flat.set(xlabel="x", ylabel="y", title=f"paths on the well, {act_name}")
    flat.set(xlim=(d_min, d_max), ylim=(d_min, d_max))
    space.set(xlabel="x", ylabel="y", zlabel="loss")
    flat.legend(frameon=True, fontsize=8)
    return flat


def _labelled(paths) -> dict[str, np.ndarray]:
    if isinstance(paths, np.ndarray) and paths.ndim == 2:  # a single one
        paths = [paths]
    if not isinstance(paths, Mapping):
        named: dict[str, np.ndarray] = {}
        for i, path in enumerate(paths, start=1):
            label = getattr(path, "label", "") or f"path {i}"
            named[f"{label} ({i})" if label in named else label] = path
        paths = named
    if not paths:
        raise ValueError("there is no path to draw")
    return {k: np.asarray(v, dtype=np.float64) for k, v in paths.items()}


def _drawn(well: Fit, low: float, high: float, count: int):
    side = np.linspace(low, high, checks.count("d_num", count, 2))
    x, y = np.meshgrid(side, side, indexing="ij")
    return x, y, well(torch.from_numpy(np.stack([x, y], -1))).numpy()
