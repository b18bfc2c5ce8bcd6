"""A network of neurons, each given by an expression."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dldna import checks
from dldna.arrays import Array, library
from dldna.graph.chain_rule import push, spread, value
from dldna.graph.expressions import (
    ExpressionError,
    Term,
    names_in,
    parse,
    tokens,
)

MOST_LINES = 1_000


def _sigmoid(z: Array) -> Array:
    xp = library(z)
    return xp.exp(-np.logaddexp(0, -z)) if xp is np else xp.sigmoid(z)


def _relu(z: Array) -> Array:
    xp = library(z)
    return np.maximum(z, 0) if xp is np else xp.relu(z)


# Each activation with its derivative as a function of its own value.
ACTIVATIONS: dict[str, tuple[Callable, Callable]] = {
    "sigmoid": (_sigmoid, lambda y: y * (1 - y)),
    "tanh": (lambda z: library(z).tanh(z), lambda y: 1 - y * y),
    "relu": (_relu, lambda y: (y > 0) * library(y).ones_like(y)),
    "linear": (lambda z: z, lambda y: library(y).ones_like(y)),
}


@dataclass(frozen=True)
class ComputationalGraph:
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
        self, weights: Mapping[str, Array], signals: Mapping[str, Array]
    ) -> dict[str, Array]:
        """Values of all signals, from tensors or from arrays of NumPy.

        Args:
            weights: by name; shape (...,1) or scalar, for broadcasting.
            signals: the inputs by name, each (..., B).

        Returns:
            All signals by name, each (..., B).

        Raises:
            ValueError: a weight or an input is missing.

        Example:
            >>> g = build(["xw = ab*xa"], activation="linear")
            >>> import torch
            >>> w = {"ab": torch.tensor(2.0), "bias_xw": torch.tensor(1.0)}
            >>> g.forward(w, {"xa": torch.tensor([3.0])})["xw"]
            tensor([7.])
            >>> w = {"ab": 2.0, "bias_xw": 1.0}
            >>> g.forward(w, {"xa": np.array([3.0])})["xw"]
            array([7.])
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
            known[name] = act(value(tree, known) + known[bias(name)])
        return {k: known[k] for k in (*self.inputs, *self.neurons)}

    def backward(
        self,
        weights: Mapping[str, Array],
        signals: Mapping[str, Array],
        outer: Mapping[str, Array],
    ) -> dict[str, Array]:
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
            >>> import torch
            >>> w = {"ab": torch.tensor(2.0), "bias_xw": torch.tensor(1.0)}
            >>> s = g.forward(w, {"xa": torch.tensor([3.0, 4.0])})
            >>> g.backward(w, s, {"xw": torch.ones(2)})["ab"]
            tensor([7.])
        """
        _, slope = ACTIVATIONS[self.activation]
        known = {**weights, **signals}
        total: dict[str, Array] = dict(outer)
        for name in reversed(tuple(self.neurons)):
            if name not in total:
                continue
            delta = slope(signals[name]) * total[name]
            push(total, bias(name), delta)
            spread(self.neurons[name], delta, known, total, self.inputs)
        first = next(iter(signals.values()))
        xp = library(first)
        none = xp.zeros_like(first)
        return {
            k: xp.sum(total.get(k, none), axis=-1, keepdims=True)
            for k in self.weights
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
                names = list(names_in(term))
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
            read = [depth[n] for n in names_in(tree) if is_signal(n)]
            depth[name] = 1 + max(read, default=0)
        levels = range(max(depth.values()) + 1)
        return [[n for n in depth if depth[n] == d] for d in levels]


def build(
    expressions: Sequence[str], activation: str = "sigmoid"
) -> ComputationalGraph:
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
    read = {n for t in trees.values() for n in names_in(t)}
    inputs = [n for n in _once(trees) if is_signal(n) and n not in trees]
    weights = [n for n in _once(trees) if not is_signal(n)]
    return ComputationalGraph(
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
        for token in tokens(text):
            if token.text in biases:
                raise ExpressionError(
                    text,
                    token.position,
                    f"{token.text!r} is the bias that {biases[token.text]!r} "
                    "adds by itself; leave it out, or choose another name",
                )


def _once(trees: Mapping[str, Term]) -> list[str]:
    return list(dict.fromkeys(n for t in trees.values() for n in names_in(t)))


def _in_order(trees: Mapping[str, Term]) -> list[str]:
    order: list[str] = []
    waiting = {k: {n for n in names_in(t) if n in trees}
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
