"""How far to trust a surface, in plain words."""

from collections.abc import Iterator
from typing import Any

import numpy as np


def report(surface: Any) -> str:
    """Say what a surface shows, what it hides, and why it is no bowl.

    Args:
        surface: a :class:`dldna.records.Surface`.

    Returns:
        Text of several paragraphs, each under a heading.
    """
    parts = (
        ("What was computed", _what),
        ("The centre", _centre),
        ("Missing and broken points", _broken),
        ("Shape: is this a bowl, and if not, why?", _shape),
        ("Directions", _directions),
        ("Batch normalisation", _statistics),
        ("The path", _path),
        ("Noise", _noise),
        ("What no picture of a plane can tell", _limits),
    )
    said = []
    for heading, part in parts:
        lines = list(part(surface))
        if lines:
            said.append(heading + "\n" + "\n".join(f"- {s}" for s in lines))
    return "\n\n".join(said)


def _what(s: Any) -> Iterator[str]:
    p, notes = s.provenance, s.provenance.notes
    data = f" of {p.data}" if p.data else ""
    yield (
        f"{p.model or 'A network'} with {_known(p.n_params)} parameters; "
        f"{p.loss or 'loss'} on {_known(p.n_samples)} samples{data}, "
        f"{len(s.alphas)} x {len(s.betas)} points, "
        f"{_known(p.dtype)} on {_known(p.device)}."
    )
    if notes.get("points_per_second"):
        yield (
            f"Evaluated by the way {s.way or 'unknown'!r} at "
            f"{notes['points_per_second']:.3g} points per second; "
            f"{_known(p.seconds)} s in all."
        )
    if notes.get("subset"):
        yield f"Only {notes['subset']}."


def _known(value: Any) -> str:
    """A fact of the record, or that it is not known."""
    if value is None:
        return "unknown"
    if isinstance(value, float):
        return f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _centre(s: Any) -> Iterator[str]:
    value = _at_centre(s)
    if "file" in s.provenance.notes:
        yield (
            f"Read from {s.provenance.notes['file']}: its losses were not "
            "held to the network's own here."
        )
    elif value is None:
        yield "The centre has not been evaluated on the grid yet."
    elif not np.isfinite(s.centre_loss):
        yield (
            f"The network's own loss is {s.centre_loss}: check its weights "
            "and the data; nothing else here can be trusted."
        )
    else:
        off = abs(value - s.centre_loss) / max(abs(s.centre_loss), 1e-300)
        yield (
            f"The loss at (0, 0) is {value:.6g}; evaluated directly, "
            f"without this package's machinery, it is {s.centre_loss:.6g} "
            f"(relative difference {off:.1e})."
        )


def _broken(s: Any) -> Iterator[str]:
    missing = int((~s.evaluated).sum())
    if missing:
        yield (
            f"{missing} of {s.losses.size} points have not been evaluated "
            "(the budget ended, or the run was stopped). Made with "
            "out=FOLDER, the same call goes on where it stopped."
        )
    known = s.losses[s.evaluated]
    nan, inf = int(np.isnan(known).sum()), int(np.isinf(known).sum())
    if nan or inf:
        yield (
            f"{nan} losses are NaN and {inf} infinite. They are kept and "
            "drawn as such. Far from the trained weights numbers overflow; "
            "a smaller extent, or other batch-norm statistics, may help."
        )
    elif not missing:
        yield "All points are there and finite."


def _shape(s: Any) -> Iterator[str]:
    z = np.where(s.evaluated & np.isfinite(s.losses), s.losses, np.nan)
    if np.isnan(z).all():
        return
    low, high = np.nanmin(z), np.nanmax(z)
    i, j = np.unravel_index(np.nanargmin(z), z.shape)
    a, b = s.alphas[i], s.betas[j]
    i0, j0 = _zero(s)
    centre = s.centre_loss
    bowl = z[i0, j0] == low
    others = int((z == low).sum()) - 1
    if bowl and others:
        yield (
            "No point of the grid is lower than the centre, and as low "
            f"{'is one' if others == 1 else f'are {others}'}."
        )
    elif bowl:
        yield "The centre is the lowest point of the grid."
    else:
        yield (
            f"The lowest point is not the centre but ({a:.3g}, {b:.3g}), "
            f"with {low:.4g} against {centre:.4g}. Usual reasons: training "
            "has not converged; these are not the training data, or only "
            "some of them; training added weight decay, dropout or "
            "augmentation, which this loss leaves out."
        )
    if high == low and np.isfinite(s.losses).sum() > 1:
        yield (
            f"All points have the very same loss, {low:.6g}: the loss does "
            "not depend on the weights that move along these directions. "
            "Are they frozen out by what the model calls, or unused?"
        )
    elif high - low < 0.05 * max(abs(low), 1e-12):
        yield (
            f"It is nearly flat: from {low:.4g} to {high:.4g}. The extent "
            "is small for these directions; enlarge it."
        )
    if low > 0 and high / low > 100:
        yield (
            f"The losses span a factor of {high / low:.3g}: on a linear "
            "scale one sees only the walls. Use a log or clipped scale."
        )
    edge = np.concatenate([z[0], z[-1], z[:, 0], z[:, -1]])
    edge = edge[~np.isnan(edge)]
    if bowl and len(edge) and edge.min() - low < 0.01 * (high - low):
        yield (
            "The valley reaches the edge of the window: it is longer than "
            "what is shown."
        )
    for name, values, at in (
        ("first", z[:, j0], i0),
        ("second", z[i0, :], j0),
    ):
        grid = s.alphas if name == "first" else s.betas
        if 0 < at < len(grid) - 1:
            bend = values[at - 1] - 2 * values[at] + values[at + 1]
            if bend < 0:
                yield (
                    f"Along the {name} direction the loss bends down at the "
                    "centre: in this slice the centre is no minimum."
                )
    minima = local_minima(z, s.evaluated)
    if minima > 1:
        yield (
            f"The grid has {minima} local minima inside. A minimum of a "
            "slice is not a minimum of the loss; and noise from few samples "
            "or a coarse grid makes such dips too. Repeat with more samples "
            "and with other seeds before reading anything into them."
        )


def _directions(s: Any) -> Iterator[str]:
    notes = s.provenance.notes
    done = notes.get("directions", s.directions)
    for axis, words in zip(("alpha", "beta"), done, strict=False):
        yield f"{axis}: {words}."
    if notes.get("moved"):
        names = notes["params"]
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        yield (
            f"{notes['moved']:,} parameters move ({', '.join(names[:3])}"
            f"{more}); all others stand still."
        )
    if notes.get("lengths"):
        said = " and ".join(f"{v:.4g}" for v in notes["lengths"])
        yield f"Lengths of the two: {said}."
    cosine = notes.get("cosine")
    if cosine is not None and abs(cosine) > 0.1:
        yield (
            f"They are not at right angles (cosine {cosine:.2f}), so "
            "distances and angles in the picture are distorted."
        )
    words = " ".join(done)
    if "random" in words and "filter-normalised" not in words:
        yield (
            "They are not filter-normalised: how wide things look depends "
            "on the scale of the weights, so compare with no other network."
        )


def _statistics(s: Any) -> Iterator[str]:
    notes = s.provenance.notes
    layers = notes.get("batch_norm_layers", 0)
    words = {
        "eval": "the running statistics of the centre, frozen. Away from "
        "the centre they no longer fit the activations, which can make the "
        "walls steeper than training would see",
        "train": "each batch's own statistics, so the loss depends on how "
        "the samples are batched",
        "recalibrate": "statistics recomputed over these data at each point",
        "interpolate": "running statistics that move with the weights",
    }
    if layers:
        mode = notes.get("statistics", "eval")
        plural = "layer" if layers == 1 else "layers"
        yield f"{layers} {plural}, with {words.get(mode, mode)}."


def _path(s: Any) -> Iterator[str]:
    explained = s.provenance.notes.get("explained")
    if explained:
        mine = explained["about the end"]
        walk = explained["random walk with these steps"]
        yield (
            f"These components hold {100 * sum(mine):.1f} % of the "
            "variance about the end point. A random walk with the same "
            f"step lengths gives {100 * sum(walk):.1f} %"
            + (
                ": no more than nothing at all would."
                if sum(mine) <= sum(walk) * 1.02
                else "."
            )
        )
        yield (
            "Smooth arcs on such a plane are what random walks draw too "
            "(Lissajous curves)."
        )
    if len(s.path_distance) > 1:
        length = np.linalg.norm(s.path_coords, axis=1)
        total = np.hypot(s.path_distance, length)
        share = s.path_distance[:-1] / np.maximum(total[:-1], 1e-300)
        yield (
            f"The {len(share) + 1} checkpoints lie off the plane by "
            f"{100 * np.median(share):.0f} % of their distance to the "
            f"centre in the median, {100 * share.max():.0f} % at most."
        )
    if len(s.path_projected) > 1:
        true, seen = s.path_losses, s.path_projected
        both = np.isfinite(true) & np.isfinite(seen)
        if both.any():
            ratio = np.abs(seen - true)[both] / np.maximum(
                abs(true[both]), 1e-12
            )
            worst = float(ratio.max())
            yield (
                "Loss at the projected points against the checkpoints' true "
                f"loss: off by {100 * np.median(ratio):.0f} % in the "
                f"median, {100 * worst:.0f} % at worst."
                + (
                    " The path on this plane is a shadow: do not read its "
                    "height off the surface."
                    if worst > 0.2
                    else ""
                )
            )


def _noise(s: Any) -> Iterator[str]:
    yield from s.provenance.notes.get("probe", [])
    samples = s.provenance.n_samples or 0
    if 0 < samples < 256:
        yield (
            f"Only {samples} samples: another draw of them "
            "would give another surface."
        )


def _limits(s: Any) -> Iterator[str]:
    n = s.provenance.n_params or 0
    if n > 2:
        yield (
            f"It shows 2 of {n:,} directions. The curvature along a random "
            "one is the average over all, so a saddle with few descending "
            "directions looks like a bowl. Look at Hessian directions, and "
            "at several seeds, before calling anything a minimum."
        )


def local_minima(z: np.ndarray, known: np.ndarray | None = None) -> int:
    """Interior points lower than all 8 neighbours; NaN is no neighbour.

    Args:
        z: (A, B) losses.
        known: (A, B), which points have been evaluated; one with a
            neighbour that has not is no minimum yet. None: all.

    Example:
        >>> z = np.ones((5, 7)); z[2, 2] = z[2, 5] = 0
        >>> local_minima(z)
        2
    """
    n, m = z.shape
    if n < 3 or m < 3:
        return 0
    high = np.where(np.isnan(z), np.inf, z)
    inner = high[1:-1, 1:-1]
    lower = np.isfinite(inner)
    for i in (0, 1, 2):
        for j in (0, 1, 2):
            if (i, j) != (1, 1):
                other = high[i : n - 2 + i, j : m - 2 + j]
                lower &= inner < other
                if known is not None:
                    lower &= known[i : n - 2 + i, j : m - 2 + j]
    return int(lower.sum())


def _zero(s: Any) -> tuple[int, int]:
    return int(np.argmin(np.abs(s.alphas))), int(np.argmin(np.abs(s.betas)))


def _at_centre(s: Any) -> float | None:
    at = _zero(s)
    return float(s.losses[at]) if s.evaluated[at] else None
