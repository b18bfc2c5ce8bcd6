"""A network that reads: starts, optimizers and what they stop at.

Every run is :func:`read`; what a job has finished is kept in its folder,
and a run that is under way goes on from its checkpoint.
"""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from dldna import data, init, models
from dldna.data.counting import bits_per_character
from dldna.training import Contestant, evaluate
from dldna.training.tokens import train_tokens
from dldna.training.tournament.finished import FinishedPieces

STEP = 10**0.5  # between two rates of the grid
FIVE, MORE = 5, 4  # rates of the grid, and how many beyond it at most
STD = 0.1
SHAPE = {"depth": 2, "positions": "rotary", "feed": "swiglu", "hidden": 160}
DECAY = {"weight_decay": 0.1}
READERS = {
    c.name: c
    for c in (
        Contestant("SGD", "SGD", 1.0),
        Contestant("momentum", "SGD", 0.1, {"momentum": 0.9}),
        Contestant("Adam", "Adam", 1e-2),
        Contestant("AdamW", "AdamW", 1e-2, DECAY),
        Contestant("Lion", "Lion", 1e-3, DECAY),
        Contestant("Muon", "Muon", 1e-2, DECAY),
        Contestant("SOAP", "SOAP", 1e-2),
        Contestant("AdaFactor", "Adafactor", 3e-2),
        Contestant("Schedule-Free", "ScheduleFreeAdamW", 1e-2),
    )
}
SCHEMES = ("default", "gpt2", "zero", "tfixup", "mup")


def plays(context: int, most: int | None = None) -> data.Text:
    """The text, in windows; of validation and test no more than so many."""
    return limited(data.load("plays").windows(context), most)


def limited(text: data.Text, most: int | None) -> data.Text:
    """A text with no more than so many windows to validate and to test."""
    parts = ("valid_x", "valid_y", "test_x", "test_y")
    return replace(text, **{k: getattr(text, k)[:most] for k in parts})


def net_of(text: data.Text, seed: int, scheme: str = "gpt2", **more: Any):
    """A network for a text's characters and windows, with its start."""
    shape = {**SHAPE, **more}
    if scheme == "mup":
        width, heads = shape.get("width", 64), shape.get("heads", 4)
        shape["attention_scale"] = heads / width
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = models.DecoderTransformer(
            len(text.classes), text.train_x.shape[1], **shape
        )
    if scheme == "gpt2":
        init.gpt2(net, std=STD * (64 / net.tokens.embedding_dim) ** 0.5,
                  seed=seed)  # fmt: skip
    elif scheme == "zero":
        init.zero_branches(net, seed=seed)
    elif scheme == "tfixup":
        init.tfixup(net, seed=seed)
    elif scheme == "mup":
        init.mup(net, base_of(text, shape), seed=seed)
    elif scheme != "default":
        raise ValueError(f"no start is called {scheme!r}")
    return net


def base_of(text: data.Text, shape: dict[str, Any]) -> nn.Module:
    """muP's base: a quarter of the width."""
    narrow = {**shape, "width": 16, "hidden": shape["hidden"] // 4}
    return models.DecoderTransformer(
        len(text.classes), text.train_x.shape[1], **narrow
    )


def read(
    net: nn.Module, optimizer: torch.optim.Optimizer, text: data.Text,
    seed: int, path: Path | None = None, loss_fn: Callable = F.cross_entropy,
    **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """Train, and say how many bits a character costs where."""
    history = train_tokens(
        net, optimizer, text, seed=seed, loss_fn=loss_fn, checkpoint=path,
        **options,
    )  # fmt: skip
    tested = data.Loader(text.test_x, text.test_y, 128)
    diverged = "diverged" in history.provenance.notes
    test = math.nan if diverged else evaluate(net, tested, loss_fn)[0]
    return {
        "valid": bits_per_character(history.test_loss).tolist(),
        "train": bits_per_character(history.train_loss).tolist(),
        "test": bits_per_character(test),
        "diverged": diverged,
        "seconds": float(history.seconds.sum()),
    }


def last(found: dict[str, Any]) -> float:
    """What a run is judged by: bits on validation, or infinite."""
    end = found["valid"][-1]
    bad = found["diverged"] or end is None or not math.isfinite(end)
    return math.inf if bad else end


def search(
    usual: float, run: Callable[[float], dict]
) -> tuple[float, dict[str, dict]]:
    """The best rate of a grid, which grows while the best is at its edge.

    The two rates half a step beside the best are tried as well.

    Args:
        usual: the middle of five rates, each root 10 times the last.
        run: a rate's run.

    Returns:
        The rate, and what all of them came to, by rate.

    Example:
        >>> bowl = lambda r: {"valid": [(math.log10(r) - 1) ** 2],
        ...                   "diverged": False}
        >>> best, tried = search(0.1, bowl)
        >>> best, len(tried)
        (10.0, 10)
    """
    tried: dict[str, dict] = {}

    def score(power: float) -> float:
        key = f"{usual * STEP**power:.3g}"
        if key not in tried:
            tried[key] = run(float(key))
        return last(tried[key])

    powers = [k - FIVE // 2 for k in range(FIVE)]
    while True:
        best = min(powers, key=score)
        inside = best not in (powers[0], powers[-1])
        if inside or len(powers) == FIVE + MORE:
            break
        beyond = best + (1 if best == powers[-1] else -1)
        powers = sorted([*powers, beyond])
    for beside in (best - 0.5, best + 0.5):
        score(beside)
    chosen = min(tried, key=lambda key: last(tried[key]))
    return float(chosen), tried


def at_edge(tried: dict[str, dict]) -> bool:
    """Whether the best rate is the lowest or the highest one tried."""
    order = sorted(tried, key=float)
    return min(tried, key=lambda k: last(tried[k])) in (order[0], order[-1])


def optimizer(
    work: str, name: str, tokens: int = 1_500_000, seeds: int = 5,
    context: int = 64, most: int | None = None, **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """One optimizer: rates from seed 0, then fresh seeds at the best."""
    text = plays(context, most)
    who, shared = READERS[name], {"tokens": tokens, **options}
    if name == "Schedule-Free":
        shared["end"] = "constant"
    kept = FinishedPieces(work, {"name": name, "context": context, **shared})

    def run(rate: float, seed: int = 0) -> dict:
        def make(path):
            net = net_of(text, seed)
            return read(net, who.build(net, rate), text, seed, path, **shared)

        return kept.keep(f"{rate:g}-{seed}", make)

    rate, tried = search(who.lr, run)
    return {
        "rate": rate,
        "at_edge": at_edge(tried),
        "tried": tried,
        "runs": [run(rate, seed) for seed in range(1, seeds + 1)],
        "setting": {**shared, "context": context, "std": STD, **SHAPE},
        "fixed": dict(who.fixed),
    }


def ranked(folder: Path) -> list[dict[str, Any]]:
    """The optimizers whose jobs are finished, best first on validation.

    Raises:
        LookupError: fewer than two are.
    """
    found = []
    for path in (folder / "results").glob("reading-optimizer-*.json"):
        kept = json.loads(path.read_text())
        runs = kept["found"]["runs"]
        mean = sum(map(last, runs)) / len(runs)
        name = dict(kept["job"]["options"])["name"]
        found.append((mean, {"name": name, **kept["found"]}))
    if len(found) < 2:
        raise LookupError("this job waits for two of reading-optimizer-*")
    return [kept for _, kept in sorted(found, key=lambda pair: pair[0])]


def long(
    work: str, place: int, dropout: float, tokens: int,
    share: float = 0.5, width: int = 128, depth: int = 3, context: int = 64,
    seed: int = 1, most: int | None = None, **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """A larger network for longer, by the optimizer of a place (from 0).

    Args:
        work: for checkpoints, in the queue's folder.
        place: 0 for the best optimizer on validation.
        dropout: of the network.
        tokens: that all steps see.
        share: of the rate that the shorter runs chose.
        width: of the network.
        depth: of the network.
        context: characters of a window.
        seed: of the start and the windows.
        most: windows of validation and test, if not all.
        options: for :func:`dldna.training.tokens.train_tokens`.
    """
    text = plays(context, most)
    asked = {"tokens": tokens, "dropout": dropout, "width": width,
             "depth": depth, "place": place}  # fmt: skip
    pieces = FinishedPieces(work, asked)
    # Who is second may change while others are run: ask once.
    who = pieces.keep("who", lambda _: ranked(Path(work).parents[1])[place])
    shape = {"width": width, "depth": depth, "hidden": width * 5 // 2}
    net = net_of(text, seed, dropout=dropout, **shape)
    rate = who["rate"] * share
    if who["name"] == "Schedule-Free":
        options["end"] = "constant"

    def make(path):
        built = READERS[who["name"]].build(net, rate)
        return read(net, built, text, seed, path, tokens=tokens, **options)

    return {
        "optimizer": who["name"], "rate": rate, **asked,
        "parameters": sum(p.numel() for p in net.parameters()),
        "run": pieces.keep("run", make),
    }  # fmt: skip
