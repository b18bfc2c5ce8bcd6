"""Planes that were fitted to a picture, beside real ones: what tells them?

    python benchmarks/patterns.py

Ten perceptrons (196-32-10) on images of 14 x 14 pixels, and through each of
them four planes of 9 x 9 points over 32 images: fitted to one of ten pictures
(five drawn, five smooth), random, of the Hessian's first two eigenvectors, and
through three networks. Each measure tells fitted planes from one kind, or from
all, by one threshold; its error is that of leaving one plane out, where the
threshold is set without it.
"""

import copy
import time

import numpy as np
import torch
from _report import write_section
from torch import nn
from torch.nn import functional as F

from dldna import data, landscape, params, training
from dldna.landscape import curves
from dldna.landscape.space.directions import Given
from dldna.stored import store

PLANES, SIDE, IMAGES, STEPS = 10, 9, 32, 100
MEASURES = ("contrast", "aim", "roughness", "elsewhere")


def pictures() -> list[np.ndarray]:
    """Five that are drawn and five smooth ones, losses from 0.3 to 2."""
    x = np.linspace(-1, 1, SIDE)
    a, b = np.meshgrid(x, x, indexing="ij")
    r = np.hypot(a, b)
    marks = [
        (r > 0.45) & (r < 0.8),
        np.minimum(abs(a), abs(b)) < 0.2,
        (np.floor(a * 1.5) + np.floor(b * 1.5)) % 2 == 0,
        np.floor(2 * (a + b)) % 2 == 0,
        (abs(a) < 0.55) & (b > -0.6) & ((abs(a) > 0.3) | (b > 0.3)),
    ]
    draw = np.random.default_rng(0)
    for _ in range(5):
        k = draw.normal(size=(3, 2)) * 2
        waves = (np.sin(u * a + v * b + 6 * draw.random()) for u, v in k)
        z = sum(waves)
        marks.append((z - z.min()) / np.ptp(z))
    return [0.3 + 1.7 * np.asarray(m, dtype=float) for m in marks]


def networks(x, y) -> list[nn.Module]:
    """Trained from ten seeds."""
    found = []
    for seed in range(PLANES):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            net = nn.Sequential(
                nn.Flatten(), nn.Linear(196, 32), nn.ReLU(), nn.Linear(32, 10)
            )
        adam = torch.optim.Adam(net.parameters(), lr=3e-3)
        loader = data.Loader(x, y, 128, seed=seed)
        training.train(net, adam, loader, epochs=4)
        found.append(net.eval())
    return found


def planes(nets, i, batch, picture):
    """A plane of each kind through a network, and its extent."""
    net = nets[i]
    given = Given(net, F.cross_entropy, [batch], seed=i)
    for kind in ("random", "hessian"):
        pair = landscape.choose_directions(kind, given)
        yield kind, landscape.Plane(params.of(net), pair), 1.0
    near = [nets[(i + k) % PLANES] for k in (1, 2)]
    flat = curves.plane_through(net, *near)
    corners = np.array(flat.notes["corners"])
    room = 0.25 * corners.max()
    ends = [(min(0, c.min()) - room, c.max() + room) for c in corners.T]
    yield "three networks", flat, ends
    fitted = landscape.fit_plane(
        net, F.cross_entropy, batch, picture, steps=STEPS, seed=i
    )
    yield "fitted", fitted, 1.0


def error(fitted: np.ndarray, real: np.ndarray) -> float:
    """Share of planes on the wrong side, each left out in its turn."""
    values = np.concatenate([fitted, real])
    truth = np.arange(len(values)) < len(fitted)
    weight = np.where(truth, 1 / len(fitted), 1 / len(real)) / 2
    wrong = 0.0
    for i in range(len(values)):
        rest = np.arange(len(values)) != i
        cut, up = threshold(values[rest], truth[rest], weight[rest])
        wrong += weight[i] * (((values[i] > cut) == up) != truth[i])
    return float(wrong)


def threshold(values, truth, weight) -> tuple[float, bool]:
    """The cut with the least weight of errors, in the middle of its gap."""
    order = np.sort(values)
    cuts = (order[1:] + order[:-1]) / 2
    tried = [
        (weight[((values > cut) == up) != truth].sum(), cut, up)
        for cut in cuts
        for up in (True, False)
    ]
    return min(tried, key=lambda t: t[0])[1:]


def errors(found) -> dict[str, list[float]]:
    """For each real kind, and for all: the share that each measure errs on."""
    real = {k: rows for k, rows in found.items() if k != "fitted"}
    real["all"] = np.concatenate(list(real.values()))
    return {
        kind: [
            error(a, b) for a, b in zip(found["fitted"].T, rows.T, strict=True)
        ]
        for kind, rows in real.items()
    }


def table(found, correlation, seconds) -> str:
    """The section of ``RESULTS.md``."""
    lines = [
        "## Planes fitted to a picture",
        "",
        f"`benchmarks/patterns.py`: {PLANES} planes of each kind, {SIDE} x "
        f"{SIDE} points, {IMAGES} images; the fitted ones correlate with "
        f"their pictures by {min(correlation):.2f} to {max(correlation):.2f} "
        f"after {STEPS} steps. Medians with the range, and below the share "
        "of planes that one threshold puts on the wrong side (each left out "
        "in its turn; both kinds count alike, chance is 50 %). "
        f"{seconds:.0f} s.",
        "",
        "| | " + " | ".join(MEASURES) + " |",
        "|---|" + "---|" * len(MEASURES),
    ]
    for kind, rows in found.items():
        cells = [
            f"{np.median(c):.2g} ({c.min():.2g} to {c.max():.2g})"
            for c in rows.T
        ]
        lines.append(f"| {kind} | " + " | ".join(cells) + " |")
    for name, shares in errors(found).items():
        cells = [f"{100 * share:.0f} %" for share in shares]
        lines.append(f"| errors against {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> None:
    """Make all planes and write the table."""
    torch.set_num_threads(1)
    began = time.perf_counter()
    d = data.book_dataset()
    x = F.avg_pool2d(d.train_x, 2)
    nets = networks(x[:4000], d.train_y[:4000])
    batch = x[:IMAGES], d.train_y[:IMAGES]
    other = x[4000:4500], d.train_y[4000:4500]
    found, correlation = {}, []
    for i, picture in enumerate(pictures()):
        for kind, plane, extent in planes(nets, i, batch, picture):
            moved = copy.deepcopy(nets[i])
            moved.load_state_dict(plane.origin)
            m = landscape.plane_measures(
                moved, F.cross_entropy, batch, plane, extent, SIDE, other=other
            )
            row = [getattr(m, name) for name in MEASURES]
            found.setdefault(kind, []).append(row)
            if kind == "fitted":
                correlation.append(plane.notes["fit"]["correlation"])
            print(i, kind, np.round(row, 3), flush=True)
    found = {k: np.array(v) for k, v in found.items()}
    seconds = time.perf_counter() - began
    store(
        "patterns",
        {
            "measures": MEASURES,
            "medians": {k: np.median(rows, 0) for k, rows in found.items()},
            "errors": errors(found),
            "correlation": [min(correlation), max(correlation)],
            "planes": PLANES,
            "images": IMAGES,
        },
        "python benchmarks/patterns.py",
        model="perceptron 196-32-10",
        data=d.name,
        seconds=seconds,
    )
    text = table(found, correlation, seconds)
    print(text)
    write_section("patterns", text)


if __name__ == "__main__":
    main()
