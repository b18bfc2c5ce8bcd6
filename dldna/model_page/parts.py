"""The parts of a page: what each takes, and how it is measured."""

import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from dldna import batches as bt
from dldna.landscape import (
    keskar_sharpness,
    line,
    sam_sharpness,
    spectral_density,
    surface,
    top_eigenpairs,
    trace,
)
from dldna.landscape.scan.store import thin
from dldna.model_page import budget_split
from dldna.model_page.budget_split import Price
from dldna.model_page.sample_losses import sample_losses
from dldna.model_page.series import read_series
from dldna.model_page.twins import twin_of
from dldna.objective import Objective
from dldna.records import Line, Spectrum

FIRST = 0.15  # of the budget, for losses and accuracy before all else
FEW = 128  # samples whose losses are looked at, at least
APART = 6e-5  # seconds to take one sample's loss out of its batch
PAIRS, PRODUCTS = 5, 120  # what is worth looking for
STEPS, PROBES = 10, 30  # of the ascent; products of the trace
SEEDS, POINTS, FEWER = 5, 21, 11  # lines, and the points of each
MOST_SEEDS = 200  # lines; with time for more, each has more points
MOST_POINTS, NO_MORE = 201, 4000  # of a line; lines, whatever time is left
PLANES, GRID = 3, 17
LAYER_PRODUCTS = 25
DENSITY_PROBES, DENSITY_STEPS = 4, 40


@dataclass
class Bench:
    """What the parts work on.

    Args:
        held: batches of all samples that were given.
        objective: the mean loss on those for curvature, lines and planes.
        price: of work on ``objective``.
        budget_s: seconds in all.
        seed: of everything random.
        options: of calls of curvature, as ``way``.
        others: batches of other samples, by name.
        files: checkpoints of a series.
        key: what they keep the weights under.
    """

    held: list[Any]
    objective: Objective
    price: Price
    budget_s: float
    seed: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    others: dict[str, list[Any]] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)
    key: str | None = None

    @property
    def n_samples(self) -> int:
        """Number of all samples that were given."""
        return count(self.held)


@dataclass(frozen=True)
class Part:
    """One part of a page.

    Args:
        name: of the part.
        rank: what does not fit is dropped from the highest rank down.
        cost: seconds, the least and the standard.
        measure: fields of the findings, within so many seconds.
        fills: whether it takes all that is left, being the last.
    """

    name: str
    rank: int
    cost: Callable[[Bench], tuple[float, float]]
    measure: Callable[[Bench, float], dict[str, Any]]
    fills: bool = False


def count(held: list[Any]) -> int:
    """Number of samples of batches in memory."""
    return sum(bt.size(batch) for batch in held)


def _samples_cost(b: Bench) -> tuple[float, float]:
    each = b.price.loss / b.objective.n_samples + APART
    every = [b.held, *b.others.values()]
    least = each * sum(min(count(h), FEW) for h in every)
    whole = each * sum(map(count, every))
    return max(least, min(whole, FIRST * b.budget_s)), whole


def _samples(b: Bench, seconds: float) -> dict[str, Any]:
    share = min(1.0, seconds / max(_samples_cost(b)[1], 1e-9))
    found = {}
    for name, held in ({"": b.held} | b.others).items():
        n = count(held)
        most = max(min(n, FEW), int(share * n))
        some = held if most >= n else thin(held, most)
        found[name] = sample_losses(b.objective, some)
    return {"samples": found}


def _series_cost(b: Bench) -> tuple[float, float]:
    each = 1.5 * b.price.loss + 0.02
    return 3 * each, max(3, len(b.files)) * each


def _series(b: Bench, seconds: float) -> dict[str, Any]:
    each = _series_cost(b)[0] / 3
    return read_series(
        b.files, b.objective, most=max(3, int(seconds / each)), key=b.key
    )


def _top_cost(b: Bench) -> tuple[float, float]:
    p = b.price
    return p.setup + 24 * p.product, p.setup + 1.1 * PRODUCTS * p.product


def _top(b: Bench, seconds: float) -> dict[str, Any]:
    products = int((seconds - b.price.setup) / b.price.product)
    products = max(12, min(products, PRODUCTS))
    k = PAIRS if products > 80 else 3 if products > 40 else 1
    k = min(k, b.objective.n)
    found = top_eigenpairs(
        b.objective,
        k=k,
        max_products=products - k,
        seed=b.seed,
        **b.options,
    )
    return {"top": found}


def _sharpness_cost(b: Bench) -> tuple[float, float]:
    p = b.price
    climbs = 6 * (p.loss + p.gradient)
    fixed = 2 * p.setup + 20 * p.loss
    least = fixed + 3 * climbs + 2 * 9 * p.product
    return least, fixed + STEPS * climbs + 2 * PROBES * p.product


def _sharpness(b: Bench, seconds: float) -> dict[str, Any]:
    least, standard = _sharpness_cost(b)
    share = (seconds - least) / (standard - least) if standard > least else 1
    share = min(1.0, max(0.0, share))
    steps = round(3 + share * (STEPS - 3))
    products = round(9 + share * (PROBES - 9))
    found = _measures(b.objective, steps, products, b)
    twin, facts = twin_of(b.objective)
    if twin is not None:
        others = _measures(twin, steps, products, b)
        found |= {f"twin {k}": v for k, v in others.items()}
    return {"sharpness": found, "facts": {"twin": facts}}


def _measures(
    f: Objective, steps: int, products: int, b: Bench
) -> dict[str, Any]:
    return {
        "keskar": keskar_sharpness(f, steps=steps),
        "sam": sam_sharpness(f, steps=steps),
        "adaptive": sam_sharpness(f, steps=steps, adaptive=True),
        "trace": trace(f, products=products, seed=b.seed, **b.options),
    }


def layers_of(f: Objective) -> dict[str, list[str]]:
    """The parameters that may move, by the module that has them.

    Those with a matrix or a kernel among them; all, where none has one.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
        >>> data = torch.ones(4, 2), torch.ones(4, 3)
        >>> layers_of(Objective(net, nn.MSELoss(), data))
        {'0': ['0.weight', '0.bias']}
    """
    found: dict[str, list[str]] = {}
    for name in f.names:
        found.setdefault(name.rpartition(".")[0], []).append(name)
    large = {
        k: v for k, v in found.items() if any(f.point[n].ndim > 1 for n in v)
    }
    return large or found


def _layers_cost(b: Bench) -> tuple[float, float]:
    p, layers = b.price, len(layers_of(b.objective))
    return (
        min(2, layers) * (p.setup + 14 * p.product),
        layers * (p.setup + LAYER_PRODUCTS * p.product),
    )


def _layers(b: Bench, seconds: float) -> dict[str, Any]:
    layers, began = layers_of(b.objective), budget_split.clock()
    found: dict[str, Spectrum] = {}
    each = seconds / len(layers)
    products = int((each - b.price.setup) / b.price.product)
    products = max(14, min(products, 2 * LAYER_PRODUCTS))
    for number in spread(len(layers)):
        name = list(layers)[number]
        spent = budget_split.clock() - began
        if len(found) >= 2 and spent * (1 + 1 / len(found)) > seconds:
            break
        found[name] = top_eigenpairs(
            b.objective,
            k=1,
            tol=1e-2,
            max_products=products,
            seed=b.seed,
            pad=False,
            **{"params": layers[name]} | b.options,
        )
    facts = {"layers": list(layers)}
    return {"layers": {k: found[k] for k in layers if k in found},
            "facts": facts}  # fmt: skip


def spread(n: int) -> Iterator[int]:
    """0 to n - 1: the ends first, then always the widest gap's middle.

    Example:
        >>> list(spread(5))
        [0, 4, 2, 1, 3]
    """
    done = []
    while len(done) < n:
        if len(done) < 2:
            new = 0 if not done else n - 1
        else:
            ends = sorted(done)
            gaps = np.diff(ends)
            new = ends[int(gaps.argmax())] + int(gaps.max()) // 2
        done.append(new)
        yield new


def _planes_cost(b: Bench) -> tuple[float, float]:
    point = 1.3 * b.price.loss
    return 2 * (49 + 10) * point, PLANES * (GRID**2 + 10) * point


def _planes(b: Bench, seconds: float) -> dict[str, Any]:
    began, point = budget_split.clock(), 1.3 * b.price.loss
    seeds = PLANES if seconds > PLANES * 91 * point else 2
    side = int((seconds / (seeds * point)) ** 0.5)
    side = max(7, min(GRID, side - (side + 1) % 2))
    planes = []
    for seed in range(b.seed, b.seed + seeds):
        spent = budget_split.clock() - began
        if len(planes) >= 2 and spent * (1 + 1 / len(planes)) > seconds:
            break
        planes.append(surface(b.objective, resolution=side, seed=seed))
    return {"planes": planes}


def _density_cost(b: Bench) -> tuple[float, float]:
    p = b.price
    return (
        p.setup + 2 * 15 * p.product,
        p.setup + DENSITY_PROBES * DENSITY_STEPS * p.product,
    )


def _density(b: Bench, seconds: float) -> dict[str, Any]:
    products = int((seconds - b.price.setup) / b.price.product)
    probes = DENSITY_PROBES if products >= 4 * 20 else 2
    steps = max(8, min(DENSITY_STEPS, products // probes))
    found = spectral_density(
        b.objective, probes=probes, steps=steps, seed=b.seed, **b.options
    )
    return {"density": found}


def _lines_cost(b: Bench) -> tuple[float, float]:
    few, each = (n * b.price.loss + 0.01 for n in (FEWER + 8, POINTS + 8))
    return 2 * few, SEEDS * each


def _lines(b: Bench, seconds: float) -> dict[str, Any]:
    began = start = budget_split.clock()
    points = POINTS if seconds > _lines_cost(b)[1] / 2 else FEWER
    lines: list[Line] = []
    while len(lines) < NO_MORE:
        now = budget_split.clock()
        each = (now - start) / max(len(lines), 1)
        if len(lines) >= 2 and now - began + each > seconds:
            break
        many = seconds / max(each, 1e-9) / MOST_SEEDS
        if len(lines) == 2 and points < MOST_POINTS and many > 2:
            points = min(int(points * many) | 1, MOST_POINTS)
            start, lines = now, []
        lines.append(
            line(
                b.objective,
                "random",
                resolution=points,
                seed=b.seed + len(lines),
            )
        )
    return {"lines": banded(lines)}


def banded(lines: list[Line]) -> Line:
    """Lines of several seeds as one record, as ``landscape.band`` has it."""
    first = lines[0]
    losses = np.stack([one.losses for one in lines])
    seeds = [one.provenance.seed for one in lines]
    metrics = {"low": losses.min(0), "high": losses.max(0)}
    metrics |= {f"seed {s}": row for s, row in zip(seeds, losses, strict=True)}
    notes = first.provenance.notes | {"seeds": seeds, "losses": "median"}
    made = dataclasses.replace(first.provenance, made="band", notes=notes)
    return Line(first.alphas, np.median(losses, 0), metrics, made)


PARTS = (  # in the order in which they are measured and shown
    Part("samples", 0, _samples_cost, _samples),
    Part("series", 2, _series_cost, _series),
    Part("top", 3, _top_cost, _top),
    Part("sharpness", 4, _sharpness_cost, _sharpness),
    Part("layers", 6, _layers_cost, _layers),
    Part("planes", 5, _planes_cost, _planes),
    Part("density", 7, _density_cost, _density),
    Part("lines", 1, _lines_cost, _lines, fills=True),
)
