"""A convexity map of ResNet-20: products with warm and with cold starts.

    python benchmarks/convexity.py [SIDE IMAGES]

ResNet-20 after 150 steps, a few images, and a patch of the plane of 25 x 25
points that a map has by default: 9 x 9 of them at the same spacing, from the
centre on. What all 25 x 25 points would take follows from the first row, the
first column and the rest. Cold starts are counted in two ways: both ends of
the spectrum by one search, and each end by a search of its own, as who calls
``top_eigenpairs`` twice. At nine points of the patch all are held to a search
whose tolerance is a hundredth.
"""

import copy
import sys
import time
from itertools import product

import numpy as np
import torch
from _report import write_section
from torch import nn
from torch.nn import functional as F

from dldna import data, landscape, models, params
from dldna.landscape.curvature.eigenpairs import search
from dldna.landscape.curvature.extremes import extremes
from dldna.landscape.space.directions import Given

STEPS, BATCH, RATE = 150, 64, 0.1
SIDE, IMAGES = map(int, sys.argv[1:3] or (9, 16))
SPACING, TOL = 1 / 12, 0.1
SOME = (0, SIDE // 2, SIDE - 1)  # where the reference is calculated
NINE = tuple(product(SOME, SOME))


def trained() -> nn.Module:
    """The network after a short training, the same each time."""
    d = data.book_dataset()
    net = models.make("resnet20", seed=0, in_shape=d.shape, num_classes=10)
    optimizer = torch.optim.SGD(
        net.parameters(), RATE, 0.9, nesterov=True, weight_decay=5e-4
    )
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, RATE, total_steps=STEPS
    )
    draw = torch.Generator().manual_seed(0)
    for _ in range(STEPS):
        i = torch.randint(0, len(d.train_x), (BATCH,), generator=draw)
        optimizer.zero_grad()
        F.cross_entropy(net(d.train_x[i]), d.train_y[i]).backward()
        optimizer.step()
        rates.step()
    return net.eval()


def one_by_one(operator, tol: float) -> tuple[np.ndarray, int]:
    """Both ends by a search for each, and the products of both."""
    values, spent = [], 0
    for which in ("smallest", "largest"):
        found = search(operator, 1, tol, which=which, seed=0, limit=200)
        values.append(float(found.values[0]))
        spent += found.products
    return np.array(values), spent


def apart(
    net: nn.Module, batch, plane, found, some=NINE, strict=TOL / 100
) -> dict[str, np.ndarray]:
    """At some points: two searches, and the reference."""
    rows = {"products": [], "ratio": [], "true": [], "seconds": []}
    for i, j in some:
        at = plane.point([float(found.alphas[i]), float(found.betas[j])])
        moved = copy.deepcopy(net)
        moved.load_state_dict(at, strict=False)
        operator = landscape.Operator(moved, F.cross_entropy, batch)
        began = time.process_time()
        ends, spent = one_by_one(operator, TOL)
        rows["seconds"].append(time.process_time() - began)
        start = torch.randn(
            1, operator.n, generator=torch.Generator().manual_seed(1)
        )
        true = extremes(operator.__matmul__, start, strict, least=20).values
        rows["products"].append(spent)
        rows["ratio"].append(abs(ends[0] / ends[1]))
        rows["true"].append(abs(float(true[0] / true[1])))
    return {k: np.array(v) for k, v in rows.items()}


def whole(products: np.ndarray) -> float:
    """Products a point on 25 x 25 points, of which 48 begin a line."""
    inner = products[1:, 1:]
    rim = (products.sum() - inner.sum() - products[0, 0]) / (
        products.size - inner.size - 1
    )
    return (products[0, 0] + 48 * rim + 576 * inner.mean()) / 625


def table(warm, cold, two, seconds) -> str:
    """The section of ``RESULTS.md``."""
    some = np.ix_(SOME, SOME)
    each = whole(warm.products)
    rows = [
        ("warm starts", each, warm.ratio[some], seconds["warm"]),
        ("cold, both ends at once", whole(cold.products), cold.ratio[some],
         seconds["cold"]),
        ("cold, a search for each end", two["products"].mean(),
         two["ratio"], seconds["two"]),
    ]  # fmt: skip
    lines = [
        "## Convexity map",
        "",
        f"`benchmarks/convexity.py`: ResNet-20 after {STEPS} steps, "
        f"{IMAGES} images, a patch of {SIDE} x {SIDE} points of a plane of "
        "25 x 25 (from the centre on; products are extrapolated to all of "
        "it by its first row and column and the rest), both ends of the "
        f"Hessian's spectrum with relative residuals of at most {TOL:g}. "
        "Errors of the ratio at nine points; the searches of one end each "
        "were made there alone.",
        "",
        "| | products a point | times warm | error of the ratio, mean | "
        "largest | seconds a point |",
        "|---|---|---|---|---|---|",
    ]
    for name, products, ratio, took in rows:
        gap = np.abs(np.ravel(ratio) - two["true"])
        lines.append(
            f"| {name} | {products:.1f} | {products / each:.2f} | "
            f"{gap.mean():.1e} | {gap.max():.1e} | {took:.1f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Make both maps and write the table."""
    torch.set_num_threads(1)
    d, net = data.book_dataset(), trained()
    batch = d.train_x[:IMAGES], d.train_y[:IMAGES]
    given = Given(net, seed=0)
    plane = landscape.Plane(
        params.of(net), landscape.choose_directions("random", given)
    )
    maps, seconds = {}, {}
    for name in ("warm", "cold"):
        began = time.perf_counter()
        maps[name] = landscape.convexity_map(
            net, F.cross_entropy, batch, plane, tol=TOL, warm=name == "warm",
            resolution=SIDE, extent=(0, (SIDE - 1) * SPACING),
        )  # fmt: skip
        seconds[name] = (time.perf_counter() - began) / SIDE**2
        print(name, maps[name].products.mean(), seconds[name], flush=True)
    two = apart(net, batch, plane, maps["warm"])
    seconds["two"] = two["seconds"].mean()
    text = table(maps["warm"], maps["cold"], two, seconds)
    print(text)
    write_section("convexity", text)


if __name__ == "__main__":
    main()
