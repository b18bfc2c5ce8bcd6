"""The page itself: one file of HTML, with nothing loaded from anywhere."""

from collections.abc import Mapping
from html import escape

from dldna.export.html import read
from dldna.model_page.curvature_sentences import errors_of
from dldna.model_page.findings import Findings
from dldna.model_page.numerals import Words, num, pm
from dldna.model_page.sentences import WORDS, shown
from dldna.plotting.accessible import table_html
from dldna.progress import duration
from dldna.said_once import alike

NAMES = {
    "samples": "losses and accuracy",
    "series": "the series of checkpoints",
    "top": "the strongest curvature",
    "sharpness": "sharpness",
    "layers": "curvature by layer",
    "planes": "planes",
    "density": "all eigenvalues",
    "lines": "lines",
}


def document(f: Findings, figures: Mapping[str, str]) -> str:
    """All of the page.

    Args:
        f: what was measured.
        figures: an SVG for each part that was.

    Returns:
        The text of the file.
    """
    title = f"{f.provenance.model or 'A network'} on " + (
        f.provenance.data or "its data"
    )
    said: set[str] = set()
    parts = [section(f, name, figures[name], said) for name in shown(f)]
    return (
        "<!doctype html>\n"
        '<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, '
        'initial-scale=1">'
        f"<title>{escape(title)}</title>"
        f"<style>{read('model_page.css')}</style></head>\n<body><main>"
        f"<h1>{escape(title)}</h1>\n{_opening(f)}\n"
        + "\n".join(parts)
        + f"\n{_left_out(f)}\n{_provenance(f)}\n</main></body></html>\n"
    )


def section(f: Findings, name: str, figure: str, before: set[str]) -> str:
    """One part: figure, both sentences, what was said, the numbers.

    Args:
        f: what was measured.
        name: of the part.
        figure: its SVG.
        before: what was said in parts above, without its numbers; what is
            said here joins it.
    """
    words: Words = WORDS[name](f)
    lines = {alike(line): line for line in f.said.get(name, [])}
    said = "".join(
        f'<p class="said">Said while it was measured: {escape(line)}</p>'
        for key, line in lines.items()
        if key not in before
    )
    before.update(lines)
    return (
        f'<section id="{name}"><h2>{escape(words.title)}</h2>'
        f"<figure>{figure}</figure>"
        f'<p class="yes"><strong>It supports:</strong> '
        f"{escape(words.supports)}</p>"
        f'<p class="no"><strong>It does not support:</strong> '
        f"{escape(words.doubts)}</p>{said}"
        f"<details><summary>The numbers</summary>"
        f'<div class="wide">{table_html(words.table)}</div></details>'
        "</section>"
    )


def _opening(f: Findings) -> str:
    p = f.provenance
    own = f.samples[""]
    used = f.facts["samples used"]
    rest = (
        "all of them for curvature, planes and lines"
        if used == p.n_samples
        else f"{used:,} of them, evenly spaced, for curvature, planes and "
        "lines, so that these fit the budget"
    )
    facts = {
        "parameters": f"{p.n_params:,}",
        "loss": f"{p.loss or 'loss'} {pm(own.loss, own.error)}",
        "samples": f"{p.n_samples:,}; {rest}",
    }
    if own.answers:
        low, high = own.interval
        facts["accuracy"] = (
            f"{100 * own.accuracy:.1f} % ({100 * low:.1f} to "
            f"{100 * high:.1f} %)"
        )
    if f.top is not None:
        facts["largest eigenvalue"] = pm(
            f.top.eigenvalues[0], errors_of(f.top)[0]
        )
    return _facts(facts) + (
        "<p>Each figure stands with a sentence that it supports and one "
        "that it does not. One training of a network is one draw: nothing "
        "here compares networks.</p>"
    )


def _left_out(f: Findings) -> str:
    if not f.left_out:
        return ""
    rows = "".join(
        f"<li>{escape(NAMES[name])}: {escape(why)}</li>"
        for name, why in f.left_out.items()
    )
    return f"<section><h2>What is not here</h2><ul>{rows}</ul></section>"


def _provenance(f: Findings) -> str:
    p = f.provenance
    spent = "; ".join(
        f"{NAMES.get(name, name)} {duration(s)}"
        for name, s in f.seconds.items()
    )
    facts = {
        "model": f"{p.model}, {p.n_params:,} parameters that may move",
        "data": p.data or "not named",
        "loss": p.loss,
        "arithmetic": f"{p.dtype} on {p.device}, {p.threads} CPU threads",
        "batch norm": str(p.notes.get("statistics")),
        "seed": str(p.seed),
        "made": p.created,
        "versions": ", ".join(f"{k} {v}" for k, v in p.versions.items()),
        "budget": f"{duration(f.facts['budget'])}; spent "
        f"{duration(p.seconds)}: {spent}",
        "price of a loss": f"{num(f.facts['price']['loss'])} s",
        "price of a product": f"{num(f.facts['price']['product'])} s",
    }
    if f.facts.get("weights"):
        facts["weights"] = f.facts["weights"]
    return f"<section><h2>Where it comes from</h2>{_facts(facts)}</section>"


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(
        f'<tr><th scope="row">{escape(k)}</th><td>{escape(v)}</td></tr>'
        for k, v in facts.items()
    )
    return f'<div class="wide"><table>{rows}</table></div>'
