"""Begin an optimizer, a direction or a chapter: its files, rows, test.

    python book/tools/new.py optimizer CamelName
    python book/tools/new.py direction some-name
    python book/tools/new.py chapter some_topic

What is written runs and is tested; it is then made into what is wanted. An
optimizer begins as gradient descent, with a test against a plain loop; a
direction as the weights themselves, with a test against weights that are
written out; a chapter with its question and one exercise. Nothing that
exists is written over.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

RULE = '''"""{Name}: one line that says what it does."""

from torch import Tensor

from dldna.optim.ops import Hyper, State, axpy
from dldna.optim.rule import register, zeros
from dldna.optim.shell import RuleOptimizer


def {name}(
    w: Tensor, g: Tensor, state: State, t: int, *, lr: Hyper = 0.1
) -> tuple[Tensor, State]:
    r"""One line; then the equation, with the letters of the code.

    .. math:: w_t = w_{{t-1}} - \\eta\\, g_t
    """
    return axpy(-lr, g, w), {{}}


class {Name}(RuleOptimizer):
    r"""{Name}. Rule: :func:`{name}`.

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\\eta`.
        maximize: climb instead of descending.

    Example:
        >>> import torch
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> w.grad = torch.tensor([2.0])
        >>> {Name}([w], lr=0.25).step()
        >>> w.item()
        0.5

    References:
        Authors, year, where, arXiv number.
    """

    rule = register({name}, zeros())
'''

ORACLE = '''"""{Name} beside a plain loop in float64."""

import torch

from dldna import optim


def plain(w, gradient, lr, steps):
    """The equations of the paper, one number at a time."""
    for _ in range(steps):
        w = w - lr * gradient(w)
    return w


def test_{name}_equals_the_plain_loop():
    w = torch.nn.Parameter(torch.tensor([1.0, -2.0], dtype=torch.float64))
    optimizer = optim.{Name}([w], lr=0.1)
    wanted = [plain(x, lambda v: v**3, 0.1, 5) for x in w.tolist()]
    for _ in range(5):
        optimizer.zero_grad()
        (w**4 / 4).sum().backward()
        optimizer.step()
    torch.testing.assert_close(
        w.detach(), torch.tensor(wanted, dtype=torch.float64)
    )
'''

WAY = '''"""{Title}: one line that says what it is."""

from dldna import params
from dldna.landscape.space.plane import Direction


def {name}(given, k: int) -> list[Direction]:
    """The weights themselves: coordinate 1 is twice the network."""
    if k != 1:
        raise ValueError(
            "there is one such direction; for a plane name a second way "
            "too, as in directions=('{key}', 'random')"
        )
    return [
        Direction(
            params.copy(given.origin),
            "{title}",
            "the weights themselves, not rescaled",
        )
    ]
'''

WRITTEN = '''"""The direction {key} beside weights that are written out."""

import copy

import numpy as np
import torch
from torch import nn

from dldna.landscape import line


def test_{name}_equals_written_weights():
    torch.manual_seed(0)
    net = nn.Linear(3, 2).double()
    x = torch.randn(7, 3, dtype=torch.float64)
    y = torch.randn(7, 2, dtype=torch.float64)
    found = line(net, "{key}", nn.MSELoss(), (x, y), alphas=[0, 0.5, 1])
    for alpha, loss in zip(found.alphas, found.losses, strict=True):
        twin = copy.deepcopy(net)
        with torch.no_grad():
            for p in twin.parameters():
                p.mul_(1 + alpha)
        wanted = float(nn.functional.mse_loss(twin(x), y).detach())
        np.testing.assert_allclose(loss, wanted, rtol=1e-12)
'''

ANSWERS = '''"""{Title}."""

from dldna.exercises.answer_kinds import Number
from dldna.exercises.questions import Option, Question

EXERCISES = {{
    "{name}-ex1": Number(1.0, mistakes={{2.0: "what went wrong."}}),
}}

QUIZZES = {{
    "{name}-q1": Question(
        "The question?",
        (
            Option("One answer", "Why it is wrong."),
            Option("Another", "Why it is right.", right=True),
        ),
    ),
}}
'''


def make(path: Path, text: str) -> None:
    if path.exists():
        raise SystemExit(f"{path.relative_to(ROOT)} is there already")
    path.write_text(text, encoding="utf-8")
    print(f"wrote {path.relative_to(ROOT)}")


def insert(path: Path, row: str, rows: str) -> None:
    """Put a line behind the last of its like that sorts before it."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    like = [k for k, line in enumerate(lines) if re.match(rows, line)]
    if not like:
        raise SystemExit(f"{path.relative_to(ROOT)} has no line like {row!r}")
    before = [k for k in like if lines[k].strip() < row.strip()]
    at = before[-1] if before else like[0] - 1
    while lines[at].rstrip().endswith("("):  # a line that goes on
        at += next(
            k for k, line in enumerate(lines[at:]) if line.startswith(")")
        )
    lines.insert(at + 1, row)
    path.write_text("".join(lines), encoding="utf-8")
    print(f"a line in {path.relative_to(ROOT)}")


def append(path: Path, row: str, rows: str) -> None:
    """Put a line behind the last of its like, and what goes on from it."""
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    like = [k for k, line in enumerate(lines) if re.match(rows, line)]
    if not like:
        raise SystemExit(f"{path.relative_to(ROOT)} has no line like {row!r}")
    at = like[-1] + 1
    while row.startswith("-") and lines[at].startswith("  "):
        at += 1
    lines.insert(at, row)
    path.write_text("".join(lines), encoding="utf-8")
    print(f"a line in {path.relative_to(ROOT)}")


def optimizer(name: str) -> None:
    if not re.fullmatch(r"[A-Z][a-z]\w*", name):
        raise SystemExit(f"{name!r}: a class's name begins 'Aa'")
    rule = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()
    room = ROOT / "dldna" / "optim"
    names = {"Name": name, "name": rule}
    make(room / f"{rule}.py", RULE.format(**names))
    make(ROOT / "tests" / "optim" / f"test_{rule}.py", ORACLE.format(**names))
    init = room / "__init__.py"
    insert(
        init,
        f"from dldna.optim.{rule} import {name}, {rule}\n",
        r"from dldna\.optim\.",
    )
    insert(init, f'    "{name}",\n', r'    "[A-Z][A-Za-z]*[a-z]\w*",')
    insert(init, f'    "{rule}",\n', r'    "[a-z]\w*",')


def direction(key: str) -> None:
    if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", key):
        raise SystemExit(f"{key!r}: a direction is named 'some-name'")
    name = key.replace("-", "_")
    title = key.replace("-", " ")
    room = ROOT / "dldna" / "landscape" / "space"
    words = {"key": key, "name": name, "title": title,
             "Title": title.capitalize()}  # fmt: skip
    make(room / f"{name}_direction.py", WAY.format(**words))
    make(
        ROOT / "tests" / "landscape" / f"test_{name}_direction.py",
        WRITTEN.format(**words),
    )
    table = room / "named.py"
    insert(
        table,
        f"from dldna.landscape.space.{name}_direction import {name}\n",
        r"from dldna\.",
    )
    append(table, f'    "{key}": {name},\n', r'    "[a-z-]+": \w+,')
    append(
        table, f'- "{key}": one line that says what it is.\n', r'- "[a-z-]+"'
    )


def chapter(name: str) -> None:
    if not re.fullmatch(r"[a-z][a-z_]*", name):
        raise SystemExit(f"{name!r}: a chapter is named 'some_topic'")
    title = name.replace("_", " ").capitalize()
    sys.path.insert(0, str(Path(__file__).parent))
    import notebooks

    texts = [
        ("markdown", f"# {title}\n\nThe question.", []),
        ("code", notebooks.SETUP, []),
        ("markdown", "## What could mislead\n\nHow the picture deceives.", []),
        ("markdown", "### Exercise 1: Its title\n\nThe task.",
         ["exercise"]),
        ("code", "from dldna.exercises import check\n\nanswer = ...\n"
         f'check("{name}-ex1", answer)', []),
        ("markdown", "The solution.", ["solution"]),
        ("code", 'dldna.book.colophon("digits", seed=0)', ["remove-input"]),
    ]  # fmt: skip
    cells = []
    for kind, text, tags in texts:
        cell = {"cell_type": kind, "id": f"cell-{len(cells):02d}",
                "metadata": {"tags": tags} if tags else {},
                "source": text.splitlines(keepends=True)}  # fmt: skip
        if kind == "code":
            cell |= {"outputs": [], "execution_count": None}
        cells.append(cell)
    cells[1]["metadata"] = dict(notebooks.SETUP_METADATA)
    whole = {
        "cells": cells,
        "metadata": {"kernelspec": notebooks.KERNEL},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    text = json.dumps(whole, indent=1, ensure_ascii=False, sort_keys=True)
    make(ROOT / "notebooks" / f"{name}.ipynb", text + "\n")
    make(ROOT / "dldna" / "exercises" / f"{name}.py",
         ANSWERS.format(name=name, Title=title))  # fmt: skip
    toc = ROOT / "_toc.yml"
    last = list(notebooks.chapters())[-1]
    row = rf"( +- file: notebooks/){last}\.ipynb\n( +title: ).*\n"
    found = re.search(row, toc.read_text(encoding="utf-8"))
    new = f"{found[0]}{found[1]}{name}.ipynb\n{found[2]}{title}\n"
    text = toc.read_text(encoding="utf-8").replace(found[0], new)
    toc.write_text(text, encoding="utf-8")
    print("two lines in _toc.yml")


KINDS = {"optimizer": optimizer, "direction": direction, "chapter": chapter}

if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in KINDS:
        raise SystemExit(__doc__)
    KINDS[sys.argv[1]](sys.argv[2])
