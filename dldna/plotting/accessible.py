"""Show a figure together with what it says, for those who cannot see it."""

import html
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dldna.checks import choice
from dldna.plotting import variants
from dldna.records import (
    ConvexityMap,
    History,
    Line,
    Motion,
    Record,
    Spectrum,
    Surface,
)


def show(
    figure: Figure,
    alt: str,
    table: Mapping[str, Sequence] | None = None,
    caption: str = "",
    name: str = "",
) -> None:
    """Display a figure with its text and, behind it, its numbers.

    In a notebook the picture appears as usual. The rendered page takes the
    text for the image's alternative, folds the table away below it, numbers
    the figure if it has a caption, and shows it in the page's colours and,
    on a phone, with its panels stacked.

    Args:
        figure: what to show; it is closed afterwards.
        alt: what the figure shows, in one or two sentences.
        table: columns by name, all of one length, at most 60 rows are
            kept, evenly spaced.
        caption: what everybody reads below the figure; ``$...$`` is set as
            a formula.
        name: what ``{numref}`` calls the figure: ``"fig-limits"``.

    Raises:
        ValueError: ``alt`` is empty, the columns differ in length, or a
            figure has a name and no caption.
    """
    from IPython.display import display

    data, metadata = bundle(figure, alt, table, caption, name)
    display(data, metadata=metadata, raw=True)


def bundle(
    figure: Figure,
    alt: str,
    table: Mapping[str, Sequence] | None = None,
    caption: str = "",
    name: str = "",
) -> tuple[dict[str, Any], dict[str, Any]]:
    """What :func:`show` displays: the picture and words, and their data."""
    meta: dict[str, Any] = words_of(alt, caption, name)
    from matplotlib import pyplot as plt

    meta["width"] = round(figure.get_figwidth() * 96)
    if variants.wanted():
        drawn = variants.pictures(figure)
        picture = drawn.pop("light")
        meta["phone"] = variants.PHONE  # metadata is text
        meta["variants"] = {k: b64encode(v).decode() for k, v in drawn.items()}
    else:
        picture = variants.light(figure)
    plt.close(figure)
    if table is not None:
        meta["table"] = table_html(table)
    return {"image/png": picture, "text/plain": alt}, {"image/png": meta}


def words_of(alt: str, caption: str, name: str) -> dict[str, str]:
    """A figure's words as the pages read them, of one that turns, too."""
    if not alt.strip():
        raise ValueError("alt must say in words what the figure shows")
    if name and not caption.strip():
        raise ValueError(f"the figure {name!r} needs a caption to be numbered")
    words = {"alt": alt}
    if caption:
        words |= {"caption": caption, "name": name}
    return words


def table_html(table: Mapping[str, Sequence], most: int = 60) -> str:
    """A small HTML table of columns; text in it is escaped.

    Example:
        >>> table_html({"a<b": [1.0]})
        '<table><thead><tr><th scope="col">a&lt;b</th></tr></thead>\
<tbody><tr><td>1</td></tr></tbody></table>'
    """
    columns = {k: list(v) for k, v in table.items()}
    lengths = {len(v) for v in columns.values()}
    if len(lengths) != 1:
        raise ValueError(f"the columns differ in length: {sorted(lengths)}")
    (n,) = lengths
    rows = sorted(set(np.linspace(0, n - 1, min(n, most)).astype(int)))
    head = "".join(
        f'<th scope="col">{html.escape(str(k))}</th>' for k in columns
    )
    body = "".join(
        "<tr>"
        + "".join(f"<td>{_cell(v[i])}</td>" for v in columns.values())
        + "</tr>"
        for i in rows
    )
    return (
        f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    )


def _cell(value) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.5g}"
    return html.escape(str(value))


def alt_text(record: Record, metric: str | None = None) -> str:
    """Say what a picture of a record shows: ranges, minimum, trend.

    Args:
        record: a History, Line, Surface, ConvexityMap, Spectrum or Motion.
        metric: of a Line or a Surface, what its picture draws instead of
            the loss.

    Returns:
        One or two sentences.

    Raises:
        TypeError: there are no words for this kind of record, or for a
            metric of it.
        ValueError: the record has no metric of this name.

    Example:
        >>> text = alt_text(Line(np.array([0.0, 1.0]), np.array([2.0, 1.0])))
        >>> text
        'Loss along a line, from alpha 0 to 1: between 1 and 2, lowest at \
alpha = 1.'
    """
    for kind, words in _WORDS.items():
        if isinstance(record, kind):
            if metric is None:
                return words(record)
            if kind in (Line, Surface):
                choice("metric", metric, record.metrics)
                return words(record, metric)
            raise TypeError(f"a {kind.__name__} has no metric to draw")
    raise TypeError(f"no words for a {type(record).__name__}")


def _bad(values: np.ndarray) -> str:
    count = int((~np.isfinite(values)).sum())
    return f" {count} values are not finite." if count else ""


def _line_words(r: Line, metric: str | None = None) -> str:
    name, z = _told(r, metric)
    ok = np.isfinite(z)
    if not ok.any():
        return f"{name} along a line: no value is finite."
    low, high = (f"{r.alphas[ok][end(z[ok])]:.3g}" for end in _ENDS)
    top = "" if metric is None else f", highest at {high}"
    return (
        f"{name} along a line, from alpha {r.alphas[0]:.3g} to "
        f"{r.alphas[-1]:.3g}: between {z[ok].min():.3g} and "
        f"{z[ok].max():.3g}, lowest at alpha = {low}{top}." + _bad(z)
    )


def _surface_words(r: Surface, metric: str | None = None) -> str:
    name, z = _told(r, metric)
    ok = np.isfinite(z)
    if not ok.any():
        return f"{name} on a plane: no value is finite."
    a, b = (x[ok] for x in np.meshgrid(r.alphas, r.betas, indexing="ij"))
    low, high = (
        f"({a[k]:.3g}, {b[k]:.3g})" for k in (end(z[ok]) for end in _ENDS)
    )
    centre, top = r.centre_loss, ""
    if metric is not None:
        centre = z[np.abs(r.alphas).argmin(), np.abs(r.betas).argmin()]
        top = f", highest at {high}"
    return (
        f"{name} on a plane of {len(r.alphas)} by {len(r.betas)} points: "
        f"between {z[ok].min():.3g} and {z[ok].max():.3g}, "
        f"{centre:.3g} at the centre, lowest at {low}{top}."
        + _bad(z[r.evaluated])
    )


_ENDS = (np.argmin, np.argmax)


def _told(r: Line | Surface, metric: str | None) -> tuple[str, np.ndarray]:
    """What a picture draws, and its name at the start of a sentence."""
    if metric is None:
        return "Loss", r.losses
    return metric, np.asarray(r.metrics[metric], dtype=float)


def _convexity_words(r: ConvexityMap) -> str:
    z = r.ratio
    ok = np.isfinite(z)
    if not ok.any():
        return "Ratio of curvatures on a plane: no value is finite."
    i, j = np.abs(r.alphas).argmin(), np.abs(r.betas).argmin()
    return (
        "Smallest over largest curvature in magnitude on a plane of "
        f"{len(r.alphas)} by {len(r.betas)} points: between "
        f"{z[ok].min():.3g} and {z[ok].max():.3g}, median "
        f"{np.median(z[ok]):.3g}, {z[i, j]:.3g} at the centre." + _bad(z)
    )


def _history_words(r: History) -> str:
    if len(r.epochs) == 0:
        return "A training run without a finished epoch."
    return (
        f"Training over {len(r.epochs)} epochs: training loss from "
        f"{r.train_loss[0]:.3g} to {r.train_loss[-1]:.3g}, test accuracy "
        f"from {r.test_accuracy[0]:.3g} to {r.test_accuracy[-1]:.3g}."
        + _bad(r.train_loss)
    )


def _spectrum_words(r: Spectrum) -> str:
    values = ", ".join(f"{v:.3g}" for v in r.eigenvalues[:6])
    return (
        f"Largest {len(r.eigenvalues)} eigenvalues of the {r.matrix}: "
        f"{values}; the largest residual is {r.residuals.max():.1g}."
    )


def _motion_words(r: Motion) -> str:
    if len(r.steps) == 0:
        return "A run without a measured step."
    text = (
        f"Step {r.steps[0]} to {r.steps[-1]} of a run: batch loss from "
        f"{r.loss[0]:.3g} to {r.loss[-1]:.3g}, length of the gradient from "
        f"{r.grad_norm[0]:.3g} to {r.grad_norm[-1]:.3g}, of the weights "
        f"from {r.weight_norm[0]:.3g} to {r.weight_norm[-1]:.3g}."
    )
    ratio = r.edge_ratio[np.isfinite(r.edge_ratio)]
    if len(ratio):
        text += (
            f" The {r.threshold_of} goes from {ratio[0]:.2f} to "
            f"{ratio[-1]:.2f} times its threshold."
        )
    return text + _bad(r.loss)


_WORDS = {
    Line: _line_words,
    Surface: _surface_words,
    ConvexityMap: _convexity_words,
    History: _history_words,
    Spectrum: _spectrum_words,
    Motion: _motion_words,
}
