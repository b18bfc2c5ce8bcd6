r"""A budget of seconds, split over what is to be measured.

Each part says what it would take at least, :math:`l_i`, and what is worth
spending on it, :math:`s_i`. Parts are kept by their rank while the sum of
their :math:`l_i` fits into what is left, :math:`B`; each then gets

.. math:: l_i + f\,(s_i - l_i), \qquad
    f = \min\Big(1, \frac{B - \sum_j l_j}{\sum_j (s_j - l_j)}\Big).

The split is made anew before each part, so that what one leaves over, or
takes beyond its share, is the others'.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from dldna.landscape import Operator
from dldna.objective import Objective

clock: Callable[[], float] = time.perf_counter


@dataclass(frozen=True)
class Price:
    """What the pieces of work take, in seconds.

    Args:
        loss: one mean loss over the data.
        gradient: one gradient of it.
        product: one product with the Hessian.
        setup: a new operator, checked, with its first product.
    """

    loss: float
    gradient: float
    product: float
    setup: float

    def times(self, factor: float) -> "Price":
        """The same on so many times the samples."""
        return Price(*(factor * v for v in vars(self).values()))


@dataclass(frozen=True)
class Need:
    """What a part takes.

    Args:
        name: of the part.
        least: seconds below which it is not worth beginning.
        standard: seconds beyond which it gets no more.
        rank: parts of the smallest rank are kept first.
    """

    name: str
    least: float
    standard: float
    rank: int


@dataclass(frozen=True)
class Split:
    """Seconds for each part that is kept, and the names of the others."""

    seconds: dict[str, float]
    dropped: list[str]


def split(needs: Sequence[Need], left: float) -> Split:
    """Give each part its share of the seconds that are left.

    Args:
        needs: of the parts, in any order.
        left: seconds.

    Example:
        >>> parts = [Need("a", 1, 5, 0), Need("b", 2, 4, 1),
        ...          Need("c", 9, 9, 2)]
        >>> split(parts, 6.0)
        Split(seconds={'a': 3.0, 'b': 3.0}, dropped=['c'])
    """
    kept, spent = [], 0.0
    for need in sorted(needs, key=lambda n: n.rank):
        if spent + need.least <= left:
            kept.append(need)
            spent += need.least
    more = sum(n.standard - n.least for n in kept)
    share = min(1.0, (left - spent) / more) if more > 0 else 0.0
    seconds = {n.name: n.least + share * (n.standard - n.least) for n in kept}
    return Split(seconds, [n.name for n in needs if n.name not in seconds])


def prices(objective: Objective, way: str = "auto") -> Price:
    """Time one piece of each kind of work.

    Args:
        objective: the mean loss.
        way: how products are made.

    Raises:
        NoSecondDerivative: the products cannot be made in that way.
    """
    objective.loss()  # first calls are slow
    loss = timed(objective.loss)
    gradient = timed(objective.gradient)
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(objective.n, generator=generator, device="cpu")
    for _ in range(2):
        began = clock()
        operator = Operator(objective, way=way)
        operator @ vector
        setup = clock() - began
    product = timed(lambda: operator @ vector)
    return Price(*(max(s, 1e-6) for s in (loss, gradient, product, setup)))


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call, or the mean of a few if it is quick."""
    began, calls = clock(), 0
    while True:
        call()
        calls += 1
        spent = clock() - began
        if spent > 0.05 or calls == 8:
            return spent / calls
