r"""A network given by expressions, with forward and backward by hand.

A line such as ``xw = ap*xp + aq*xq + ar*xr + as*xs`` is one neuron. Names
that begin with ``x`` are signals: inputs, or values that another line
defines. All other names are weights. Each neuron adds a bias and puts the
sum through an activation:

.. math:: x_w = \sigma(a_p x_p + a_q x_q + a_r x_r + a_s x_s + b_w)

Expressions are read by a parser of our own (no ``eval``): names, numbers,
``+ - *`` and brackets, bounded in length and depth.
"""

from dldna import old_paths
from dldna.graph.expressions import ExpressionError, Term, parse
from dldna.graph.network import (
    ACTIVATIONS,
    ComputationalGraph,
    bias,
    build,
    is_signal,
)

__getattr__ = old_paths.former(__name__)

__all__ = [
    "ACTIVATIONS",
    "ComputationalGraph",
    "ExpressionError",
    "Term",
    "bias",
    "build",
    "is_signal",
    "parse",
]
