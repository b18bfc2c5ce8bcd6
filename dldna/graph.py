r"""A network given by expressions, with forward and backward by hand.

A line such as ``xw = ap*xp + aq*xq + ar*xr + as*xs`` is one neuron. Names
that begin with ``x`` are signals: inputs, or values that another line
defines. All other names are weights. Each neuron adds a bias and puts the
sum through an activation:

.. math:: x_w = \sigma(a_p x_p + a_q x_q + a_r x_r + a_s x_s + b_w)

Expressions are read by a parser of our own (no ``eval``): names, numbers,
``+ - *`` and brackets, bounded in length and depth.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dldna import checks

MOST_CHARACTERS = 10_000
MOST_DEPTH = 40
MOST_LINES = 1_000


class ExpressionError(ValueError):
    """An expression that cannot be read; the message points at the place."""

    def __init__(self, text: str, position: int, problem: str):
        start = max(0, position - 40)
        shown = text[start : position + 30].replace("\n", " ")
        super().__init__(
            f"{problem}\n  {shown}\n  {' ' * (position - start)}^"
        )
        self.position = position


@dataclass(frozen=True)
class Term:
    """A part of an expression: a name, a number, or an operation on parts.

    Args:
        kind: "name", "number", "+", "*", or "-" of a single part.
        parts: the operands; empty for names and numbers.
        value: the name, or the number.
    """

    kind: str
    parts: tuple["Term", ...] = ()
    value: str | float = ""


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    position: int


def parse(text: str) -> tuple[str, Term]:
    """Read one line ``name = expression``.

    Args:
        text: the line.

    Returns:
        The name on the left, and the tree of the right.

    Raises:
        ExpressionError: malformed, too long or too deep; a caret points at
            the character.

    Example:
        >>> name, tree = parse("xw = ap*xp - 2*xq")
        >>> name, tree.kind, [part.kind for part in tree.parts]
        ('xw', '+', ['*', '-'])
        >>> parse("xw = ap*")
        Traceback (most recent call last):
        ...
        dldna.graph.ExpressionError: expected a name, a number or '('
          xw = ap*
                  ^
    """
    if not isinstance(text, str):
        raise TypeError(f"an expression is a string, not {text!r}")
    if len(text) > MOST_CHARACTERS:
        raise ExpressionError(
            text, MOST_CHARACTERS, f"longer than {MOST_CHARACTERS} characters"
        )
    return _Parser(text).line()


def _tokens(text: str) -> list[_Token]:
    found, i = [], 0
    while i < len(text):
        c = text[i]
        if c.isspace():
            i += 1
            continue
        j = i + 1
        if c.isascii() and (c.isalpha() or c == "_"):
            while j < len(text) and (
                text[j].isascii() and (text[j].isalnum() or text[j] == "_")
            ):
                j += 1
            found.append(_Token("name", text[i:j], i))
        elif c.isascii() and (c.isdigit() or c == "."):
            while j < len(text) and text[j] in "0123456789.":
                j += 1
            if text[i:j].count(".") > 1 or text[i:j] == ".":
                raise ExpressionError(text, i, "not a number")
            found.append(_Token("number", text[i:j], i))
        elif c in "+-*()=":
            found.append(_Token(c, c, i))
        else:
            raise ExpressionError(text, i, f"{c!r} is not allowed here")
        i = j
    return [*found, _Token("end", "", len(text))]


class _Parser:
    """Recursive descent: sum > product > factor."""

    def __init__(self, text: str):
        self.text, self.tokens = text, _tokens(text)
        self.at, self.depth = 0, 0

    def line(self) -> tuple[str, Term]:
        name = self.take("name", "a name")
        self.take("=", "'='")
        tree = self.sum()
        self.take("end", "an operator or the end of the line")
        return name.text, tree

    def take(self, kind: str, wanted: str) -> _Token:
        token = self.tokens[self.at]
        if token.kind != kind:
            self.fail(f"expected {wanted}")
        self.at += 1
        return token

    def fail(self, problem: str):
        raise ExpressionError(
            self.text, self.tokens[self.at].position, problem
        )

    def next_is(self, kinds: str) -> bool:
        return self.tokens[self.at].kind in tuple(kinds)

    def sum(self) -> Term:
        parts = [self.product()]
        while self.next_is("+-"):
            sign = self.tokens[self.at].kind
            self.at += 1
            part = self.product()
            parts.append(part if sign == "+" else Term("-", (part,)))
        return parts[0] if len(parts) == 1 else Term("+", tuple(parts))

    def product(self) -> Term:
        parts = [self.factor()]
        while self.next_is("*"):
            self.at += 1
            parts.append(self.factor())
        return parts[0] if len(parts) == 1 else Term("*", tuple(parts))

    def factor(self) -> Term:
        token = self.tokens[self.at]
        self.depth += 1
        if self.depth > MOST_DEPTH:
            self.fail(f"nested deeper than {MOST_DEPTH}")
        if token.kind == "-":
            self.at += 1
            tree = Term("-", (self.factor(),))
        elif token.kind == "(":
            self.at += 1
            tree = self.sum()
            self.take(")", "')'")
        elif token.kind == "name":
            self.at += 1
            tree = Term("name", value=token.text)
        elif token.kind == "number":
            self.at += 1
            tree = Term("number", value=float(token.text))
        else:
            self.fail("expected a name, a number or '('")
        self.depth -= 1
        return tree


# Each activation with its derivative as a function of its own value.
ACTIVATIONS: dict[str, tuple[Callable, Callable]] = {
    "sigmoid": (torch.sigmoid, lambda y: y * (1 - y)),
    "tanh": (torch.tanh, lambda y: 1 - y * y),
    "relu": (torch.relu, lambda y: (y > 0).to(y.dtype)),
    "linear": (lambda z: z, torch.ones_like),
}


@dataclass(frozen=True)
class Graph:
    """A feed-forward network of neurons given by expressions.

    Args:
        neurons: signal name -> tree, in an order in which each neuron
            comes after those it reads.
        inputs: names of the signals that no line defines.
        weights: names of the weights; the biases come last.
        outputs: names of the signals that no line reads.
        activation: name of the activation of every neuron.
    """

    neurons: Mapping[str, Term]
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    outputs: tuple[str, ...]
    activation: str

    def forward(
        self, weights: Mapping[str, Tensor], signals: Mapping[str, Tensor]
    ) -> dict[str, Tensor]:
        """Values of all signals.

        Args:
            weights: by name; shape (...,1) or scalar, for broadcasting.
            signals: the inputs by name, each (..., B).

        Returns:
            All signals by name, each (..., B).

        Raises:
            ValueError: a weight or an input is missing.

        Example:
            >>> g = build(["xw = ab*xa"], activation="linear")
            >>> w = {"ab": torch.tensor(2.0), "bias_xw": torch.tensor(1.0)}
            >>> g.forward(w, {"xa": torch.tensor([3.0])})["xw"]
            tensor([7.])
        """
        for name in self.weights:
            if name not in weights:
                raise ValueError(f"no value for the weight {name!r}")
        for name in self.inputs:
            if name not in signals:
                raise ValueError(f"no value for the input {name!r}")
        act, _ = ACTIVATIONS[self.activation]
        known = {**weights, **{k: signals[k] for k in self.inputs}}
        for name, tree in self.neurons.items():
            known[name] = act(_value(tree, known) + known[bias(name)])
        return {k: known[k] for k in (*self.inputs, *self.neurons)}

    def backward(
        self,
        weights: Mapping[str, Tensor],
        signals: Mapping[str, Tensor],
        outer: Mapping[str, Tensor],
    ) -> dict[str, Tensor]:
        r"""Gradients of a loss with respect to the weights, by the chain rule.

        Neurons are visited from last to first. With :math:`y = \sigma(z)`
        and :math:`\partial L/\partial y` known, :math:`\delta = \partial
        L/\partial z = \sigma'(z)\,\partial L/\partial y` is handed to every
        factor of every term of :math:`z`.

        Args:
            weights: by name, as in :meth:`forward`.
            signals: all signals, as :meth:`forward` returned them.
            outer: :math:`\partial L/\partial y` of the outputs, (..., B).

        Returns:
            By weight name, (..., 1), summed over the batch.

        Example:
            >>> g = build(["xw = ab*xa"], activation="linear")
            >>> w = {"ab": torch.tensor(2.0), "bias_xw": torch.tensor(1.0)}
            >>> s = g.forward(w, {"xa": torch.tensor([3.0, 4.0])})
            >>> g.backward(w, s, {"xw": torch.ones(2)})["ab"]
            tensor([7.])
        """
        _, slope = ACTIVATIONS[self.activation]
        known = {**weights, **signals}
        total: dict[str, Tensor] = dict(outer)
        for name in reversed(tuple(self.neurons)):
            if name not in total:
                continue
            delta = slope(signals[name]) * total[name]
            _push(total, bias(name), delta)
            _spread(self.neurons[name], delta, known, total, self.inputs)
        none = torch.zeros_like(next(iter(signals.values())))
        return {
            k: total.get(k, none).sum(-1, keepdim=True) for k in self.weights
        }

    def edges(self) -> list[tuple[str, str, str]]:
        """For drawing: (from signal, to signal, weight on the way).

        The weight is "" where a term has none.

        Example:
            >>> build(["xw = ab*xa + xb"]).edges()
            [('xa', 'xw', 'ab'), ('xb', 'xw', '')]
        """
        found = []
        for name, tree in self.neurons.items():
            terms = tree.parts if tree.kind == "+" else (tree,)
            for term in terms:
                names = list(_names(term))
                weights = "*".join(n for n in names if not is_signal(n))
                found += [(n, name, weights) for n in names if is_signal(n)]
        return found

    def layers(self) -> list[list[str]]:
        """For drawing: signals by their distance from the inputs.

        Example:
            >>> build(["xw = ab*xa", "xo = cd*xw"]).layers()
            [['xa'], ['xw'], ['xo']]
        """
        depth = dict.fromkeys(self.inputs, 0)
        for name, tree in self.neurons.items():
            read = [depth[n] for n in _names(tree) if is_signal(n)]
            depth[name] = 1 + max(read, default=0)
        levels = range(max(depth.values()) + 1)
        return [[n for n in depth if depth[n] == d] for d in levels]


def build(expressions: Sequence[str], activation: str = "sigmoid") -> Graph:
    """Build a network from lines, each of which is one neuron.

    Args:
        expressions: lines ``name = expression``, in any order.
        activation: one of "sigmoid", "tanh", "relu", "linear".

    Returns:
        The graph.

    Raises:
        ExpressionError: a line cannot be read, or names a bias, which
            every neuron adds by itself.
        ValueError: no line; a signal defined twice; the left side is not a
            signal; neurons that read each other in a circle; unknown
            activation.

    Example:
        >>> g = build(["xo = cp*xw + cq*xz",
        ...            "xw = ap*xp + aq*xq", "xz = bp*xp + bq*xq"])
        >>> g.inputs, list(g.neurons), g.outputs
        (('xp', 'xq'), ['xw', 'xz', 'xo'], ('xo',))
    """
    checks.choice("activation", activation, ACTIVATIONS)
    if isinstance(expressions, str):
        expressions = [expressions]
    if not expressions:
        raise ValueError("no expressions: a graph needs at least one neuron")
    if len(expressions) > MOST_LINES:
        raise ValueError(f"more than {MOST_LINES} expressions")
    trees: dict[str, Term] = {}
    for text in expressions:
        name, tree = parse(text)
        if not is_signal(name):
            raise ValueError(
                f"{name!r} stands left of '=', so it is a signal, and names "
                "of signals begin with 'x'"
            )
        if name in trees:
            raise ValueError(f"the signal {name!r} is defined twice")
        trees[name] = tree
    _refuse_biases(expressions, {bias(name): name for name in trees})
    order = _in_order(trees)
    read = {n for t in trees.values() for n in _names(t)}
    inputs = [n for n in _once(trees) if is_signal(n) and n not in trees]
    weights = [n for n in _once(trees) if not is_signal(n)]
    return Graph(
        {n: trees[n] for n in order},
        tuple(inputs),
        (*weights, *(bias(n) for n in order)),
        tuple(n for n in order if n not in read),
        activation,
    )


def is_signal(name: str) -> bool:
    """Whether a name is a signal's; weights are all others."""
    return name.startswith("x")


def bias(neuron: str) -> str:
    """Name of a neuron's bias."""
    return f"bias_{neuron}"


def _refuse_biases(expressions: Sequence[str], biases: Mapping[str, str]):
    """A bias that a line names would count twice."""
    for text in expressions:
        for token in _tokens(text):
            if token.text in biases:
                raise ExpressionError(
                    text,
                    token.position,
                    f"{token.text!r} is the bias that {biases[token.text]!r} "
                    "adds by itself; leave it out, or choose another name",
                )


def _once(trees: Mapping[str, Term]) -> list[str]:
    return list(dict.fromkeys(n for t in trees.values() for n in _names(t)))


def _in_order(trees: Mapping[str, Term]) -> list[str]:
    order: list[str] = []
    waiting = {k: {n for n in _names(t) if n in trees}
               for k, t in trees.items()}  # fmt: skip
    while waiting:
        ready = [k for k, needs in waiting.items() if needs <= set(order)]
        if not ready:
            circle = ", ".join(sorted(waiting))
            raise ValueError(f"these neurons read each other: {circle}")
        order += ready
        for k in ready:
            del waiting[k]
    return order


def _names(tree: Term):
    if tree.kind == "name":
        yield tree.value
    for part in tree.parts:
        yield from _names(part)


def _value(tree: Term, known: Mapping[str, Tensor]):
    if tree.kind == "name":
        return known[tree.value]
    if tree.kind == "number":
        return tree.value
    values = [_value(p, known) for p in tree.parts]
    if tree.kind == "-":
        return -values[0]
    total = values[0]
    for v in values[1:]:
        total = total + v if tree.kind == "+" else total * v
    return total


def _push(total: dict[str, Tensor], name: str, delta) -> None:
    total[name] = total[name] + delta if name in total else delta


def _spread(tree: Term, delta, known, total, inputs) -> None:
    """Hand ``delta``, the derivative at ``tree``, down to its names."""
    if tree.kind == "name" and tree.value not in inputs:
        _push(total, tree.value, delta)
    elif tree.kind == "+":
        for part in tree.parts:
            _spread(part, delta, known, total, inputs)
    elif tree.kind == "-":
        _spread(tree.parts[0], -delta, known, total, inputs)
    elif tree.kind == "*":
        values = [_value(p, known) for p in tree.parts]
        for i, part in enumerate(tree.parts):
            if part.kind == "number" or part.value in inputs:
                continue
            others = delta
            for j, v in enumerate(values):
                if j != i:
                    others = others * v
            _spread(part, others, known, total, inputs)
