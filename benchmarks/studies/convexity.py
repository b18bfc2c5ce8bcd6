"""Convexity maps of trained networks."""

from pathlib import Path
from typing import Any

from torch.nn import functional as F

from benchmarks.studies import networks
from benchmarks.studies.desk import chosen_images
from benchmarks.studies.jobs import Table
from benchmarks.studies.state import State
from dldna import landscape
from dldna.data import Dataset

KEPT = (
    "alphas", "betas", "smallest", "largest", "residuals", "products",
    "directions",
)  # fmt: skip
IMAGES = 128
PRODUCTS = 7  # of a point, for estimates
SPEEDS = {  # images/s of a training step in float32, on one thread
    "resnet20": 256, "resnet56": 73, "resnet50": 86, "vgg11": 84,
}  # fmt: skip


def jobs() -> list[Table]:
    """The two large networks, and depth 20 and 56 with and without skips."""
    small = [
        f"resnet{depth}{kind}"
        for depth in (20, 56)
        for kind in ("", "-noskip")
    ]
    sizes = dict.fromkeys(("resnet50", "vgg11"), 9) | dict.fromkeys(small, 25)
    return [
        Table(
            f"convexity-{of}-{side}", "B", "convexity",
            (("of", of), ("resolution", side), ("images", IMAGES)),
            round(hours(of, side), 1),
        )
        for of, side in sizes.items()
    ]  # fmt: skip


def hours(of: str, side: int) -> float:
    """About what a map takes: a product is two steps of training."""
    each = 2 * IMAGES / SPEEDS[of.removesuffix("-noskip")]
    return side**2 * PRODUCTS * each / 3600


def convexity(
    d: Dataset, folder: str, work: str, device: str, of: str,
    resolution: int, images: int,
) -> dict[str, Any]:  # fmt: skip
    """A convexity map through a trained network, resumed from ``work``.

    VGG-11 is taken without its equal columns: the same function with a
    quarter of the weights, whose Hessian is another.

    Args:
        d: the data; the map is over training images, drawn once for all
            networks and not augmented.
        folder: the queue's, with weights.
        work: for finished rows.
        device: where to evaluate.
        of: the training's name.
        resolution: points along each axis.
        images: how many.
    """
    net = networks.trained(State(Path(folder)), of, d, folded=True)
    found = landscape.convexity_map(
        net.to(device).eval(), F.cross_entropy,
        chosen_images(d, images, device), resolution=resolution, out=work,
        data_name=d.name,
    )  # fmt: skip
    made, notes = found.provenance, found.provenance.notes
    kept = {name: getattr(found, name) for name in KEPT}
    told = ("tol", "looked again", "found further out", "not converged")
    return kept | {
        "ratio": found.ratio,
        "n_params": made.n_params,
        "samples": made.n_samples,
        "statistics": notes["statistics"],
        "made": notes["directions"],
        "search": {name: notes[name] for name in told},
        "seconds": made.seconds,
        "created": made.created,
    }


def map_of(results: dict[str, dict], name: str) -> dict[str, Any] | None:
    """A network's map, the finest, or None."""
    found = [
        {**kept["found"], "command": kept["command"]}
        for kept in results.values()
        if kept["job"].get("make") == "convexity"
        and dict(kept["job"]["options"])["of"] == name
    ]
    return max(found, key=lambda one: len(one["alphas"]), default=None)
