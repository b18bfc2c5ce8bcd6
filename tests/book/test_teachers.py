"""The teacher's page: plans that can be taught, answers that are right."""

import json
import math
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import integrate, stats

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "book" / "teachers.md").read_text(encoding="utf-8")
sys.path.insert(0, str(ROOT / "book" / "tools"))
import notebooks  # noqa: E402

NUMBER = {stem: k for k, stem in enumerate(notebooks.chapters(), 1)}
CHAPTERS = [ROOT / "notebooks" / f"{stem}.ipynb" for stem in NUMBER]


def numbers(text):
    return [int(n) for n in re.findall(r"\d+", text)]


def needs():
    rows = re.findall(r"^\| (\d+) [A-Z][^|]*\|([^|]*)\|", PAGE, re.MULTILINE)
    return {int(n): set(numbers(before)) for n, before in rows}


def plans():
    """Weeks of each plan: the chapters of each."""
    for title, body in re.findall(
        r"^### (\w+ weeks): [^\n]*\n(.*?)(?=^##)", PAGE, re.M | re.S
    ):
        weeks = re.findall(r"^\| (\d+) \|([^|]*)\|", body, re.MULTILINE)
        yield title, [(int(n), numbers(text)) for n, text in weeks]


def told(path):
    """The chapters that a chapter says it needs."""
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"][:8]:
        text = "".join(cell["source"])
        if "You need" in text:
            first = re.split(r"[.;]\s", text[text.index("You need") :])[0]
            named = re.findall(r"{doc}`(?:[^`<]*<)?(\w+)", first)
            return {NUMBER[stem] for stem in named if stem in NUMBER}
    return set()


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda p: p.stem)
def test_the_page_names_what_a_chapter_says_it_needs(path):
    assert told(path) <= needs()[NUMBER[path.stem]]


def test_the_page_names_each_chapter_once():
    assert sorted(needs()) == [NUMBER[path.stem] for path in CHAPTERS]


@pytest.mark.parametrize(
    ("title", "weeks"), list(plans()), ids=lambda x: str(x)[:8]
)
def test_a_plan_teaches_first_what_is_needed_later(title, weeks):
    length = {"Four": 4, "Eight": 8, "Fourteen": 14}[title.split()[0]]
    assert [week for week, _ in weeks] == list(range(1, length + 1))
    known = set()
    for week, chapters in weeks:
        for chapter in chapters:
            assert needs()[chapter] <= known, (title, week, chapter)
            known.add(chapter)


def test_there_are_three_plans():
    assert len(list(plans())) == 3


# --- answers of the examination ----------------------------------------


def answer(number):
    body = PAGE[PAGE.index("```{teacher}") :]
    found = re.search(rf"^{number}\. (.*?)(?=^\d+\. |^```)", body, re.M | re.S)
    return " ".join(found[1].split())


def best_of(k):
    """The mean of the largest of k standard normal numbers."""
    norm = stats.norm
    density = lambda x: x * k * norm.pdf(x) * norm.cdf(x) ** (k - 1)  # noqa: E731
    return integrate.quad(density, -9, 9)[0]


def depth():
    return rf"{2.0**-20 * 1e7:.1f}\cdot 10^{{-7}}$"


def first_steps():
    steps = []
    for gradient in (1e-3, 1.0):
        w = torch.nn.Parameter(torch.zeros((), dtype=torch.float64))
        optimizer = torch.optim.Adam([w], lr=0.01)
        w.grad = torch.tensor(gradient, dtype=torch.float64)
        optimizer.step()
        steps.append(-w.item())
    np.testing.assert_allclose(steps, 0.01, rtol=2e-5)
    return "0.01 both"


def one_step():
    w = torch.tensor(1.0, requires_grad=True)
    loss = (2 * w - 3) ** 2 / 2
    loss.backward()
    new = 1 - 0.1 * w.grad.item()
    return (
        f"Gradient ${w.grad.item():g}$; $w =$ {new:g}; loss "
        f"{loss.item():g}, then {(2 * new - 3) ** 2 / 2:.2g}."
    )


def walk():
    share = 6 / math.pi**2 * (1 + 1 / 4)
    return f"holds {100 * share:.0f} % in two"


EXPECTED = {
    1: depth,
    2: lambda: f"$2/400 =$ {2 / 400} and $2/100 =$ {2 / 100};",
    3: one_step,
    4: lambda: (
        f"{2 / 50:g} and {2 * 1.9 / 50:g}; effective {2 / 50:g} and "
        f"{2 * 1.9 / 50 / (1 - 0.9):.2g}."
    ),
    5: first_steps,
    7: lambda: (
        f"{best_of(8) - best_of(2):.2f} standard deviations: the best of "
        f"eight is at {best_of(8):.2f}, of two at {best_of(2):.2f}."
    ),
    10: lambda: f"{0.9 - (0.2 + 0.4) / 2:.1f} above the straight line",
    11: lambda: f"{math.ceil(math.log(1e-4) / math.log(0.8))}.",
    12: walk,
    13: lambda: (
        rf"$2/\eta =$ {2 / 0.02:g}; with momentum $2(1+\mu)/\eta =$ "
        rf"{2 * 1.9 / 0.02:g}."
    ),
}


@pytest.mark.parametrize("number", EXPECTED)
def test_an_answer_of_the_examination_is_right(number):
    assert EXPECTED[number]() in answer(number)


def test_each_question_has_an_answer():
    asked = PAGE[
        PAGE.index("## Questions for an") : PAGE.index("```{teacher}")
    ]
    count = len(re.findall(r"^\d+\. ", asked, re.MULTILINE))
    assert count == 13
    assert all(answer(n) for n in range(1, count + 1))
