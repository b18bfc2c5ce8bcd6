"""For each figure: what it supports, and what it does not.

Every sentence is made of the numbers of the findings.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from dldna.model_page.curvature_sentences import (
    density,
    layers,
    sharpness,
    top,
)
from dldna.model_page.findings import Findings, SampleLosses
from dldna.model_page.numerals import Words, num, percent, pm


def measured_on(s: SampleLosses) -> str:
    """The accuracy with its interval, or that there is none."""
    if not s.answers:
        return "the answers are no classes, so there is no accuracy"
    low, high = s.interval
    return (
        f"{percent(s.accuracy)} of {s.answers:,} answers are right (95 % "
        f"Wilson interval {percent(low)} to {percent(high)})"
    )


def samples(f: Findings) -> Words:
    """Words on the losses of the samples."""
    own = f.samples[""]
    name = f.provenance.data or "the data"
    said = (
        f"On {own.provenance.n_samples:,} samples of {name} the mean loss is "
        f"{pm(own.loss, own.error)} (standard error over {own.of}), and "
        f"{measured_on(own)}."
    )
    parts = own.shares * own.values
    tenth = np.sort(parts)[::-1][: max(1, len(parts) // 10)]
    if len(parts) >= 10 and own.loss > 0:
        said += (
            f" The tenth of the {own.of} with the largest losses carries "
            f"{percent(tenth.sum() / parts.sum(), 0)} of it."
        )
    for other, s in f.samples.items():
        if other:
            gap, error = s.loss - own.loss, np.hypot(s.error, own.error)
            said += (
                f" On {s.provenance.n_samples:,} samples of {other} the "
                f"loss is {pm(s.loss, s.error)} and {measured_on(s)}: the "
                f"losses differ by {pm(gap, error)}."
            )
    rows = {k or name: s for k, s in f.samples.items()}
    return Words(
        "Losses and accuracy",
        f"Histogram of the losses of {len(own.values):,} {own.of}: from "
        f"{num(own.values.min())} to {num(own.values.max())}, the median "
        f"{num(np.median(own.values))}, the mean {num(own.loss)}.",
        said,
        "It does not tell the loss on data of another kind, nor what "
        "another training of the same network would give: the errors are "
        "those of drawing these samples anew, for these weights. Samples "
        "that the network was trained on are no fair draw.",
        {
            "data": list(rows),
            "samples": [s.provenance.n_samples for s in rows.values()],
            "loss": [s.loss for s in rows.values()],
            "standard error": [s.error for s in rows.values()],
            "accuracy": [s.accuracy for s in rows.values()],
            "95 % from": [s.interval[0] for s in rows.values()],
            "to": [s.interval[1] for s in rows.values()],
        },
    )


def series(f: Findings) -> Words:
    """Words on the checkpoints."""
    s, e = f.series, f.embedding
    n, best = len(s.labels), int(np.nanargmin(s.losses))
    said = [
        f"{n} checkpoints were read"
        + (f" ({s.skipped} more were left out, evenly)" if s.skipped else ""),
        f"the smallest loss, {num(s.losses[best])}, is that of "
        f"{s.labels[best]} ({num(s.losses[-1])} at the last, "
        f"{s.labels[-1]})",
    ]
    pairs = ", ".join(
        f"{s.labels[i]} and {s.labels[j]}" for i, j in s.duplicates[:3]
    )
    said.append(
        f"equal to the bit are {len(s.duplicates)} of the pairs ({pairs})"
        if s.duplicates
        else "no two are equal"
    )
    shortest = min(s.lengths, key=s.lengths.get)
    ways = ", ".join(f"{k} {num(v)}" for k, v in s.lengths.items())
    same = s.lengths["number"] <= s.lengths[shortest] * (1 + 1e-9)
    said.append(
        f"the order of their {'numbers' if same else shortest} makes the "
        f"shortest way through them (lengths by {ways})"
    )
    groups = int(e.clusters.max()) + 1
    said.append(
        f"their weights lie in {groups} clusters far apart: files of "
        f"{groups} runs, or of one with a gap in it"
        if groups > 1
        else "their weights lie in one cluster, as those of one run do"
    )
    where = ", ".join(s.labels[i] for i in s.model_at)
    said.append(
        f"the model on this page is {where}"
        if where
        else "the model on this page is none of them"
    )
    share, walk = e.explained[:2].sum(), e.null_explained[:2].sum()
    return Words(
        "The series of checkpoints",
        f"Left, the first two principal components of {n} checkpoints, "
        f"joined in their order; right, their losses, from "
        f"{num(s.losses[0])} at the first to {num(s.losses[-1])} at the "
        "last.",
        "; ".join(said) + ".",
        "It does not show the way between the checkpoints, nor that the "
        f"training moved in a plane: two components hold {percent(share)} "
        "of the variance, and those of a random walk with steps of the "
        f"same lengths {percent(walk)}.",
        {
            "checkpoint": list(s.labels),
            "loss": list(s.losses),
            "accuracy": list(s.accuracies),
            "to the next": [*e.steps, float("nan")],
            "cluster": [int(c) for c in e.clusters],
        },
    )


def planes(f: Findings) -> Words:
    """Words on the planes of several seeds."""
    found, k = f.planes, len(f.planes)
    z = np.stack([p.losses for p in found])
    below = sum(
        bool(np.nanmin(p.losses) < p.centre_loss * (1 - 1e-6)) for p in found
    )
    a, b = found[0].alphas, found[0].betas
    i, j = int(np.abs(a).argmin()), int(np.abs(b).argmin())
    edge = np.concatenate([z[:, 0], z[:, -1], z[:, :, 0], z[:, :, -1]], 1)
    mean = np.nanmean(edge, axis=1)
    spread = np.nanmax(z, 0) - np.nanmin(z, 0)
    n = found[0].provenance.n_params
    bad = int((~np.isfinite(z)).sum())
    return Words(
        "Planes, one for each seed",
        f"Contours of the loss on {k} planes of {len(a)} by {len(b)} points "
        f"through the network, one colour scale, and the range over the "
        f"planes at each point, at most {num(np.nanmax(spread))}.",
        f"On {below} of {k} planes of two random directions, scaled to the "
        "network's filters, some point of the grid lies below the centre "
        f"({num(z[0, i, j], 4)}); on the edge of the window the mean loss is "
        f"{num(mean.min(), 4)} with one seed and {num(mean.max(), 4)} with "
        "another." + (f" {bad} values are not finite." if bad else ""),
        f"It does not show a minimum: {2 * k} of {n:,} directions are seen, "
        "and a random one has about the average curvature. What differs "
        f"between two networks by less than {num(mean.max() - mean.min())} "
        "at the edge differs by no more than the seeds do.",
        {
            "seed": [p.provenance.seed for p in found],
            "loss at the centre": [p.centre_loss for p in found],
            "smallest": [float(np.nanmin(p.losses)) for p in found],
            "largest": [float(np.nanmax(p.losses)) for p in found],
            "mean at the edge": list(mean),
        },
    )


def lines(f: Findings) -> Words:
    """Words on the band of lines."""
    r = f.lines
    seeds = r.provenance.notes["seeds"]
    low, high = r.metrics["low"], r.metrics["high"]
    centre = int(np.abs(r.alphas).argmin())
    each = np.stack([r.metrics[f"seed {s}"] for s in seeds])
    below = int((np.nanmin(each, 1) < each[:, centre] * (1 - 1e-6)).sum())
    return Words(
        "Lines in many directions",
        f"Loss along {len(seeds)} random directions: the median and the "
        f"range over the seeds, {num(r.losses[centre])} at 0, from "
        f"{num(low[-1])} to {num(high[-1])} at {num(r.alphas[-1])}.",
        f"One length of the filters away the loss lies between {num(low[-1])}"
        f" and {num(high[-1])} over {len(seeds)} random directions, median "
        f"{num(r.losses[-1])}; on {below} of the lines a point lies below "
        "the centre.",
        "It does not bound what other directions hold: the band is the "
        f"range of {len(seeds)} draws and no confidence interval, and "
        "directions of strong or of falling curvature are few among "
        f"{r.provenance.n_params:,} and are hardly drawn.",
        {
            "position": list(r.alphas),
            "median": list(r.losses),
            "smallest": list(low),
            "largest": list(high),
        },
    )


WORDS: dict[str, Callable[[Findings], Words]] = {
    "samples": samples,
    "series": series,
    "top": top,
    "sharpness": sharpness,
    "layers": layers,
    "planes": planes,
    "density": density,
    "lines": lines,
}


def shown(f: Findings) -> list[str]:
    """Names of the parts that were measured, in the order of the page."""
    return [name for name in WORDS if has(getattr(f, name))]


def has(value: Any) -> bool:
    """Whether a field of the findings holds something."""
    return value is not None and bool(
        len(value) if isinstance(value, (dict, list)) else True
    )
