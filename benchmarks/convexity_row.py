"""A row of the convexity map of the *trained* ResNet-20: warm and cold.

    python -m benchmarks.convexity_row [POINTS IMAGES]

The network and the images of the queue's job ``convexity-resnet20-25``, whose
whole map takes hours; here the middle row from the centre on, at the same
spacing. Cold starts are both ends of the spectrum by one search at each
point; at two corners also a search for each end, and a reference whose
tolerance is a tenth.
"""

import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F

from benchmarks.studies import networks
from benchmarks.studies.__main__ import source_of
from benchmarks.studies.desk import chosen_images
from benchmarks.studies.state import State, default_folder
from dldna import data, landscape, params
from dldna.landscape.space.directions import Given

sys.path.insert(0, str(Path(__file__).parent))
import convexity
from _report import write_section

POINTS, IMAGES = map(int, sys.argv[1:3] or (3, 128))
CORNERS = ((0, 0), (POINTS - 1, 1))


def rows(net, batch, plane):
    """Points with warm and with cold starts, and seconds a point."""
    found, seconds = {}, {}
    for name in ("warm", "cold"):
        began = time.process_time()
        found[name] = landscape.convexity_map(
            net, F.cross_entropy, batch, plane, tol=convexity.TOL,
            warm=name == "warm", resolution=(POINTS, 2),
            extent=((0, (POINTS - 1) * convexity.SPACING),
                    (0, convexity.SPACING)),
        )  # fmt: skip
        seconds[name] = (time.process_time() - began) / (2 * POINTS)
        print(name, found[name].products.mean(), seconds[name], flush=True)
    return found, seconds


def table(found, two, seconds) -> str:
    """The section of ``RESULTS.md``."""
    corners = tuple(np.transpose(CORNERS))
    each = found["warm"].products.mean()
    later = found["warm"].products.ravel()[1:].mean()
    lines = [
        "## Convexity map of the trained ResNet-20",
        "",
        f"`benchmarks/convexity_row.py`: the network of the queue (20 epochs, "
        f"CIFAR-10 as JPEGs), {IMAGES} training images, {POINTS} x 2 points "
        "of its plane of 25 x 25 from the centre on; relative residuals of "
        f"at most {convexity.TOL:g}. Warm starts take {later:.1f} products a "
        "point after the first. Errors of the ratio at two corners, against a "
        "tolerance of a tenth; "
        "seconds of one core.",
        "",
        "| | products a point | times warm | error of the ratio, mean | "
        "largest | seconds a point |",
        "|---|---|---|---|---|---|",
    ]
    told = [
        ("warm starts", each, found["warm"].ratio[corners], seconds["warm"]),
        ("cold, both ends at once", found["cold"].products.mean(),
         found["cold"].ratio[corners], seconds["cold"]),
        ("cold, a search for each end", two["products"].mean(),
         two["ratio"], seconds["two"]),
    ]  # fmt: skip
    for name, products, ratio, took in told:
        gap = np.abs(np.ravel(ratio) - two["true"])
        lines.append(
            f"| {name} | {products:.1f} | {products / each:.2f} | "
            f"{gap.mean():.1e} | {gap.max():.1e} | {took:.1f} |"
        )
    lines += [
        "",
        "One cold search for both ends may stop early at eigenvectors of "
        "others: few products, and a wrong ratio.",
    ]
    return "\n".join(lines)


def main() -> None:
    """Make the row twice and write the table."""
    torch.set_num_threads(1)
    d = data.load(source_of(None))
    net = networks.trained(State(default_folder()), "resnet20", d).eval()
    batch = chosen_images(d, IMAGES, "cpu")
    plane = landscape.Plane(
        params.of(net), landscape.choose_directions("random", Given(net))
    )
    found, seconds = rows(net, batch, plane)
    two = convexity.apart(
        net, batch, plane, found["warm"], CORNERS, convexity.TOL / 10
    )
    seconds["two"] = two["seconds"].mean()
    text = table(found, two, seconds)
    print(text)
    write_section("convexity-trained", text)


if __name__ == "__main__":
    main()
