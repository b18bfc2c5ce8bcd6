"""Lines, weight space, Hessian eigenvectors and surfaces, as published.

They stand in :func:`dldna.landscape.line`,
:mod:`dldna.landscape.weight_space`, :func:`dldna.landscape.top_eigenpairs`,
:func:`dldna.landscape.surface` and :mod:`dldna.landscape.scales`, which
say more (residuals, scales, what was evaluated) than fits these returns.
"""

import copy
import warnings
from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from matplotlib import colormaps
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from torch import Tensor, nn

from dldna import batches, checks, params, plotting
from dldna.chapter_04.utils.data import usable
from dldna.guard import untouched
from dldna.landscape import line, surface, top_eigenpairs
from dldna.landscape.directions import Given, choose_directions
from dldna.landscape.evaluate import choose
from dldna.landscape.scales import decompose
from dldna.landscape.weight_space import pca, tsne
from dldna.records import Line, Surface

METHODS = {"pca": pca, "tsne": tsne, "t-sne": tsne}
PIECE = 64


def placed(model: nn.Module, device: str | torch.device) -> nn.Module:
    """The model itself if it is on the device, else a copy that is."""
    device = usable(device)
    home = next(model.parameters()).device
    same = home.type == device.type and device.index in (None, home.index)
    return model if same else copy.deepcopy(model).to(device)


def linear_interpolation(
    model1: nn.Module,
    model2: nn.Module,
    data_loader: Iterable,
    loss_func: Callable,
    device: str | torch.device,
    num_points: int = 50,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Loss and accuracy on the line through two networks.

    Every point is the first network with other weights. Where the second
    has another activation, the point 1 is therefore not the second
    network, and a warning says so.

    Args:
        model1: the network at 0.
        model2: the network at 1.
        data_loader: batches; one pass is kept in memory.
        loss_func: a loss that is a mean over the batch.
        device: a string or a ``torch.device``.
        num_points: points from -0.5 to 1.5; 0 and 1 are among them.

    Returns:
        Positions, losses and accuracies (fractions), (num_points,) each.
    """
    model1, model2 = placed(model1, device), placed(model2, device)
    twin = copy.deepcopy(model1)
    twin.load_state_dict(model2.state_dict())
    if not _same_function(twin, model2, data_loader):
        warnings.warn(
            "the networks differ in more than their weights: at 1 stands "
            f"the first one ({_name(model1)}) with the weights of the second "
            f"({_name(model2)}), not the second",
            stacklevel=2,
        )
        model2 = twin
    found = line(
        model1,
        model2,
        loss_func,
        data_loader,
        extent=(-0.5, 1.5),
        resolution=num_points,
        metrics="accuracy",
    )
    return found.alphas, found.losses, found.metrics["accuracy"]


def _same_function(a: nn.Module, b: nn.Module, data: Iterable) -> bool:
    """Whether two networks give the same outputs on a few samples."""
    with untouched(a, b), torch.no_grad():
        [few] = batches.held(next(iter(data)), 16)
        few = batches.to(few, next(a.parameters()).device)
        inputs, _ = batches.split(few)
        one, two = (batches.apply(m.eval(), inputs) for m in (a, b))
    return torch.allclose(one, two, rtol=1e-3, atol=1e-5)


def _name(model: nn.Module) -> str:
    config = getattr(model, "config", {})
    return config.get("model_name", type(model).__name__)


def visualize_linear_interpolation(
    alphas: Sequence[float],
    losses: Sequence[float],
    accuracies: Sequence[float],
    title: str,
    size: tuple[float, float] = (8, 6),
) -> list[Axes]:
    """Draw a line, the loss above and the accuracy below.

    Args:
        alphas: (N,) positions.
        losses: (N,) losses.
        accuracies: (N,) accuracies.
        title: above the figure.
        size: of the figure in inches.

    Returns:
        Both axes.
    """
    found = Line(
        np.asarray(alphas, float),
        np.asarray(losses, float),
        {"accuracy": np.asarray(accuracies, float)},
    )
    figure, axes = plt.subplots(
        2, 1, figsize=size, sharex=True, layout="constrained"
    )
    plotting.line(found, axes[0])
    plotting.line(found, axes[1], metric="accuracy")
    for ax in axes:
        for end in (0, 1):
            ax.axvline(end, color="0.6", lw=0.8)
    figure.suptitle(title)
    return list(axes)


def analyze_weight_space(
    models: Sequence[nn.Module],
    labels: Sequence[str],
    method: str = "pca",
    perplexity: float = 30,
) -> np.ndarray:
    """Checkpoints as points of a plane.

    Args:
        models: T networks of one architecture.
        labels: their names.
        method: "pca" or "tsne".
        perplexity: of t-SNE. Where it is not below T, a third of the
            other checkpoints is taken, and a warning says so.

    Returns:
        (T, 2) coordinates, in the order given.
    """
    name = checks.choice("method", str(method).lower(), METHODS)
    if METHODS[name] is pca:
        found = pca(models, labels)
    else:
        if perplexity >= len(models):
            warnings.warn(
                f"perplexity={perplexity:g} counts neighbours, and there are "
                f"{len(models)} checkpoints: taking fewer",
                stacklevel=2,
            )
            perplexity = None
        found = tsne(models, labels, perplexity=perplexity)
    coords = np.empty_like(found.coords)
    coords[found.order] = found.coords
    return coords


def visualize_weight_space(
    embedded_weights: np.ndarray,
    labels: Sequence[str],
    method: str = "PCA",
    size: tuple[float, float] = (6, 4),
) -> Axes:
    """Draw checkpoints as labelled points, one colour for each run.

    The points are not joined: a curve through them proves little.

    Args:
        embedded_weights: (T, 2) coordinates.
        labels: (T,) names such as "ReLU-epoch1".
        method: for the labels of the axes.
        size: of the figure in inches.

    Returns:
        The axes.
    """
    points = np.asarray(embedded_weights)
    if len(points) != len(labels):
        raise ValueError(f"{len(labels)} labels for {len(points)} points")
    _, ax = plt.subplots(figsize=size, layout="constrained")
    runs = [str(label).partition("-")[0] for label in labels]
    for i, name in enumerate(dict.fromkeys(runs)):
        rows = [r == name for r in runs]
        ax.scatter(
            *points[rows].T,
            label=name,
            color=plotting.COLORS[i % 8],
            marker=plotting.MARKERS[i % 8],
        )
    for point, label in zip(points, labels, strict=True):
        short = str(label).rpartition("epoch")[2]
        ax.annotate(short, point, xytext=(3, 3), textcoords="offset points")
    ax.set(xlabel=f"{method} 1", ylabel=f"{method} 2")
    ax.legend()
    return ax


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
    lambda1: Sequence[float],
    lambda2: Sequence[float],
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
    coords = torch.from_numpy(np.stack([x, y], axis=1))
    with untouched(model):
        held = batches.held(data_loader)
        given = Given(model=model, loss_fn=loss_func, data=held)
        chosen = choose_directions(top_eigenvectors[:2], given)
        evaluate = choose(
            model,
            loss_func,
            held,
            params.copy(given.origin),
            [d.vector for d in chosen],
        )
        size = max(PIECE, evaluate.chunk)
        z = [evaluate(piece)["loss"] for piece in coords.split(size)]
    return x, y, np.concatenate(z)


def visualize_loss_surface(
    data: Sequence[np.ndarray],
    act_name: str,
    color: str,
    size: float = 6,
    alpha: float = 0.7,
    levels: int = 20,
    plot_3d: bool = False,
) -> list[Axes]:
    """Draw what :func:`xy_perturb_loss` returned.

    Args:
        data: x, y, z, flat.
        act_name: for the title.
        color: a colour, or the name of a colormap.
        size: height of the figure in inches.
        alpha: opacity of the surface.
        levels: number of contours.
        plot_3d: the surface in space beside its contours.

    Returns:
        The axes: contours, and the surface if it was asked for.
    """
    x, y, z = grid_of(*data)
    map_ = colormap(color)
    wide = 2 if plot_3d else 1
    figure = plt.figure(figsize=(size * wide, size), layout="constrained")
    flat = figure.add_subplot(1, wide, 1)
    filled = flat.contourf(x, y, z, levels=levels, cmap=map_, alpha=alpha)
    flat.contour(x, y, z, levels=levels, colors="0.3", linewidths=0.4)
    figure.colorbar(filled, ax=flat, label="loss", shrink=0.8)
    flat.set(xlabel="direction 1", ylabel="direction 2", title=act_name)
    if not plot_3d:
        return [flat]
    space = figure.add_subplot(1, wide, 2, projection="3d")
    space.plot_surface(x, y, z, cmap=map_, alpha=alpha, rcount=60, ccount=60)
    space.set(xlabel="direction 1", ylabel="direction 2", zlabel="loss")
    return [flat, space]


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


def colormap(color: str | Colormap) -> Colormap:
    """A colormap by name, or from a dark to a light shade of a colour.

    Example:
        >>> colormap("viridis").name, colormap("C0").name
        ('viridis', 'shades')
    """
    if isinstance(color, Colormap) or color in colormaps:
        return colormaps[color] if isinstance(color, str) else color
    return LinearSegmentedColormap.from_list("shades", ["0.1", color, "1"])


def analyze_loss_surface_multiscale(
    model: nn.Module,
    data_loader: Iterable,
    loss_func: Callable,
    device: str | torch.device,
    *,
    resolution: int = 40,
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
