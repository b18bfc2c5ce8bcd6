"""Why a network that reads starts and moves as it does: interventions."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.studies.reading import (
    READERS,
    SHAPE,
    STEP,
    at_edge,
    base_of,
    limited,
    net_of,
    plays,
    read,
    search,
)
from dldna import data, files, init, optim
from dldna.data.counting import bits_per_character
from dldna.training import evaluate
from dldna.training.tournament.finished import FinishedPieces


def start(
    work: str, scheme: str, norm: str, tokens: int = 300_000, seeds: int = 2,
    depth: int = 6, context: int = 64,
    most: int | None = None, **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """One start and placement of norms, with and without warm-up."""
    text = plays(context, most)
    asked = {"scheme": scheme, "norm": norm, "depth": depth, "tokens": tokens}
    kept = FinishedPieces(work, asked)

    def run(rate: float, seed: int, warmup: float) -> dict:
        def make(path):
            net = net_of(text, seed, scheme, norm=norm, depth=depth)
            groups: Any = net.parameters()
            if scheme == "mup":
                base = base_of(text, {**SHAPE, "norm": norm, "depth": depth})
                groups = init.mup_param_groups(net, base, rate)
            adam = optim.Adam(groups, lr=rate)
            return read(net, adam, text, seed, path, tokens=tokens,
                        warmup=warmup, marks=3, **options)  # fmt: skip

        return kept.keep(f"{warmup:g}-{rate:g}-{seed}", make)

    rates = [float(f"{1e-3 * STEP**k:.3g}") for k in range(5)]
    return {
        **asked,
        "rates": rates,
        "warmup": {
            f"{warmup:g}": [
                [run(rate, seed, warmup) for seed in range(seeds)]
                for rate in rates
            ]
            for warmup in (0.0, 0.1)
        },
    }


def groups_of(text: data.Text, kind: str, n: int = 6) -> Tensor:
    """Which class each character counts as, (V,).

    Args:
        text: whose training part is counted.
        kind: ``own`` for the characters themselves, ``even`` for n classes
            as equally frequent as can be, ``uneven`` for n classes each
            about a quarter as frequent as the one before.
        n: number of classes.

    Example:
        >>> plays = data.load("plays")
        >>> share = shares(plays, groups_of(plays, "even"))
        >>> bool(share.max() / share.min() < 1.2)
        True
        >>> share = shares(plays, groups_of(plays, "uneven"))
        >>> bool(share.max() / share.min() > 500)
        True
    """
    counts = torch.bincount(text.tokens["train"], minlength=len(text.classes))
    if kind == "own":
        return torch.arange(len(counts))
    wanted = torch.full((n,), 1.0 / n)
    if kind == "uneven":
        wanted = 0.25 ** torch.arange(n)
        wanted /= wanted.sum()
    elif kind != "even":
        raise ValueError(f"kind must be own, even or uneven, not {kind!r}")
    left, found = wanted * counts.sum(), torch.empty_like(counts)
    for c in counts.argsort(descending=True, stable=True):
        found[c] = left.argmax()  # the class that lacks most
        left[found[c]] -= counts[c]
    return found


def shares(text: data.Text, groups: Tensor) -> Tensor:
    """Share of each class among the training targets."""
    counts = torch.bincount(groups[text.tokens["train"]])
    return counts / counts.sum()


class GroupLoss:
    """Cross-entropy of the classes that characters count as.

    The network keeps a logit for every character and is asked for the
    first n of them.
    """

    def __init__(self, groups: Tensor, reduction: str = "mean"):
        self.groups, self.n = groups, int(groups.max()) + 1
        self.reduction = reduction

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(
            logits[:, : self.n], self.groups[target], reduction=self.reduction
        )


def classes(
    work: str, kind: str, tokens: int = 300_000, seeds: int = 5,
    context: int = 64,
    most: int | None = None, **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """SGD with momentum and Adam where classes are even and uneven."""
    text = plays(context, most)
    groups = groups_of(text, kind)
    loss, share = GroupLoss(groups), shares(text, groups)
    kept = FinishedPieces(work, {"kind": kind, "tokens": tokens})
    found: dict[str, Any] = {"kind": kind, "share": share.tolist()}
    found["tokens"] = tokens
    found["entropy"] = float(torch.special.entr(share).sum() / math.log(2))
    for name in ("momentum", "Adam"):

        def run(rate: float, seed: int = 0, name: str = name) -> dict:
            def make(path):
                net = net_of(text, seed, tied=False)
                built = READERS[name].build(net, rate)
                return read(net, built, text, seed, path, loss,
                            tokens=tokens, marks=3, **options)  # fmt: skip

            return kept.keep(f"{name}-{rate:g}-{seed}", make)

        rate, tried = search(READERS[name].lr, run)
        runs = [run(rate, seed) for seed in range(1, seeds + 1)]
        found[name] = {
            "rate": rate,
            "at_edge": at_edge(tried),
            "tried": tried,
            "runs": runs,
        }
    return found


def half(text: data.Text, k: int) -> data.Text:
    """The first plays (0) or the last (1), of each part by its length."""
    tokens = {
        name: t[: len(t) // 2] if k == 0 else t[len(t) // 2 :]
        for name, t in text.tokens.items()
    }
    length, most = text.train_x.shape[1], len(text.valid_x)
    return limited(replace(text, tokens=tokens).windows(length), most)


def along(
    text: data.Text, one: nn.Module, other: nn.Module, points: int = 11
) -> list[float]:
    """Bits on validation along the line between two networks."""
    moving, ends = net_of(text, 0), (one.state_dict(), other.state_dict())
    valid, found = data.Loader(text.valid_x, text.valid_y, 128), []
    for k in range(points):
        at = {n: torch.lerp(w, ends[1][n], k / (points - 1))
              for n, w in ends[0].items()}  # fmt: skip
        moving.load_state_dict(at)
        found.append(bits_per_character(evaluate(moving, valid)[0]))
    return found


def distance(one: nn.Module, other: nn.Module) -> float:
    """Length of the line between two networks."""
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return math.sqrt(
        sum(float((a - b).detach().square().sum()) for a, b in pairs)
    )


def copies(
    work: str, seeds: int = 3, tokens: int = 1_500_000,
    tuned: int = 300_000, context: int = 64,
    most: int | None = None, **options: Any,
) -> dict[str, Any]:  # fmt: skip
    """Networks of two plays, each tuned twice on two others; their lines."""
    text = plays(context, most)
    old, new = half(text, 0), half(text, 1)
    kept = FinishedPieces(work, {"tokens": tokens, "tuned": tuned})

    def trained(name: str, seed: int, on: data.Text, rate: float, of=None,
                **more: Any) -> nn.Module:  # fmt: skip
        net, weights = net_of(text, seed), Path(work, f"{name}.weights")
        if of is not None:
            net.load_state_dict(of.state_dict())
        built = READERS["AdamW"].build(net, rate)

        def make(path):
            found = read(net, built, on, seed, path, **more, **options)
            files.write_atomic(
                weights, lambda f: torch.save(net.state_dict(), f)
            )
            return found

        kept.keep(name, make)
        net.load_state_dict(torch.load(weights, weights_only=True))
        return net

    bases = [
        trained(f"base-{s}", s, old, 1e-2, tokens=tokens) for s in range(seeds)
    ]
    found: dict[str, Any] = {"tokens": tokens, "tuned": tuned, "pairs": []}
    for s, base in enumerate(bases):
        pair = [
            trained(f"copy-{s}-{k}", 100 * (k + 1) + s, new, 3e-3, base,
                    tokens=tuned)
            for k in range(2)
        ]  # fmt: skip
        far = bases[(s + 1) % seeds]
        found["pairs"].append(
            {
                "copies": along(new, *pair),
                "tuning": along(new, base, pair[0]),
                "tuning_old": along(old, base, pair[0]),
                "strangers": along(old, base, far),
                "distances": [
                    distance(*pair), distance(base, pair[0]),
                    distance(base, far),
                ],
            }
        )  # fmt: skip
    return found
