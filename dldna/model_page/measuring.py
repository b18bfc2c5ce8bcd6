"""Measure part by part, as long as the budget lasts."""

import dataclasses
import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from dldna.landscape import NoSecondDerivative
from dldna.landscape.scan.store import thin
from dldna.model_page import budget_split
from dldna.model_page.budget_split import Need, prices, split
from dldna.model_page.findings import Findings
from dldna.model_page.page_figures import draw, warm_up
from dldna.model_page.parts import PARTS, Bench, Part, count
from dldna.model_page.sentences import WORDS, has
from dldna.objective import Objective
from dldna.progress import duration, track
from dldna.said_once import alike

PILOT = 32  # samples, on which prices are asked first
PRICING = 0.1  # of the budget, to ask them on more samples
DRAWING = 0.5  # seconds of a figure, until one is drawn
ENDING = 0.1  # seconds, to write the file


def bench_of(
    make: Callable[[list[Any]], Objective],
    held: list[Any],
    began: float,
    budget_s: float,
    **words: Any,
) -> Bench:
    """Choose as many samples as let all parts have their usual size.

    Where not even their least size fits, as few as let that fit. Prices are
    asked on few samples first, and on more as long as that itself takes but
    a tenth of the budget. Where torch has no second derivative of a layer,
    products are differences of gradients.

    Args:
        make: the mean loss on the batches that it is given.
        held: batches of all samples.
        began: when the budget began, by the clock.
        budget_s: seconds in all.
        **words: of :class:`Bench`.
    """
    n = count(held)
    samples, options = min(n, PILOT), {}
    while True:
        objective = make(thin(held, samples) if samples < n else held)
        try:
            price = prices(objective, **options)
        except NoSecondDerivative:
            options = {"way": "difference"}
            price = prices(objective, **options)
        bench = Bench(
            held=held,
            objective=objective,
            price=price,
            budget_s=budget_s,
            options=options,
            **words,
        )
        left = began + budget_s - budget_split.clock() - _drawing(bench)
        again = 3 * price.setup + 12 * price.loss + 6 * price.product
        room = PRICING * budget_s / again
        most = min(n, _fitting(bench, left), math.floor(room * samples))
        if most <= 1.2 * samples:
            return bench
        samples = most


def _fitting(bench: Bench, left: float) -> int:
    """How many samples fit into the seconds that are left."""
    costs = [part.cost(bench) for part in _wanted(bench)]
    least, usual = np.sum(costs, axis=0)
    factor = left / (usual if left > least else least)
    return math.floor(factor * bench.objective.n_samples)


def measured(
    bench: Bench, found: Findings, end: float
) -> tuple[Findings, dict[str, str]]:
    """Measure and draw each part that fits.

    Args:
        bench: what to measure.
        found: the findings so far.
        end: when the budget ends, by the clock.

    Returns:
        The findings and the figures by the names of the parts.
    """
    figures: dict[str, str] = {}
    parts, drawing = _wanted(bench), DRAWING
    warm_up()
    found.facts["samples used"] = bench.objective.n_samples
    found.facts["price"] = vars(bench.price)
    for at, part in enumerate(track(parts, "page")):
        began = budget_split.clock()
        left = end - began - ENDING
        needs = [_need(p, bench, drawing) for p in parts[at:]]
        shares = split(needs, left)
        if part.name not in shares.seconds and part.rank > 0:
            found.left_out[part.name] = _too_long(needs[0], left)
            continue
        seconds = shares.seconds.get(part.name, needs[0].least) - drawing
        if part.fills:
            seconds = max(seconds, left - 1.2 * drawing)
        found = _take(part, bench, seconds, found)
        if has(getattr(found, part.name)):
            drawn = budget_split.clock()
            alt = WORDS[part.name](found).alt
            figures[part.name] = draw(part.name, found, alt)
            drawing = max(drawing / 2, budget_split.clock() - drawn)
        found.seconds[part.name] = budget_split.clock() - began
    return found, figures


def _take(
    part: Part, bench: Bench, seconds: float, found: Findings
) -> Findings:
    """Measure one part; what stops it, and what it warns of, is kept."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        try:
            fields = part.measure(bench, seconds)
        except (RuntimeError, ValueError, NotImplementedError) as error:
            if part.rank == 0:
                raise
            found.left_out[part.name] = str(error).strip().splitlines()[0]
            fields = {}
    if said:
        lines = [str(w.message) for w in said]
        first = {alike(line): line for line in reversed(lines)}
        found.said[part.name] = list(first.values())[::-1]
    found.facts.update(fields.pop("facts", {}))
    return dataclasses.replace(found, **fields)


def _wanted(bench: Bench) -> list[Part]:
    """The parts that there is something to show of."""
    return [p for p in PARTS if p.name != "series" or bench.files]


def _need(part: Part, bench: Bench, drawing: float) -> Need:
    least, standard = part.cost(bench)
    standard = max(least, standard)
    return Need(part.name, least + drawing, standard + drawing, part.rank)


def _drawing(bench: Bench) -> float:
    return DRAWING * len(_wanted(bench)) + ENDING


def _too_long(need: Need, left: float) -> str:
    return (
        f"it takes at least about {duration(need.least)}, and what was left "
        f"of the budget ({duration(max(left, 0))}) was needed for the rest"
    )
