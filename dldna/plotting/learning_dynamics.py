"""How a network moved: norms step by step, and sharpness at its edge."""

from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dldna.plotting.accessible import alt_text, bundle
from dldna.plotting.style import COLORS, expect, own_axes
from dldna.records import Motion

_PANELS = {
    "loss": "loss of the batch",
    "grad_norm": "length of the gradient",
    "param_change": "length of the step",
    "weight_norm": "length of the weights",
    "loss_improvement": "improvement of the batch",
}


def dynamics(motion: Motion) -> Figure:
    """Draw what was measured of a run, six small panels on one page.

    Loss, length of the gradient, of the step and of the weights, and the
    improvement, over steps; then the sharpness with its threshold (where
    one is known for the optimizer), or, where no sharpness was measured,
    the cosine between steps.

    Args:
        motion: the record.

    Returns:
        The figure.
    """
    figure, axes = plt.subplots(2, 3, figsize=(9.6, 4.8), layout="constrained")
    for ax, (name, words) in zip(axes.flat, _PANELS.items(), strict=False):
        values = getattr(motion, name)
        ax.plot(motion.steps, values, lw=0.9, ls="-", color=COLORS[0])
        ax.set_title(words)
        positive = values[np.isfinite(values)]
        if name != "loss_improvement" and (positive > 0).all():
            ax.set_yscale("log")
    axes[1, 1].axhline(0, color="0.5", lw=0.8, ls="-")
    last = axes[1, 2]
    if np.isfinite(motion.sharpness).any():
        sharpness(motion, last)
        known = np.isfinite(motion.edge_ratio).any()
        last.set_title("sharpness and its edge" if known else "sharpness")
    else:
        last.plot(motion.steps, motion.cosine, lw=0.9, ls="-", color=COLORS[0])
        last.set(title="cosine to the step before", ylim=(-1.05, 1.05))
    for ax in axes[1]:
        ax.set_xlabel("step")
    return figure


def sharpness(
    motion: Motion,
    ax: Axes | None = None,
    *,
    color: str = COLORS[0],
    label: str | None = None,
    relative: bool = False,
) -> Axes:
    """Draw the sharpness along training, and the threshold of stability.

    Where no threshold is known for the optimizer none is drawn, and the
    picture says so.

    Args:
        motion: the record.
        ax: where to draw; a new figure if None.
        color: of the curve and of its threshold.
        label: of the curve.
        relative: draw sharpness over threshold, so that 1 is the edge.

    Returns:
        The axis.
    """
    expect(motion, Motion)
    ax = own_axes(ax)
    own = motion.threshold_of == "preconditioned sharpness"
    values = motion.preconditioned if own else motion.sharpness
    edge, words = motion.threshold, "sharpness"
    if own:
        words = "preconditioned sharpness"
    if relative:
        values, edge = motion.edge_ratio, np.ones(len(motion.points))
        words += " / threshold"
    ax.plot(motion.points, values, color=color, ls="-", lw=1.2, label=label)
    if np.isfinite(motion.threshold).any():
        ax.plot(motion.points, edge, color=color, ls="--", lw=0.9)
    else:
        who = motion.provenance.notes.get("optimizer", "this optimizer")
        said = f"no threshold is known for {who}"
        ax.annotate(said, (0.02, 0.98), xycoords="axes fraction", va="top")
    ax.set(xlabel="step", ylabel=words)
    if label is not None:
        ax.legend()
    return ax


def dynamics_bundle(motion: Motion) -> tuple[dict[str, Any], dict[str, Any]]:
    """:func:`dynamics` with its words and numbers, ready to be displayed.

    This is what :class:`dldna.training.Live` draws.

    Args:
        motion: the record.

    Returns:
        The bundle of MIME types, and its metadata.
    """
    table = {"step": motion.steps}
    table |= {words: getattr(motion, k) for k, words in _PANELS.items()}
    return bundle(dynamics(motion), alt_text(motion), table)
