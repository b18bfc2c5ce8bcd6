"""Each letter of a chapter's formulas stands on the page of notation."""

import functools
import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "book" / "notation.md"
CHAPTERS = re.findall(
    r"notebooks/(\w+)\.ipynb", (ROOT / "_toc.yml").read_text()
)
# Names that only look like letters: words, distributions' names, units.
WORDS = r"\\(?:text|mathrm|operatorname|label|begin|end)\s*\{[^}]*\}"
GREEK = re.findall(
    r"\w+",
    "alpha beta gamma delta epsilon varepsilon zeta eta theta kappa lambda "
    "mu nu xi pi rho sigma tau phi varphi chi psi omega Gamma Delta Theta "
    "Lambda Sigma Phi Psi Omega ell",
)
# An exponential, a differential, a transpose and a derivative's sign.
SIGNS = r"(?<![a-zA-Z])e\^|\\,\s*d(?=[a-z])|\^\{?T(?![a-z])"


@functools.cache
def prose(chapter):
    cells = json.loads((ROOT / f"notebooks/{chapter}.ipynb").read_text())
    text = "\n".join(
        "".join(cell["source"])
        for cell in cells["cells"]
        if cell["cell_type"] == "markdown"
    )
    return re.sub(r"```.*?```|`[^`]*`", "", text, flags=re.DOTALL)


def formulas(text):
    shown = re.findall(r"\$\$(.*?)\$\$", text, re.DOTALL)
    rest = re.sub(r"\$\$.*?\$\$", "", text, flags=re.DOTALL)
    return shown + re.findall(r"(?<!\\)\$([^$]+)\$", rest)


def letters(text):
    """Latin letters and names of Greek ones, of all formulas of a text."""
    found = set()
    for formula in formulas(text):
        plain = re.sub(SIGNS, " ", re.sub(WORDS, " ", formula))
        commands = re.findall(r"\\([a-zA-Z]+)", plain)
        found |= {name for name in commands if name in GREEK}
        found |= set(
            re.findall("[a-zA-Z]", re.sub(r"\\[a-zA-Z]+", " ", plain))
        )
    return found


def of_all():
    table = PAGE.read_text().split("## Symbols")[1].split("### ")[0]
    return letters("\n".join(row.split("|")[1] for row in rows(table)))


def rows(table):
    return [line for line in table.splitlines() if line.startswith("| $")]


def of_one():
    """Chapter and the letters that it defines for itself."""
    table = PAGE.read_text().split("### ")[1].split("## Glossary")[0]
    found = re.findall(r"^\| \[\]\(\S*/(\w+)\.ipynb\) \|(.*)\|$", table, re.M)
    return {name: letters(cell) for name, cell in found}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_a_letter_of_a_chapter_stands_on_the_page_of_notation(chapter):
    own = of_one().get(chapter, set())
    used = letters(prose(chapter))
    assert used <= of_all() | own, sorted(used - of_all() - own)
    assert own <= used, f"no longer used: {sorted(own - used)}"


def test_a_formula_uses_no_macro_of_ours():
    """Jupyter and Colab know those of LaTeX alone."""
    macros = re.findall(
        r"^ {10}(\w+): '", (ROOT / "_config.yml").read_text(), re.M
    )
    assert "Var" in macros
    for chapter in CHAPTERS:
        told = re.findall(r"\\([A-Za-z]+)", "".join(formulas(prose(chapter))))
        assert not set(told) & set(macros), chapter


def test_letters_are_found():
    text = r"$\operatorname{Var}(W)$ $$e^{-x} \int f\, dx = \lambda_1^{T}$$"
    assert letters(text) == {"W", "x", "f", "lambda"}
