"""Expressions are arithmetic on names: read, bounded, never run.

Malformed text is fuzzed in tests/ground/test_graph.py; here are trees of
which the meaning is known, and text that wants to be Python.
"""

import ast
import builtins
import inspect
import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from dldna import graph
from dldna.graph import chain_rule

NAMES = ("xa", "xb", "ab", "cd", "lambda", "import", "print", "__class__")
VALUES = {name: float(i + 2) for i, name in enumerate(NAMES)}


def _joined(parts, sign):
    return (
        f"({sign.join(text for text, _ in parts)})",
        sign.join(f"({value})" for _, value in parts),
    )


LEAVES = st.one_of(
    st.sampled_from(NAMES).map(lambda n: (n, str(VALUES[n]))),
    st.integers(0, 99).map(lambda n: (str(n), str(n))),
    st.integers(0, 99).map(lambda n: (f"{n}.25", f"{n}.25")),
    st.integers(0, 99).map(lambda n: (f"{n}.", f"{n}.")),
)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.tuples(
            st.lists(inner, min_size=2, max_size=4),
            st.sampled_from(["+", "-", "*", " * ", "\t+\n"]),
        ).map(lambda pair: _joined(*pair)),
        inner.map(lambda p: (f"-{p[0]}", f"-({p[1]})")),
    ),
    max_leaves=12,
)


def meaning(text):
    """The value of arithmetic, by Python's own grammar."""
    return float(eval(f"({text})", {"__builtins__": {}}))


@given(TREES)
@settings(max_examples=150)
def test_an_expression_means_what_it_says(tree):
    text, plain = tree
    try:
        _, found = graph.parse(f"xw = {text}")
    except graph.ExpressionError as error:
        assert "nested deeper" in str(error)
        return
    known = {k: torch.tensor(v, dtype=torch.float64)
             for k, v in VALUES.items()}  # fmt: skip
    got = float(chain_rule.value(found, known))
    assert got == pytest.approx(meaning(plain), rel=1e-9, abs=1e-9)


PYTHON = [
    "xw = __import__('os').system('touch boom')",
    "xw = ().__class__.__bases__[0]",
    "xw = [x for x in xa]",
    "xw = xa.__class__",
    "xw = f'{xa}'",
    "xw = xa if xa else xb",
    "xw = open(xa)",
    "xw = print(xa)",
    "xw = lambda: xa",
    "xw = xa ** 9 ** 9 ** 9",
    "xw = xa // xb",
    "xw = xa / xb",
    "xw = xa @ xb",
    "xw = xa; import os",
    "xw = xa\nimport os",
    "xw := xa",
    "xw = xa == xb",
    "xw = xa, xb",
    "xw = 1e999",
    "xw = 0x10",
    "xw = 1_000",
    "xw = {xa}",
    "xw = `xa`",
    "xw = xa & xb",
    "xw = \\xa",
    "xw = xa # remark",
    "xw = 𝐱𝐚",
    "xw = ｘａ",
    "xw = ｘ",
    "xw = é",
    "xw = xa\u202e",
    "xw = \u0660",
    "",
    "=",
    "xw",
    "xw =",
]


@pytest.mark.parametrize("text", PYTHON)
def test_python_is_refused(text, monkeypatch):
    for name in ("eval", "exec", "compile", "__import__", "open"):
        monkeypatch.setattr(
            builtins, name, _refuse if name != "__import__" else _watched
        )
    with pytest.raises(graph.ExpressionError):
        graph.parse(text)


def _refuse(*_, **__):
    raise AssertionError("something was run")


_import = builtins.__import__


def _watched(name, *args, **kwargs):
    assert name not in ("os", "subprocess"), "something was run"
    return _import(name, *args, **kwargs)


def test_the_module_has_no_way_to_run_text():
    tree = ast.parse(inspect.getsource(graph))
    used = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    assert not used & {"eval", "exec", "compile", "getattr", "__import__"}


BIG = {
    "deep brackets": "(" * 9000 + "xa" + ")" * 900,
    "deep signs": "-" * 9000 + "xa",
    "signs and brackets": "-(" * 4000 + "xa" + ")" * 900,
    "long name": "a" * 9990,
    "long number": "9" * 9990,
    "long fraction": "0." + "9" * 9900,
    "long sum": "+".join(["xa"] * 3000),
    "long product": "*".join(["xa"] * 3000),
    "spaces": " " * 9000 + "xa",
    "too long": "xa+" * 50_000 + "xa",
}


@pytest.mark.parametrize("text", BIG.values(), ids=BIG)
def test_no_text_exhausts_the_stack(text):
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(400)
    try:
        graph.parse(f"xw = {text}")
    except graph.ExpressionError as error:
        assert "deep" in str(error) or "longer" in str(error)
    finally:
        sys.setrecursionlimit(limit)


@given(
    st.lists(
        st.tuples(st.integers(0, 8), st.lists(st.integers(0, 8), min_size=1)),
        max_size=12,
    )
)
@settings(max_examples=100)
def test_any_wiring_is_built_or_refused(wires):
    lines = [
        f"x{i} = " + " + ".join(f"w{i}{j}*x{j}" for j in inputs)
        for i, inputs in wires
    ]
    try:
        net = graph.build(lines, activation="tanh")
    except ValueError as error:
        said = ("no expressions", "twice", "read each other")
        assert any(words in str(error) for words in said)
        return
    weights = {k: torch.tensor(0.5) for k in net.weights}
    values = net.forward(weights, {k: torch.ones(2) for k in net.inputs})
    assert set(values) == {*net.inputs, *net.neurons}
    assert len(net.layers()) >= 2
