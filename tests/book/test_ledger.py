"""The tool that looks for sentences which nothing holds."""

import json
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "book" / "tools"))
import claims  # noqa: E402
from sentences import split  # noqa: E402
from words import compares, degrees, typed  # noqa: E402

# Sentences that once stood in a chapter, or nearly so, and that no cell
# held. Each says more than was measured.
COMPARED = """
Only a narrow band between the two can be trained at all.
With twenty layers chapter 1 leaves no such way out.
With normalization and a tuned rate nearly any start will do.
For tanh take orthogonal or LeCun: they are the safest.
Turned by 45 degrees, every rule needs as many steps as before.
SGD has to have its rate within a factor of three.
So most of the wall around the plain network is this growth.
Batch normalization at each point would take it out again.
The way forward may well lie in the small remainder.
Training is straighter than a walk, which is why its plane explains a little.
It is another network, not a blend.
Such networks were joined by a curve without any pass.
A smaller rate should let them settle.
In our trials it did not.
The small batches end on the flatter ground.
At each width the lowest loss is no worse than muP's.
At each rate SAM ends flatter.
The gradient grows for two of them.
The number of outliers never exceeds it by much.
A small barrier is not none.
The shadow is mostly lower.
On 20 windows the parabola fits better.
The ratios are hardly ever below it.
A plan that comes down forgives a rate that starts too high.
The final losses differ by at most ⟨gap⟩.
The mean was the less sharp of the two.
The three rates end at three different sharpnesses.
They cannot be told apart.
Their ranges overlap.
A large batch trained for longer reverses the order.
Momentum tolerates it.
These networks fulfil it in every layer.
""".strip().splitlines()
TYPED = """
For 62 million weights one tensor is large.
One tensor of it is 237 MiB.
VGG has five times as many layers in a row.
We leave out their first tenth.
The rate of the published chapter, ten schemes.
It stays at chance, with an error near 90 %.
The threshold is 0.056.
The network has 1,194,084 weights with the other head.
Five layers cost a factor of 8,000.
It was the case in little more than half of the pairs.
""".strip().splitlines()
PLAIN = """
We look at the picture.
The gradient points uphill.
This chapter derives the two recursions.
""".strip().splitlines()


@pytest.mark.parametrize("text", COMPARED)
def test_a_sentence_that_compares_needs_a_mark(text):
    [sentence] = split(text)
    assert claims.needs_mark(sentence)
    [marked] = split(f"{text} <!-- claim: it -->")
    assert marked.claims == ["it"]
    assert marked.text == text
    assert not claims.needs_mark(marked)


@pytest.mark.parametrize("text", TYPED)
def test_a_typed_number_is_found(text):
    assert typed(text)
    book = notebook(f"{text} <!-- claim: it -->", "claim('it', 1, '<', 2)")
    assert len(claims.ledger(book).owed["typed"]) == 1
    book = notebook(f"{text} <!-- given: setting -->")
    assert not claims.ledger(book).owed["typed"]


@pytest.mark.parametrize("text", PLAIN)
def test_other_sentences_are_left_alone(text):
    assert not compares(text)
    assert not typed(text)


@pytest.mark.parametrize(
    "text",
    [
        "In {doc}`adaptive` and exercise 5.4 of chapter 5 it is $0.9$.",
        "It is {glue:text}`rate-0.1`, by `x = 3` and {cite}`he2015delving`.",
        "ResNet-50 and VGG-11 of 2015, on CIFAR-10.",
        "See [figure 3](../a/7.html).",
    ],
)
def test_names_and_formulas_are_no_typed_numbers(text):
    assert not typed(next(split(text)).text)


def test_degrees_are_spelled_right():
    for word, more in (
        ("big", {"bigger", "biggest"}), ("early", {"earlier", "earliest"}),
        ("large", {"larger", "largest"}), ("deep", {"deeper", "deepest"}),
        ("flat", {"flatter", "flattest"}), ("steep", {"steeper", "steepest"}),
    ):  # fmt: skip
        assert degrees(word) == more


PROSE = """## A heading that is better

One is ahead, e.g. by {glue:text}`gap` points. Two is
not. <!-- claim: two -->
<!-- given: derived --> Is three better? Four falls {cite}`x`.

- *An item.* It is worse. <!-- claim: a, b -->
- another

| name | better |
|---|---|
| sgd | 3 <!-- claim: row --> |

$$a < b.$$

```{literalinclude} x.py
better
```

```{admonition} In print
:class: warning
They are "the best". So it says.
```
"""


def test_prose_is_parted_into_its_sentences():
    told = list(split(PROSE))
    assert [s.text for s in told] == [
        "One is ahead, e.g. by ⟨gap⟩ points.",
        "Two is not.",
        "Is three better?",
        "Four falls [cite].",
        "*An item.*",
        "It is worse.",
        "another",
        "name | better",
        "sgd | 3",
        "∎",
        'They are "the best".',
        "So it says.",
    ]
    assert told[1].claims == ["two"]
    assert told[1].given == ["derived"]
    assert told[5].claims == ["a", "b"]
    assert told[8].claims == ["row"]


def notebook(prose, *code):
    cells = [{"cell_type": "markdown", "metadata": {}, "source": [prose]}]
    for source in code:
        cells.append({"cell_type": "code", "metadata": {}, "source": [source]})
    return {"cells": cells}


GOOD = "claim('it', 1, '<', 2, margin=0.5)"


@pytest.mark.parametrize(
    ("prose", "code", "words"),
    [
        ("It is less. <!-- claim: other -->", GOOD, "no cell asserts 'other'"),
        ("Nothing here.", GOOD, "no sentence says 'it'"),
        ("A. <!-- claim: it -->", f"{GOOD}\n{GOOD}", "claimed twice"),
        ("A is less. <!-- given: obvious -->", "", "'obvious', not one of"),
        ("A less.\n<!-- given: derived -->", "", "begins a line"),
        ("A.", "claim(name, 1, '<', 2, margin=1)", "name is a text"),
    ],
)
def test_marks_and_claims_belong_together(prose, code, words):
    broken = claims.ledger(notebook(prose, code)).broken
    assert any(words in what for what in broken), broken


def test_claims_of_a_loop_are_marked_with_a_star():
    code = "for k in 'ab':\n    claim(f'x-{k}', 1, '<', 2, margin=0.5)"
    found = claims.ledger(notebook("A. <!-- claim: x-* -->", code))
    assert found.asserted == {"x-*": 1}
    assert not found.broken


@pytest.mark.parametrize(
    ("code", "owed"),
    [
        ("assert a < b", 1),
        ("assert (a < b).all()", 1),
        ("assert a.max() >= b.min() and c == 3", 1),
        ("assert np.median(a, 0) < b[1]", 1),
        ("assert a < 0.9 * b", 0),
        ("assert a < b - 3", 0),
        ("assert a.max() < 0.5", 0),
        ("assert a == b", 0),
        ("assert 1 < a < b", 0),
        ("book.claim('x', a, '<', b)", 1),
        ("book.claim('x', a, '<', b, margin=0.1)", 0),
    ],
)
def test_an_assertion_without_a_margin_is_found(code, owed):
    found = claims.ledger(notebook("A. <!-- claim: x -->", code))
    assert len(found.owed["no margin"]) == owed


def test_answers_are_counted_apart_and_exercises_only_ask():
    book = notebook("It is better. Two of 3 are.")
    for tags, unmarked, answers in (
        ([], 1, 0), (["exercise"], 0, 0), (["solution"], 0, 2),
        (["hide-cell", "teacher"], 0, 2),
    ):  # fmt: skip
        book["cells"][0]["metadata"]["tags"] = tags
        counts = claims.ledger(book).counts()
        assert (counts["unmarked"], counts["in answers"]) == (
            unmarked,
            answers,
        )


def test_a_solution_names_its_claim_or_why_it_needs_none():
    marks = "It is better. <!-- claim: it --> 2 of 3. <!-- given: derived -->"
    book = notebook(marks, GOOD)
    for cell in book["cells"]:
        cell["metadata"]["tags"] = ["solution"]
    found = claims.ledger(book)
    assert not any(found.counts().values())
    assert not found.broken
    assert {s.beside for s in found.sentences} == {"solution"}


def test_exceptions_are_counted_by_why():
    book = notebook(
        "A is a word. <!-- given: definition --> B is one. "
        "<!-- given: definition --> C follows. <!-- given: derived --> "
        "Of 5, D is less. <!-- claim: it --> <!-- given: setting --> "
        "E is less. <!-- claim: it -->",
        GOOD,
    )
    counted = claims.ledger(book).exceptions()
    assert {k: n for k, n in counted.items() if n} == {
        "definition": 2, "derived": 1, "beside a claim": 1
    }  # fmt: skip
    assert set(counted) == {*claims.GIVEN, "beside a claim"}


@pytest.fixture
def one_chapter(tmp_path, monkeypatch):
    monkeypatch.setattr(claims, "NOTEBOOKS", tmp_path)
    monkeypatch.setattr(claims, "BASELINE", tmp_path / "baseline.json")

    def put(*lines):
        path = tmp_path / "01_x.ipynb"
        path.write_text(json.dumps(notebook("\n\n".join(lines))))

    return put


def test_a_chapter_may_owe_less_but_not_more(one_chapter, capsys):
    one_chapter("A is better.", "B is worse.")
    claims.main(["count"])
    assert claims.main(["check"]) == 0
    one_chapter("A is better.", "B is worse.", "C is less.")
    assert claims.main(["check"]) == 1
    assert "3 unmarked, where at most 2" in capsys.readouterr().out
    claims.main(["lower"])  # does not raise what may be owed
    assert claims.baseline()["01_x"]["unmarked"] == 2
    one_chapter("A is better.")
    claims.main(["lower"])
    assert claims.baseline()["01_x"]["unmarked"] == 1
    one_chapter("A is better.", "B is worse.")
    assert claims.main(["check"]) == 1


def test_the_chapters_owe_no_more_than_before():
    assert claims.problems() == []


def test_every_chapter_is_counted():
    assert set(claims.baseline()) == {path.stem for path in claims.paths()}
