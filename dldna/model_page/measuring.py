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
from dldna.model_page.page_figures import draw
from dldna.model_page.parts import PARTS, Bench, Part, count
from dldna.model_page.sentences import WORDS, has
from dldna.objective import Objective
from dldna.progress import duration, track

PILOT = 256  # samples, on which prices are asked first
LEAST = 128  # samples for curvature, lines and planes
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
    asked on few samples first, and again on those chosen. Where
    torch has no second derivative of a layer, products are differences of
    gradients.

    Args:
        make: the mean loss on the batches that it is given.
        held: batches of all samples.
        began: when the budget began, by the clock.
        budget_s: seconds in all.
        **words: of :class:`Bench`.
    """
    n = count(held)
    pilot = make(thin(held, PILOT) if n > PILOT else held)
    options: dict[str, Any] = {}
    try:
        price = prices(pilot)
    except NoSecondDerivative:
        options = {"way": "difference"}
        price = prices(pilot, "difference")
    bench = Bench(
        held=held,
        objective=pilot,
        price=price,
        budget_s=budget_s,
        options=options,
        **words,
    )
    left = began + budget_s - budget_split.clock() - _drawing(bench)
    least, usual = np.sum([p.cost(bench) for p in _wanted(bench)], axis=0)
    factor = left / (usual if left > least else least)
    samples = min(n, max(LEAST, math.floor(factor * pilot.n_samples)))
    fewer = left < least and samples < pilot.n_samples
    if fewer or samples > 1.2 * pilot.n_samples:
        some = thin(held, samples) if samples < n else held
        bench.objective = make(some)
        bench.price = prices(bench.objective, options.get("way", "auto"))
    return bench


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
        lines = dict.fromkeys(str(w.message) for w in said)
        found.said[part.name] = list(lines)
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
