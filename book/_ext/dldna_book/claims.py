"""Claims: a small sign behind each sentence that an assertion holds.

A chapter writes ``<!-- claim: NAME -->`` behind a sentence. On the page the
mark becomes a tick that leads to the list of claims, and the list leads back
to the sentence and to the cell that asserts it. The build stops where a
chapter has more unmarked sentences than before (``book/tools/claims.py``),
and where a finished sentence compares two numbers that read alike or gives a
size that reads as zero.
"""

import re
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.util import logging

log = logging.getLogger(__name__)
NUMBER = r"[-−]?\d[\d.,]*\d|[-−]?\d"
ALIKE = re.compile(
    rf"(?<![\w.])({NUMBER})(\s?%)?\s(?:against|to|instead of|versus|over)\s"
    rf"({NUMBER})(?![\w.,]*\d)"
)
# A size that is none: "at most 0.00", "0 % smaller", "by 0.0".
NONE = re.compile(
    r"\b(?:at most|at least|only|by|about|up to|pays?|differs? by)\s"
    r"[-−]?0(?:\.0+)?(?!\d|[.,]\d)(?:\s?%)?"
)


def tools():
    """The tool that reads the chapters; lies beside, not in a package."""
    import sys

    folder = str(Path(__file__).parents[2] / "tools")
    if folder not in sys.path:
        sys.path.append(folder)
    import claims

    return claims


def anchor(name: str) -> str:
    return "claim-" + re.sub(r"[^\w-]+", "-", name.replace("*", "all"))


def tick(page: str, name: str, first: bool = True) -> str:
    """The sign behind a sentence; the first of a claim is its place."""
    here = escape(anchor(name))
    place = f'id="{here}" ' if first else ""
    return (
        f'<a class="dldna-claim" {place}'
        f'href="../book/claims.html#{page}-{here}" '
        f'aria-label="asserted: {escape(name)}">✓</a>'
    )


def signs(text: str, page: str, seen: set[str] | None = None) -> str:
    """Markdown with its marks turned into what a page shows.

    Args:
        seen: the claims that have a place on this page already.
    """
    seen = set() if seen is None else seen

    def turned(mark: re.Match) -> str:
        if mark[1] == "given":
            return ""
        ticks = ""
        for name in re.split(r"\s*,\s*", mark[2]):
            ticks += tick(page, name, first=name not in seen)
            seen.add(name)
        return ticks

    return re.sub(r"\s*" + tools().MARK.pattern, turned, text)


def on_source(app, docname, source) -> None:
    """In a notebook's JSON a mark is the same text, but for its quotes."""
    if docname.startswith("notebooks/"):
        import json

        notebook, seen = json.loads(source[0]), set()
        for cell in notebook["cells"]:
            if cell["cell_type"] == "markdown":
                text = "".join(cell["source"])
                page = docname.partition("/")[2]
                cell["source"] = signs(text, page, seen)
        source[0] = json.dumps(notebook)


def on_doctree(app, doctree) -> None:
    """Give each cell that asserts a claim a place to link to."""
    for cell in list(doctree.findall(nodes.container)):
        if cell.get("nb_element") != "cell_code":
            continue
        names = re.findall(r"\bclaim\(\s*f?[\"']([^\"']+)", cell.astext())
        names = [re.sub(r"\{[^}]*\}", "*", name) for name in names]
        ids = [f"cell-{anchor(name)}" for name in dict.fromkeys(names)]
        if ids:
            at = cell.parent.index(cell)
            cell.parent.insert(at, nodes.target("", "", ids=ids))


class Claims(Directive):
    """``{claims}``: all claims of all chapters, with links both ways."""

    def run(self):
        tool = tools()
        env = self.state.document.settings.env
        found, ledgers = [], {}
        for path in tool.paths():
            env.note_dependency(str(path))
            here = ledgers[path.stem] = tool.read(path)
            rows = [
                (name, sentence)
                for sentence in here.sentences
                for name in sentence.claims
                if sentence.beside != "teacher"  # not on a student's page
            ]
            if rows:
                found += chapter(path.stem, rows, here.asserted)
        total = sum(len(here.asserted) for here in ledgers.values())
        counts = [here.counts() for here in ledgers.values()]
        owed, answers = (
            sum(c[kind] for c in counts) for kind in ("unmarked", "in answers")
        )
        head = nodes.paragraph(
            "",
            f"{total} claims so far. {owed} sentences that compare still "
            f"carry no sign, and {answers} in solutions and notes.",
        )
        return [head, tally(ledgers), *found]


def tally(ledgers: dict) -> nodes.Node:
    """A row for each chapter: its claims, and its exceptions by kind."""
    kinds = list(next(iter(ledgers.values())).exceptions())
    rows = [["chapter", "claims", *kinds]]
    for page, here in ledgers.items():
        counts = [len(here.asserted), *here.exceptions().values()]
        rows.append([page.replace("_", " "), *map(str, counts)])
    head, *body = (
        nodes.row(
            "", *(nodes.entry("", nodes.paragraph("", cell)) for cell in row)
        )
        for row in rows
    )
    columns = (nodes.colspec(colwidth=1) for _ in rows[0])
    group = nodes.tgroup(
        "", *columns, nodes.thead("", head), nodes.tbody("", *body)
    )
    group["cols"] = len(rows[0])
    return nodes.table("", group)


def chapter(page: str, rows: list, asserted: dict) -> list[nodes.Node]:
    """The claims of one chapter: a title, and an item for each."""
    listed, seen = nodes.bullet_list(), set()
    for name, sentence in rows:
        here, text = anchor(name), readable(sentence.text)
        line = nodes.paragraph("", f"{text} ")
        if here not in seen:
            line["ids"] = [f"{page}-{here}"]
            seen.add(here)
        to = f"../notebooks/{page}.html#"
        line += nodes.reference("", "sentence", refuri=f"{to}{here}")
        line += nodes.Text(", ")
        line += nodes.reference("", "cell", refuri=f"{to}cell-{here}")
        line += nodes.Text(f" ({name})")
        listed += nodes.list_item("", line)
    return [nodes.rubric("", page.replace("_", " ")), listed]


def readable(text: str) -> str:
    """A sentence without Markdown's own signs."""
    text = re.sub(r"⟨[^⟩]*⟩", "#", text).replace("∎", "…")
    return re.sub(r"[*‹›]|\[(?:ref|cite)\]", "", text).strip()


def check_debts(app) -> None:
    """A warning for each, which stops the build."""
    for problem in tools().problems():
        log.warning(problem, type="dldna", subtype="claims")


def empty(text: str) -> list[str]:
    """What in a finished sentence says nothing."""
    text = " ".join(text.split())
    found = [m[0] for m in ALIKE.finditer(text) if m[1] == m[3]]
    return found + [m[0] for m in NONE.finditer(text)]


def check_words(app, doctree, docname) -> None:
    """Compared numbers that read alike, and sizes that read as zero."""
    if not docname.startswith("notebooks/"):
        return
    for block in doctree.findall(nodes.paragraph):
        for what in empty(block.astext()):
            log.warning(
                f"{docname}: {what!r} says nothing, in: {block.astext()}",
                type="dldna",
                subtype="claims",
            )


def setup(app) -> None:
    app.add_directive("claims", Claims)
    app.connect("builder-inited", check_debts)
    app.connect("source-read", on_source, priority=400)
    app.connect("doctree-read", on_doctree, priority=400)
    app.connect("doctree-resolved", check_words)
