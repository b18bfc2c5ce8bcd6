"""Lines, weight space, Hessian eigenvectors and surfaces, as published.

They stand in :func:`dldna.landscape.line`,
:mod:`dldna.landscape.paths.weight_space`,
:func:`dldna.landscape.top_eigenpairs`,
:func:`dldna.landscape.surface` and :mod:`dldna.landscape.shape.scales`, which
say more (residuals, scales, what was evaluated) than fits these returns.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import (
    Colormap,
    LinearSegmentedColormap,
    is_color_like,
)
from torch import Tensor, nn

from dldna import batches, params
from dldna.guard import untouched
from dldna.landscape import surface, top_eigenpairs
from dldna.landscape.scan.options import job_options
from dldna.landscape.scan.pool import Job
from dldna.landscape.scan.scan import Scan
from dldna.landscape.shape.scales import decompose
from dldna.landscape.space.directions import Given, choose_directions
from dldna.published.loaders import placed, usable
from dldna.records import Surface

SPAN = np.linspace(-1, 1, 40).astype(np.float32)


def hessian_eigenvectors(
    model: nn.Module,
    loss_func: Callable,
    data_loader: Iterable,
    top_n: int = 2,
    is_cuda: bool = False,
) -> tuple[list[float], list[list[Tensor]]]:
    """The largest eigenvalues of the Hessian and their eigenvectors.

    Args:
        model: stays as it is.
        loss_func: a loss that is a mean over the batch.
        data_loader: batches.
        top_n: number of pairs.
        is_cuda: compute on the GPU; without CUDA a warning, and the CPU.

    Returns:
        The eigenvalues, and for each a list of one tensor per parameter,
        together of unit length.
    """
    device = usable("cuda") if is_cuda else next(model.parameters()).device
    model = placed(model, device)
    found = top_eigenpairs(model, loss_func, data_loader, k=top_n)
    like = params.of(model)
    vectors = [
        list(params.unflatten(torch.from_numpy(v).to(device), like).values())
        for v in found.eigenvectors
    ]
    return found.eigenvalues.tolist(), vectors


def xy_perturb_loss(
    model: nn.Module,
    top_eigenvectors: Sequence[Sequence[Tensor]],
    data_loader: Iterable,
    loss_func: Callable,
    device: str | torch.device,
    lambda1: Sequence[float] = SPAN,
    lambda2: Sequence[float] = SPAN,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The loss on a grid around a network.

    Args:
        model: the centre; it stays as it is.
        top_eigenvectors: two directions, lists of one tensor for each
            parameter.
        data_loader: batches; one pass is kept in memory.
        loss_func: a loss that is a mean over the batch.
        device: a string or a ``torch.device``.
        lambda1: (A,) coordinates along the first, the outer loop.
        lambda2: (B,) coordinates along the second.

    Returns:
        Three flat arrays (A * B,): x along the first, y along the second,
        z the losses.
    """
    model = placed(model, device)
    first, second = (
        np.asarray(v, dtype=np.float64) for v in (lambda1, lambda2)
    )
    x, y = (a.ravel() for a in np.meshgrid(first, second, indexing="ij"))
    start = time.perf_counter()
    with untouched(model):
        held = batches.held(data_loader)
        given = Given(model=model, loss_fn=loss_func, data=held)
        chosen = choose_directions(top_eigenvectors[:2], given)
        origin, vectors = params.copy(given.origin), [d.vector for d in chosen]
        job = Job(model, loss_func, held, origin, vectors, job_options(held))
        scan = Scan(job, data_loader, axes=(first, second), start=start)
        z = scan.all(None, None)["loss"]
    return x, y, z


def visualize_loss_surface(
    data: Sequence[Sequence[np.ndarray]],
    act_name: str,
    color: str,
    size: float = 6,
    alpha: float = 0.7,
    levels: int = 20,
    plot_3d: bool = False,
) -> list[Axes]:
    """Draw surfaces side by side, from above or in space.

    Args:
        data: a list of tuples (x, y, z), flat, as :func:`xy_perturb_loss`
            returns them; or one such tuple.
        act_name: for the titles.
        color: a colour, or the name of a colormap.
        size: height of the figure, and width of each picture, in inches.
        alpha: opacity of the surface.
        levels: number of contours.
        plot_3d: in space, with contours on the floor; from above if False.

    Returns:
        One Axes for each surface.

    Raises:
        ValueError: there is no surface, or it is no grid.

    Example:
        >>> x, y = np.meshgrid([0.0, 1.0], [0.0, 1.0])
        >>> bowl = x.T.ravel(), y.T.ravel(), (x + y).T.ravel()
        >>> len(visualize_loss_surface([bowl, bowl], "ReLU", "C0"))
        2
    """
    grids = [grid_of(*surface) for surface in surfaces_of(data)]
    map_, count = colormap(color), len(grids)
    figure = plt.figure(figsize=(size * count, size), layout="constrained")
    axes = []
    for i, (x, y, z) in enumerate(grids):
        title = act_name
        if count > 1:  # as the chapter takes them, two by two
            title += f", directions {2 * i + 1} and {2 * i + 2}"
        words = {"xlabel": "direction 1", "ylabel": "direction 2"}
        how = {"levels": levels, "cmap": map_, "alpha": alpha}
        if plot_3d:
            ax = figure.add_subplot(1, count, i + 1, projection="3d")
            ax.plot_surface(
                x, y, z, cmap=map_, alpha=alpha, rcount=60, ccount=60
            )
            if contoured(z):
                floor = float(np.nanmin(z[np.isfinite(z)]))
                ax.contour(x, y, z, levels=levels, zdir="z", offset=floor,
                           cmap=map_, linewidths=0.6)  # fmt: skip
            words["zlabel"] = "loss"
        else:
            ax = figure.add_subplot(1, count, i + 1)
            if contoured(z):
                filled = ax.contourf(x, y, z, **how)
                ax.contour(
                    x, y, z, levels=levels, colors="0.3", linewidths=0.4
                )
            else:  # all losses are equal: there is no contour
                filled = ax.pcolormesh(x, y, z, cmap=map_, alpha=alpha)
            figure.colorbar(filled, ax=ax, label="loss", shrink=0.8)
        ax.set(title=title, **words)
        axes.append(ax)
    return axes


def contoured(z: np.ndarray) -> bool:
    """Whether two losses differ, so that a contour can run between them."""
    z = z[np.isfinite(z)]
    return len(z) > 0 and float(z.min()) < float(z.max())


def surfaces_of(data) -> list:
    """A list of triples (x, y, z), from such a list or from one triple.

    Raises:
        ValueError: there is none.

    Example:
        >>> len(surfaces_of(([0, 1], [2, 2], [3, 4])))
        1
        >>> len(surfaces_of([([0, 1], [2, 2], [3, 4])] * 3))
        3
    """
    items = list(data)
    flat = len(items) == 3 and all(np.ndim(item) == 1 for item in items)
    mesh = len(items) == 3 and all(
        np.ndim(item) == 2 and len(item) != 3 for item in items
    )
    found = [items] if flat or mesh else items
    if not found or any(len(surface) != 3 for surface in found):
        raise ValueError(
            "data must be a list of tuples (x, y, z) as xy_perturb_loss "
            f"returns them, or one such tuple, not {len(items)} items"
        )
    return found


def grid_of(x, y, z) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat coordinates and losses as (A, B) arrays.

    Raises:
        ValueError: they do not come from a grid.

    Example:
        >>> x, y, z = grid_of([0, 0, 1, 1], [5, 6, 5, 6], [1, 2, 3, 4])
        >>> z.tolist()
        [[1.0, 2.0], [3.0, 4.0]]
    """
    x, y, z = (np.asarray(v, dtype=np.float64).ravel() for v in (x, y, z))
    shape = len(np.unique(x)), len(np.unique(y))
    if not len(x) == len(y) == len(z) == shape[0] * shape[1]:
        raise ValueError(
            f"{len(x)}, {len(y)} and {len(z)} values are no grid of "
            f"{shape[0]} x {shape[1]}"
        )
    order = np.lexsort((y, x))
    return tuple(v[order].reshape(shape) for v in (x, y, z))


def colormap(color: Any) -> Colormap:
    """A colormap by name, or from a dark to a light shade of a colour.

    Raises:
        ValueError: matplotlib knows neither.

    Example:
        >>> colormap("viridis").name, colormap("C0").name
        ('viridis', 'shades')
    """
    if isinstance(color, Colormap):
        return color
    if isinstance(color, str) and color in colormaps:
        return colormaps[color]
    if not is_color_like(color):
        raise ValueError(
            f"color={color!r} is neither a colour nor a colormap: give one "
            "such as 'C0' or 'viridis'"
        )
    return LinearSegmentedColormap.from_list("shades", ["0.1", color, "1"])


def analyze_loss_surface_multiscale(
    model: nn.Module,
    data_loader: Iterable,
    loss_func: Callable,
    device: str | torch.device,
    *,
    resolution: int = 20,
    extent: float = 0.2,
    levels: int = 2,
) -> list:
    """Take the surface along the top eigenvectors apart by scale, and draw.

    The list is PyWavelets': the approximation comes first, then the
    COARSEST details, and the finest last. For Haar wavelets the
    approximation is ``2**levels`` times the local mean of the loss.

    Args:
        model: the centre; it stays as it is.
        data_loader: batches; one pass is kept in memory.
        loss_func: a loss that is a mean over the batch.
        device: a string or a ``torch.device``.
        resolution: points along each direction; a multiple of
            ``2**levels`` needs no mirrored border.
        extent: half width.
        levels: number of levels.

    Returns:
        ``[cA_n, (cH_n, cV_n, cD_n), ..., (cH_1, cV_1, cD_1)]`` as
        ``pywt.wavedec2`` has it.
    """
    found: Surface = surface(
        placed(model, device),
        loss_func,
        data_loader,
        directions="hessian",
        extent=extent,
        resolution=resolution,
    )
    scales = decompose(found, "haar", levels)
    details = [scales.detail(j) for j in range(scales.levels, 0, -1)]
    _draw_scales(scales)
    return [scales.approximation, *details]


def _draw_scales(scales) -> None:
    """The loss's local mean, and each level's energy."""
    figure, axes = plt.subplots(
        1,
        scales.levels + 1,
        figsize=(3.4 * (scales.levels + 1), 3),
        layout="constrained",
    )
    pictures = {"local mean of the loss": scales.local_mean()}
    for j in range(scales.levels, 0, -1):
        energy = sum(c**2 for c in scales.detail(j))
        word = {1: " (finest)", scales.levels: " (coarsest)"}.get(j, "")
        pictures[f"energy of level {j}{word}"] = energy
    for ax, (title, values) in zip(axes, pictures.items(), strict=True):
        image = ax.imshow(values.T, origin="lower", cmap="viridis")
        ax.set_title(title)
        ax.grid(visible=False)
        figure.colorbar(image, ax=ax, shrink=0.8)
