"""The figures of a page, as SVG that takes the page's own colours."""

import io
import math
import re
from collections.abc import Callable
from contextlib import contextmanager

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from dldna import plotting
from dldna.model_page.curvature_sentences import errors_of
from dldna.model_page.findings import Findings
from dldna.model_page.numerals import num
from dldna.plotting import COLORS
from dldna.records import Surface

INK, FAINT = "#1a2b3c", "#a1b2c4"  # stand for the page's own, in the SVG
WIDTH = 4.7  # inches: letters are readable where a phone shrinks it
MOST_DRAWN = 6000  # points of single lines, which a page must carry


@contextmanager
def style():
    """matplotlib's settings for these figures, and back again."""
    with mpl.rc_context():
        plotting.use()
        inks = ("text.color", "axes.labelcolor", "axes.edgecolor",
                "xtick.color", "ytick.color", "axes.titlecolor")  # fmt: skip
        mpl.rcParams.update(dict.fromkeys(inks, INK))
        mpl.rcParams.update(
            {
                "grid.color": FAINT,
                "figure.facecolor": "none",
                "axes.facecolor": "none",
                "savefig.facecolor": "none",
                "svg.fonttype": "none",
                "font.family": "sans-serif",
                "axes.titlesize": 10,
                "legend.fontsize": 8.5,
            }
        )
        yield


def draw(name: str, findings: Findings, alt: str) -> str:
    """The figure of a part, as an SVG element.

    Args:
        name: of the part.
        findings: what was measured.
        alt: what it shows, for those who cannot see it.
    """
    with style():
        figure = Figure(layout="constrained")
        FIGURES[name](findings, figure)
        return svg(figure, name, alt)


def warm_up() -> None:
    """Draw nothing once: the first figure of a process looks for fonts."""
    with style():
        figure = Figure()
        figure.subplots().set_xlabel(r"$\alpha$")
        svg(figure, "first", "nothing")


def svg(figure: Figure, name: str, alt: str) -> str:
    """An SVG element with ids of its own, in the page's colours.

    Example:
        >>> text = svg(Figure(), "a", "nothing & no one")
        >>> text.startswith("<svg"), "nothing &amp; no one" in text
        (True, True)
    """
    from html import escape

    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r'(<image\b[^>]*?) id="[^"]*"', r"\1", text)  # twins
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="|url\()#', rf"\1#{name}-", text)
    text = text.replace(INK, "var(--ink)").replace(FAINT, "var(--line)")
    text = re.sub(r'(<svg[^>]*?) (?:width="[^"]*")', r"\1", text, count=1)
    text = re.sub(r'(<svg[^>]*?) (?:height="[^"]*")', r"\1", text, count=1)
    text = re.sub(r' xmlns(?::xlink)?="[^"]*"', "", text)
    text = text.replace("xlink:href", "href")
    said = escape(alt)
    return text.replace(
        "<svg", f'<svg role="img" aria-label="{said}"', 1
    ).strip()


def _samples(f: Findings, figure: Figure) -> None:
    own = f.samples[""]
    figure.set_size_inches(WIDTH, 2.7)
    ax = figure.subplots()
    low, high = own.values.min(), own.values.max()
    log = low >= 0 and high > 20 * np.median(own.values) > 0
    low = max(low, 1e-5 * high) if log else low
    space = np.geomspace if log else np.linspace
    edges = space(low, high + 1e-12 * (1 + abs(high)), 41)
    for i, (name, s) in enumerate(f.samples.items()):
        ax.hist(
            np.clip(s.values, edges[0], edges[-1]),
            edges,
            weights=np.full(len(s.values), 1 / len(s.values)),
            histtype="stepfilled" if not i else "step",
            color=COLORS[i],
            alpha=0.75 if not i else 1,
            label=name or f.provenance.data or "these data",
        )
        ax.axvline(s.loss, color=COLORS[i], ls="--" if not i else ":")
    if log:
        ax.set_xscale("log")
    kind = {"samples": "sample", "batches": "batch"}[own.of]
    ax.set_xlabel(f"loss of a {kind} (lines: the means)")
    ax.set_ylabel(f"share of the {own.of}")
    if len(f.samples) > 1:
        ax.legend()


def _series(f: Findings, figure: Figure) -> None:
    figure.set_size_inches(WIDTH, 5.4)
    first, second = figure.subplots(2, height_ratios=[3, 2])
    if f.embedding.coords.shape[1] > 1:
        plotting.weight_space(f.embedding, first)
        for label in first.texts:
            label.set_color(INK)
    s = f.series
    rows = np.arange(len(s.labels))
    second.plot(rows, s.losses, "o-", ms=3.5, color=COLORS[0])
    for i, j in s.duplicates:
        second.plot([i, j], s.losses[[i, j]], "x", color=COLORS[1], ms=8)
    if (s.losses > 0).all() and s.losses.max() > 20 * s.losses.min():
        second.set_yscale("log")
    second.set_xlabel(
        "checkpoint, by number" + " (crosses: equal ones" * bool(s.duplicates)
        + ")" * bool(s.duplicates)
    )  # fmt: skip
    second.set_ylabel("loss")


def _top(f: Findings, figure: Figure) -> None:
    figure.set_size_inches(WIDTH, 2.7)
    ax = figure.subplots()
    plotting.eigenvalues(f.top, ax)
    ax.set_xticks(range(1, len(f.top.eigenvalues) + 1))


def _sharpness(f: Findings, figure: Figure) -> None:
    s = f.sharpness
    names = {"sam": "ball", "adaptive": "adaptive ball", "keskar": "box"}
    figure.set_size_inches(WIDTH, 3.1)
    ax = figure.subplots()
    for i, (key, words) in enumerate(names.items()):
        own = s[key].path - s[key].loss
        ax.plot(own, color=COLORS[i], ls="-", marker="o", ms=3, label=words)
        if f"twin {key}" in s:
            twin = s[f"twin {key}"]
            ax.plot(
                twin.path - twin.loss,
                color=COLORS[i],
                ls="--",
                label=f"{words}, twin",
            )
    ax.set_yscale("symlog", linthresh=_least_rise(s))
    ax.xaxis.get_major_locator().set_params(integer=True)
    ax.set_xlabel("step of ascent")
    ax.set_ylabel("rise of the loss")
    ax.legend(ncols=2 if len(ax.lines) > 3 else 1)


def _least_rise(sharpness: dict) -> float:
    rises = [
        abs(v.worst - v.loss) for k, v in sharpness.items() if "trace" not in k
    ]
    return max(1e-6, min(r for r in [*rises, 1.0] if r > 0) / 3)


def _layers(f: Findings, figure: Figure) -> None:
    names = [name or "(the whole)" for name in f.layers]
    values = np.array([s.eigenvalues[0] for s in f.layers.values()])
    errors = np.array([errors_of(s)[0] for s in f.layers.values()])
    figure.set_size_inches(WIDTH, 1.1 + 0.24 * len(names))
    ax = figure.subplots()
    rows = np.arange(len(names))
    ax.errorbar(
        values, rows, xerr=np.nan_to_num(errors), fmt="o", ms=5,
        color=COLORS[0], ecolor=COLORS[1], capsize=3, ls="none",
    )  # fmt: skip
    ax.set_yticks(rows, [n if len(n) < 24 else f"...{n[-20:]}" for n in names])
    ax.invert_yaxis()
    if (values > 0).all() and values.max() > 20 * values.min():
        ax.set_xscale("log")
        # Few labels, so that they do not meet.
        near = values.max() < 300 * values.min()
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 3) if near else (1,)))
        ax.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
        ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("largest eigenvalue of the layer's block")


def _planes(f: Findings, figure: Figure) -> None:
    rows = (len(f.planes) + 2) // 2
    figure.set_size_inches(WIDTH, 2.2 * rows + 1.1)
    axes = figure.subplots(rows, 2, squeeze=False).ravel()
    whole = np.stack([p.losses for p in f.planes])
    norm, words = plotting.shade(_like(f.planes[0], whole.reshape(-1, 1)))
    for ax, plane in zip(axes, f.planes, strict=False):
        ax.contourf(
            plane.alphas, plane.betas, _finite(plane.losses).T,
            levels=plotting.levels_of(norm, 12), norm=norm, extend="both",
        )  # fmt: skip
        ax.plot(0, 0, "+", color="white", ms=9)
        ax.set_title(f"seed {plane.provenance.seed}")
    last, first = axes[len(f.planes)], f.planes[0]
    spread = np.nanmax(whole, 0) - np.nanmin(whole, 0)
    scale, range_words = plotting.shade(_like(first, spread.reshape(-1, 1)))
    last.contourf(
        first.alphas, first.betas, _finite(spread).T, cmap="magma",
        levels=plotting.levels_of(scale, 12), norm=scale, extend="both",
    )  # fmt: skip
    last.set_title("range over the seeds")
    for ax in axes[len(f.planes) + 1 :]:
        ax.set_axis_off()
    for ax in axes:
        ax.set_box_aspect(1)
        ax.grid(visible=False)
    range_words = range_words.replace("loss", "range", 1)
    for each, cmap, label in ((norm, "viridis", words),
                              (scale, "magma", range_words)):  # fmt: skip
        shades = mpl.cm.ScalarMappable(each, cmap)
        bar = figure.colorbar(
            shades, ax=list(axes), location="bottom", aspect=40, label=label
        )
        at = plotting.levels_of(each, 5)
        bar.set_ticks(at, labels=[num(v) for v in at])
        bar.minorticks_off()


def _like(plane: Surface, losses: np.ndarray) -> Surface:
    """A surface of these losses, to choose a scale by."""
    n, m = losses.shape
    return Surface(
        alphas=np.arange(n),
        betas=np.arange(m),
        losses=losses,
        evaluated=np.ones((n, m), dtype=bool),
        centre_loss=plane.centre_loss,
    )


def _finite(z: np.ndarray) -> np.ma.MaskedArray:
    return np.ma.masked_invalid(z)


def _density(f: Findings, figure: Figure) -> None:
    d = f.density
    figure.set_size_inches(WIDTH, 2.8)
    ax = figure.subplots()
    plotting.density(d.grid, d.density, ax, label="mean over probes")
    low = np.maximum(d.density - d.spread, 1e-12)
    high = np.maximum(d.density + d.spread, 1e-12)
    ax.fill_between(
        d.grid, low, high, color=COLORS[1], alpha=0.5, lw=0,
        label="standard error",
    )  # fmt: skip
    peak = float(d.density.max())
    ax.set_ylim(peak * 1e-7, 3 * peak)
    ax.legend()


def _lines(f: Findings, figure: Figure) -> None:
    r = f.lines
    figure.set_size_inches(WIDTH, 2.8)
    ax = figure.subplots()
    rows = [row for k, row in r.metrics.items() if k.startswith("seed ")]
    for row in rows[:: math.ceil(len(rows) * len(r.alphas) / MOST_DRAWN)]:
        ax.plot(r.alphas, row, color=COLORS[0], lw=0.5, alpha=0.35, ls="-")
    ax.fill_between(
        r.alphas, r.metrics["low"], r.metrics["high"], color=COLORS[5],
        alpha=0.35, lw=0, label="range over the seeds",
    )  # fmt: skip
    ax.plot(r.alphas, r.losses, color=COLORS[1], ls="-", label="median")
    if r.losses.min() > 0 and np.nanmax(r.metrics["high"]) > 20 * float(
        np.nanmin(r.metrics["low"])
    ):
        ax.set_yscale("log")
    ax.set_xlabel(r"position $\alpha$, in lengths of the filters")
    ax.set_ylabel("loss")
    ax.legend()


FIGURES: dict[str, Callable[[Findings, Figure], None]] = {
    "samples": _samples,
    "series": _series,
    "top": _top,
    "sharpness": _sharpness,
    "layers": _layers,
    "planes": _planes,
    "density": _density,
    "lines": _lines,
}
