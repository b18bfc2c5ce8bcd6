"""What the boxes "In print" say of other texts is kept as data, and held.

``book/print.json`` has each statement with its document, its place, what it
says in our words, the words that are quoted and its numbers. A box names the
statements it argues with, ``<!-- print: NAME, NAME -->``, and cites their
documents. What it quotes and what numbers it gives of them must be there.
"""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRINT = json.loads((ROOT / "book" / "print.json").read_text("utf-8"))
STATEMENTS = PRINT["statements"]
BOX = re.compile(r"```\{admonition\} In print\n(.*?)```", re.DOTALL)
MARK = re.compile(r"<!--\s*print:\s*([^>]*?)\s*-->")
# Numbers of ours in a box, which a definition or a derivation gives.
OURS = {
    "initialization": {"0.81"},
    "starts": {"2019"},
    "two_weights": {"100"},  # one over the usual decay
    "modern": {"0.4"},  # the rate of the check
    "paths": {"200"},  # checkpoints, in an example
}


def boxes():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = json.loads(path.read_text("utf-8"))["cells"]
        for number, cell in enumerate(cells):
            if cell["cell_type"] == "markdown":
                for k, text in enumerate(BOX.findall("".join(cell["source"]))):
                    yield pytest.param(
                        path.stem, text, id=f"{path.stem}-{number}-{k}"
                    )


def problems(page: str, text: str) -> list[str]:
    """What a box says that is not held, in plain words."""
    found = MARK.search(text)
    if found is None:
        return ["it names no statement: <!-- print: NAME -->"]
    names = re.split(r"\s*,\s*", found[1])
    unknown = [name for name in names if name not in STATEMENTS]
    if unknown:
        return [f"book/print.json has no {unknown[0]!r}"]
    mine = [STATEMENTS[name] for name in names]
    wrong = [
        f"it does not cite {statement['document']}"
        for statement in mine
        if f"`{statement['document']}`" not in text
    ]
    body = " ".join(MARK.sub("", text).split())
    quotes = {quote for statement in mine for quote in statement["quotes"]}
    wrong += [
        f'"{said}" is quoted, but is not in the data'
        for said in re.findall(r'"([^"]+)"', body)
        if said not in quotes
    ]
    numbers = {float(n) for statement in mine for n in statement["numbers"]}
    wrong += [
        f"{typed} is a number of none of its statements"
        for typed in typed_numbers(body)
        if float(typed) not in numbers and typed not in OURS.get(page, ())
    ]
    return wrong


def typed_numbers(body: str) -> list[str]:
    """Digits outside formulas, roles, code, quotations and names."""
    body = re.sub(r'\$[^$]*\$|\{[\w:]+\}`[^`]*`|`[^`]*`|"[^"]*"', " ", body)
    body = re.sub(
        r"\b(?:chapter|exercise|level|ICLR|PyHessian|P|December|Homework|Spring)\s?[\d.]+",
        " ",
        body,
        flags=re.IGNORECASE,
    )
    return re.findall(r"(?<![\w.])\d+(?:\.\d+)?", body)


@pytest.mark.parametrize(("page", "text"), list(boxes()))
def test_a_box_says_of_a_text_what_the_text_says(page, text):
    assert problems(page, text) == []


SAID = "{cite}`orrhede2024visualizing` <!-- print: adamw-nine-of-ten -->"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("It is best.", "names no statement"),
        ("<!-- print: nothing -->", "has no 'nothing'"),
        ("<!-- print: adamw-nine-of-ten -->", "does not cite orrhede"),
        (f'{SAID} "best in nine of ten figures"', "is quoted"),
        (f"{SAID} It is best in 8 of 10 figures.", "8 is a number of none"),
    ],
)
def test_a_box_that_says_something_else_is_found(text, words):
    assert any(words in what for what in problems("x", text))


def test_a_box_that_keeps_to_its_statement_is_right():
    text = f"{SAID} Close to the minima in 9 of 10 figures; chapter 5, $3$."
    assert problems("x", text) == []


def test_every_statement_has_a_document_a_place_and_words():
    for name, statement in STATEMENTS.items():
        assert statement["document"] in PRINT["documents"], name
        assert statement["place"], name
        assert statement["says"].endswith("."), name
        assert set(statement) == {
            "document", "place", "says", "quotes", "numbers",
        }  # fmt: skip


def test_every_statement_is_argued_with_somewhere():
    text = "".join(
        path.read_text("utf-8")
        for path in (ROOT / "notebooks").glob("*.ipynb")
    )
    named = {n for m in MARK.findall(text) for n in re.split(r"\s*,\s*", m)}
    assert named == set(STATEMENTS)


def test_every_document_has_its_name_in_the_references():
    text = (ROOT / "book" / "references.bib").read_text("utf-8")
    for key, title in PRINT["documents"].items():
        [entry] = re.findall(rf"@misc\{{{key},\n(.*?)\n\}}", text, re.DOTALL)
        assert title.lower() in entry.lower()


def test_no_box_speaks_of_an_unnamed_text():
    for box in boxes():
        body = MARK.sub("", box.values[1])
        assert re.search(r"\{cite\}`[\w-]+`", body), box.id


# What the tables of a document say can be counted from its own numbers.


def test_the_table_of_results_has_one_clear_win():
    rows = {  # Entropy-SGD and SGD, mean and error, lower is better
        "mnistfc": (1.37, 0.03, 1.39, 0.03),
        "LeNet": (0.50, 0.01, 0.51, 0.01),
        "All-CNN-BN": (7.81, 0.09, 7.71, 0.19),
        "char-LSTM": (1.217, 0.005, 1.226, 0.010),
    }
    held = set(STATEMENTS["entropy-sgd-table"]["numbers"])
    for a, da, b, db in rows.values():
        assert {a, b} <= held
        assert abs(a - b) < (da**2 + db**2) ** 0.5


def test_the_printed_betas_are_ranked_as_said():
    held = STATEMENTS["best-betas"]
    last = {"0.99": 0.0743, "0.6": 0.2090, "0.9": 0.2242}
    assert sorted(last, key=last.get) == ["0.99", "0.6", "0.9"]
    assert set(last.values()) <= set(held["numbers"])
    assert 0.0027 in held["numbers"]
    assert 0.0028 in held["numbers"]
