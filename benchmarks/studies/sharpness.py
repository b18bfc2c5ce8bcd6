"""Five measures of sharpness of trained networks and of their twins."""

import random
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from benchmarks.studies import networks
from benchmarks.studies.desk import Desk, chosen_images
from benchmarks.studies.jobs import Job, Table
from benchmarks.studies.state import State
from dldna import data, landscape, training
from dldna.data import Dataset

IMAGES = 500
PRODUCTS = 30  # for a trace
STEPS = 5  # uphill
LAYERS = ("features.0", "features.3")  # of a twin: multiplied, and divided
FACTORS = ("rate", "batch", "decay", "augment")
KEPT = ("train_loss", "train_accuracy", "measures", "twin", "twin_factor")


def jobs(trained: list[Job]) -> list[Table]:
    """The measures of some trainings."""
    return [
        Table(
            f"sharpness-{of.name}", of.tier, "sharpness",
            (("of", of.name), ("images", IMAGES)), 0.02,
        )
        for of in trained
    ]  # fmt: skip


def measures(net: nn.Module, batch: tuple) -> dict[str, float]:
    """Five measures on a batch; two are in units of each weight."""
    loss, found = F.cross_entropy, {}
    for name, adaptive in (("eigenvalue", False), ("relative", True)):
        pairs = landscape.top_eigenpairs(
            net, loss, batch, 1, 0.03, adaptive=adaptive, parts=0
        )
        found[name] = pairs.eigenvalues[0]
    found["trace"] = landscape.trace(
        net, loss, batch, products=PRODUCTS, method="hutch++"
    ).value
    for name, rho, adaptive in (("sam", 0.05, False), ("asam", 0.5, True)):
        found[name] = landscape.sam_sharpness(
            net, loss, batch, rho=rho, adaptive=adaptive, steps=STEPS
        ).value
    return found


def sharpness(
    d: Dataset, folder: str, device: str, of: str, images: int
) -> dict[str, Any]:
    """What a network learned, how sharp it is, and how sharp a twin.

    The twin computes the same function: one layer's weights and biases
    are multiplied, the next one's weights divided by a factor between a
    tenth and ten, which the network's name draws.

    Args:
        d: the data; of its training images those the network has seen are
            taken, not augmented.
        folder: the queue's, with weights.
        device: where to measure.
        of: the training's name.
        images: how many to measure the sharpness on.
    """
    state = State(Path(folder))
    net = networks.trained(state, of, d).to(device).eval()
    seen = Desk(state, d, "").chosen(state.result(of)["job"]["images"])
    loader = data.Loader(d.train_x[seen], d.train_y[seen], 500)
    loss, accuracy = training.evaluate(net, loader)
    batch = chosen_images(d, images, device)
    factor = 10 ** random.Random(of).uniform(-1, 1)
    twin = landscape.rescale_relu(net, *LAYERS, factor)
    with torch.no_grad():
        torch.testing.assert_close(
            twin(batch[0]), net(batch[0]), rtol=1e-3, atol=1e-3
        )
    return {
        "train_loss": loss,
        "train_accuracy": accuracy,
        "measures": measures(net, batch),
        "twin": measures(twin, batch),
        "twin_factor": factor,
    }


def of(results: dict[str, dict]) -> list[dict]:
    """Those results that are measures of sharpness."""
    return [r for r in results.values() if r["job"].get("make") == "sharpness"]


def stored_networks(results: dict[str, dict]) -> list[dict[str, Any]]:
    """Networks that are trained and measured, as a chapter reads them."""
    found = []
    for kept in of(results):
        name = dict(kept["job"]["options"])["of"]
        trained, job = results[name], results[name]["job"]
        network = {"name": name, **{key: job[key] for key in FACTORS}}
        network |= {"width": dict(job["options"])["width"]}
        network |= {key: kept["found"][key] for key in KEPT}
        for key in ("test_loss", "test_accuracy"):
            network[key] = trained[key]
        found.append(network)
    return found
