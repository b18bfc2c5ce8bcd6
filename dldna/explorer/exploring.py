"""One call: a landscape to walk in, in a notebook or in a file."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from dldna.explorer.notebook import widget
from dldna.explorer.offline import check_file, write_map
from dldna.explorer.session import Explorer
from dldna.objective import Objective


def explore(
    model: nn.Module | Objective,
    loss_fn: Callable | None = None,
    data: Any = None,
    directions: Any = "random",
    *,
    export: str | Path | None = None,
    depth: int = 2,
    view: str = "",
    **options: Any,
) -> Any:
    r"""Walk in the loss landscape around a network.

    .. math:: f(\alpha, \beta) = L(w + \alpha d_1 + \beta d_2)

    The map is computed where one looks, in tiles of 32 x 32 points at every
    zoom, coarse to fine. On it lie probes (loss, accuracy with its sampling
    error, gradient norm, largest eigenvalue), cuts along any line, and
    walkers: optimizers that move in the full space and are drawn as their
    shadows. The model is not moved.

    Args:
        model: the network, or an :class:`Objective` in place of it, the
            loss and the data.
        loss_fn: as :func:`dldna.landscape.surface` takes it.
        data: likewise.
        directions: likewise.
        export: write the map into this HTML file, which works offline, in
            place of showing it.
        depth: of that file: the last level of zoom that it holds.
        view: how the widget opens, as "Link to this view" gave it.
        **options: of :class:`Explorer`: ``extent``, ``seed``,
            ``statistics``, ``out``, ``beside``, ``trajectory``, ``others``,
            ``params``, ``dtype``, ``limit``, ``data_name``.

    Returns:
        The widget; or, with ``export``, the path written.

    Raises:
        ImportError: anywidget is not installed, and nothing is exported.
        ValueError: what was given does not fit; the message says how.
        TypeError: likewise, for a thing of the wrong kind.

    Example:
        >>> import tempfile, torch
        >>> x, folder = torch.eye(3), tempfile.mkdtemp()
        >>> call = nn.Linear(3, 1), nn.MSELoss(), (x, x[:, :1])
        >>> explore(*call, export=f"{folder}/map.html", depth=0).name
        'map.html'

    References:
        Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape
        of Neural Nets", NeurIPS 2018, arXiv 1712.09913.
    """
    if export is not None:
        check_file(export, depth)
    here = Explorer(model, loss_fn, data, directions, **options)
    if export is not None:
        return write_map(here, export, depth)
    return widget(here, view)
