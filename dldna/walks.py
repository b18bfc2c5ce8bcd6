"""Walks of optimizers on two weights, and the playground with Python behind.

:func:`walk` takes the steps that the playground's page takes, with the
package's own optimizers; :func:`playground_widget` draws them in Jupyter.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import checks
from dldna.landscape import Slice
from dldna.optim import SophiaH, find
from dldna.plotting import COLORS, MARKERS, player
from dldna.problems import Problem, problem

What = str | Problem | Slice | Callable[[Tensor], Tensor]


def walk(
    surface: What,
    optimizer: str,
    start: Sequence[float] | None = None,
    steps: int = 100,
    **hyper: Any,
) -> tuple[np.ndarray, np.ndarray]:
    r"""Follow one optimizer over a surface, in float64, on exact gradients.

    Args:
        surface: a problem or its name, a slice of a network, or a loss of
            a tensor (2,).
        optimizer: one of :data:`dldna.pages.PLAYERS`, in any spelling
            that :func:`dldna.optim.find` knows.
        start: where it begins; the problem's or the slice's own start if
            None.
        steps: number of steps.
        **hyper: the optimizer's arguments.

    Returns:
        Points (T + 1, 2), the start first, and losses (T + 1,). T is
        smaller than ``steps`` if a weight stops being a finite number.

    Raises:
        ValueError: unknown problem or optimizer, or no start.

    Example:
        >>> points, losses = walk("golden", "sgd", steps=1, lr=0.1)
        >>> points.round(12).tolist()
        [[1.0, -2.0], [0.9, 0.0]]
        >>> round(float(losses[1]), 3)
        0.405
    """
    optimizer = player(optimizer)
    loss, start = _loss_and_start(surface, start)
    shape = (1, 2) if optimizer == "lars" else (2,)
    w = nn.Parameter(
        torch.tensor(start, dtype=torch.float64, device="cpu").view(shape)
    )
    step, place = _stepper(optimizer, w, surface, loss, hyper)
    points, losses = [], []
    for t in range(steps + 1):
        if t:
            step(t)
        point = place().view(2)
        if not point.isfinite().all():
            break
        points.append(point.tolist())
        losses.append(loss(point).item())
    return np.array(points), np.array(losses)


def _loss_and_start(surface: What, start: Any) -> tuple[Callable, list[float]]:
    if isinstance(surface, str):
        surface = problem(surface)
    if isinstance(surface, (Problem, Slice)) and start is None:
        start = surface.start
    if start is None:
        raise ValueError("a loss has no start of its own: give one")
    loss = surface
    if isinstance(surface, Problem):
        loss = surface.f
    elif isinstance(surface, Slice):

        def loss(w: Tensor) -> Tensor:
            value, g = surface.gradient(w.detach()[None])
            # Zero in value; its gradient is the slice's own.
            return value[0] + ((w - w.detach()) * g[0]).sum()

    return loss, [float(v) for v in start]


class _ExactSophia(SophiaH):
    """Sophia with the exact diagonal of the Hessian: ``diagonal(w)``."""

    diagonal: Callable[[Tensor], Tensor]

    def _estimate(self, value: Tensor, owners: list, draw: Any) -> list:
        return [self.diagonal(p.detach()) for _, p in owners]


def _diagonal(surface: What, loss: Callable) -> Callable[[Tensor], Tensor]:
    """The Hessian's diagonal; of a slice by differences of its gradient."""
    if not isinstance(surface, Slice):
        hessian = torch.autograd.functional.hessian
        return lambda w: hessian(loss, w).diagonal()

    def at(w: Tensor) -> Tensor:
        move = 1e-4 * torch.eye(2, dtype=w.dtype, device="cpu")
        (_, up), (_, down) = map(surface.gradient, (w + move, w - move))
        return (up - down).diagonal() / 2e-4

    return at


def _stepper(
    name: str, w: nn.Parameter, surface: What, loss: Callable, hyper: dict
):
    """How to take step t, and where the walk then is."""
    if name == "sophia":
        optimizer: Any = _ExactSophia([w], **hyper)
        optimizer.diagonal = _diagonal(surface, loss)
    else:
        optimizer = find(name).build([w], **hyper)

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(w.view(2))
        value.backward()
        return value

    def place() -> Tensor:
        if hasattr(optimizer, "eval"):
            optimizer.eval()
        point = w.detach().clone()
        if hasattr(optimizer, "train"):
            optimizer.train()
        return point

    looks = hasattr(optimizer, "needs_curvature")
    more = {"curvature": lambda: loss(w.view(2))} if looks else {}
    return lambda t: optimizer.step(closure, **more), place


def playground_widget(
    surface: What = "golden",
    optimizers: Mapping[str, float] | None = None,
    extent: Sequence[float] | None = None,
    steps: int = 50,
) -> Any:
    """The playground in Jupyter, with the package's optimizers behind it.

    Sliders move the start, the number of steps and each learning rate.

    Args:
        surface: a problem or its name, a slice, or a loss of a tensor (2,).
        optimizers: learning rates by name, as in :func:`walk`.
        extent: window (low, high, low, high); the problem's own if None,
            or 5 around the origin.
        steps: where the slider of the steps begins.

    Returns:
        An ``ipywidgets`` box; as a cell's last line it shows itself.

    Raises:
        ModuleNotFoundError: ipywidgets is not installed.

    Example:
        >>> import contextlib, io
        >>> with contextlib.redirect_stdout(io.StringIO()):
        ...     box = playground_widget("golden", {"sgd": 0.1})
        >>> [c.description for c in box.children[:-1]]
        ['start x', 'start y', 'steps', 'sgd']
    """
    widgets = checks.need("ipywidgets", "interactive", "the widget")
    surface = problem(surface) if isinstance(surface, str) else surface
    rates = dict(optimizers or {"sgd": 0.1, "momentum": 0.01, "adam": 0.3})
    for name in rates:
        player(name)
    if extent is None and isinstance(surface, Problem):
        extent = [v for pair in surface.bounds for v in pair]
    a0, a1, b0, b1 = extent or (-5.0, 5.0, -5.0, 5.0)
    own = getattr(surface, "start", ((a0 + 3 * a1) / 4, (b0 + 3 * b1) / 4))
    first = [float(v) for v in own]

    def slider(kind: str, text: str, value: float, low: float, high: float):
        more = {} if kind == "IntSlider" else {"step": 0.05}
        return getattr(widgets, kind)(
            value=value, min=low, max=high, description=text,
            continuous_update=False, **more,
        )  # fmt: skip

    controls = {
        "x": slider("FloatSlider", "start x", first[0], a0, a1),
        "y": slider("FloatSlider", "start y", first[1], b0, b1),
        "steps": slider("IntSlider", "steps", steps, 1, 500),
        **{
            name: slider("FloatLogSlider", name, lr, -6, 1.5)
            for name, lr in rates.items()
        },
    }
    back = _background(surface, (a0, a1, b0, b1))

    def redraw(x: float, y: float, steps: int, **lrs: float) -> None:
        walks = {
            name: walk(surface, name, (x, y), steps, lr=lr)
            for name, lr in lrs.items()
        }
        _draw(walks, back)

    out = widgets.interactive_output(redraw, controls)
    return widgets.VBox([*controls.values(), out])


def _background(surface: Any, extent: tuple) -> tuple:
    """Losses on a grid, for the contours."""
    loss, _ = _loss_and_start(surface, (0.0, 0.0))
    a, b = np.linspace(*extent[:2], 61), np.linspace(*extent[2:], 61)
    A, B = np.meshgrid(a, b)
    points = torch.from_numpy(np.stack([A, B], -1)).view(-1, 2)
    if isinstance(surface, Slice):
        z = surface.losses(points)
    else:
        z = torch.stack([loss(p) for p in points])
    z = z.detach().numpy().reshape(A.shape)
    return a, b, np.log(z - z.min() + 1e-3 * (np.median(z) - z.min()))


def _draw(walks: Mapping[str, tuple], back: tuple) -> None:
    from matplotlib import pyplot as plt

    fig, (left, right) = plt.subplots(
        1, 2, figsize=(10, 4), layout="constrained"
    )
    a, b, z = back
    left.contour(a, b, z, levels=14, cmap="Greys", linewidths=0.7)
    for k, (name, (points, losses)) in enumerate(walks.items()):
        look = {
            "color": COLORS[k % 8], "marker": MARKERS[k % 8], "ms": 4,
            "markevery": max(1, len(losses) // 10), "label": name,
        }  # fmt: skip
        left.plot(*points.T, **look)
        right.plot(losses, **look)
    left.set(xlim=(a[0], a[-1]), ylim=(b[0], b[-1]))
    right.set(xlabel="step", ylabel="loss", yscale="symlog")
    right.legend()
    plt.show()
    plt.close(fig)
