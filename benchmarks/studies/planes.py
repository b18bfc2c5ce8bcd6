"""Planes through trained networks, and what is stored of them."""

import itertools
from pathlib import Path
from typing import Any

from torch import nn
from torch.nn import functional as F

from benchmarks.studies import convexity, networks
from benchmarks.studies.desk import chosen_images
from benchmarks.studies.jobs import Table
from benchmarks.studies.state import State
from dldna import landscape
from dldna.data import Dataset
from dldna.records import Surface

KEPT = (
    "alphas", "betas", "losses", "centre_loss", "directions", "path_coords",
    "path_losses", "path_projected", "path_distance", "way",
)  # fmt: skip
HOURS = {"eval": 0.6, "recalibrate": 3.0}  # 25 x 25 points, 1,000 images
TESTED = 10_000  # test images, all there are
STORED = {  # files of the package, and the networks whose planes they hold
    "big_landscapes": ("resnet50", "vgg11"),
    "skip_landscapes": (
        "resnet20", "resnet20-noskip", "resnet20-seed1",
        "resnet20-noskip-seed1", "resnet20-seed2", "resnet20-noskip-seed2",
        "resnet56", "resnet56-noskip",
    ),
}  # fmt: skip


def jobs_of(
    networks: tuple[str, ...], tier: str, resolution: int, images: int,
    strategies: tuple[str, ...] = ("random",),
    statistics: tuple[str, ...] = ("eval",),
) -> list[Table]:  # fmt: skip
    """A plane of each network, strategy and statistics, as jobs."""
    return [
        Table(
            f"plane-{of}-{strategy}-{kind}-{resolution}", tier, "plane",
            (("of", of), ("strategy", strategy), ("resolution", resolution),
             ("images", images), ("statistics", kind)),
            HOURS[kind] * (resolution / 25) ** 2 * images / 1_000,
        )
        for of, strategy, kind in itertools.product(
            networks, strategies, statistics
        )
    ]  # fmt: skip


def plane(
    d: Dataset, folder: str, work: str, device: str, of: str,
    strategy: str, resolution: int, images: int, statistics: str,
) -> dict[str, Any]:  # fmt: skip
    """A plane through a trained network, resumed from ``work``.

    Args:
        d: the data; the plane is over training images, drawn once for all
            networks and not augmented.
        folder: the queue's, with weights and path.
        work: for finished tiles.
        device: where to evaluate.
        of: the training's name.
        strategy: ``random`` directions, filter-normalised, or ``pca``: the
            first two components of the network's path.
        resolution: points along each axis.
        images: how many.
        statistics: of batch normalisation.
    """
    state = State(Path(folder))
    laid = strategy == "pca"
    # A path of VGG-11 is that of the folded network, the same function.
    net = networks.trained(state, of, d, folded=laid).to(device).eval()
    path = landscape.Trajectory(state.path(of)) if laid else None
    held = chosen_images(d, images, device)
    found = landscape.surface(
        net, F.cross_entropy, held, strategy,
        extent="path" if laid else 1.0, resolution=resolution, out=work,
        trajectory=path, statistics=statistics, metrics="accuracy",
        data_name=d.name,
    )  # fmt: skip
    return kept_of(found, net, path)


def kept_of(
    found: Surface, net: nn.Module, path: landscape.Trajectory | None
) -> dict[str, Any]:
    """What is stored of a plane."""
    notes = found.provenance.notes
    kept = {name: getattr(found, name) for name in KEPT}
    kept |= {
        "accuracy": found.metrics["accuracy"],
        "n_params": found.provenance.n_params,
        "samples": found.provenance.n_samples,
        "statistics": notes["statistics"],
        "made": notes["directions"],
        "points_per_second": notes["points_per_second"],
        "seconds": found.provenance.seconds,
        "created": found.provenance.created,
    }
    if path is not None:
        kept["explained"] = notes["explained"]
        kept["steps"] = path.steps
        kept["step_lengths"] = path.step_lengths()
    return kept


def stored_networks(
    results: dict[str, dict], names: tuple[str, ...]
) -> dict[str, dict]:
    """Networks that are trained and have a plane, as a chapter reads them.

    Args:
        results: of finished jobs, by name.
        names: of the trainings.

    Returns:
        By name: ``setting``, ``training``, ``surfaces`` by strategy, and
        ``convexity``, where there is a map.
    """
    found = {}
    for name in names:
        surfaces = surfaces_of(results, name)
        if name not in results or not surfaces:
            continue
        trained = results[name]
        setting = {
            key: trained["job"][key]
            for key in ("model", "images", "epochs", "batch", "augment")
        }
        setting |= {k: trained[k] for k in ("rate", "optimizer")}
        setting["data"] = trained["about"]["data"]
        training = {
            k: trained[k] for k in ("test_loss", "test_accuracy", "seconds")
        }
        training |= {
            k: trained["epochs"][k] for k in ("train_loss", "train_accuracy")
        }
        training["tested"] = TESTED
        found[name] = {
            "setting": setting,
            "training": training,
            "surfaces": surfaces,
        }
        curved = convexity.map_of(results, name)
        if curved is not None:
            found[name]["convexity"] = curved
    return found


def surfaces_of(results: dict[str, dict], name: str) -> dict[str, dict]:
    """A network's planes by strategy, ``-recalibrate`` where they are so.

    Of two resolutions the finer one.
    """
    planes = []
    for kept in results.values():
        if kept["kind"] == "table" and kept["job"]["make"] == "plane":
            options = dict(kept["job"]["options"])
            if options["of"] == name:
                planes.append((options["resolution"], options, kept))
    found = {}
    for _, options, kept in sorted(planes, key=lambda p: p[0]):
        key = options["strategy"]
        if options["statistics"] != "eval":
            key += f"-{options['statistics']}"
        found[key] = {**kept["found"], "command": kept["command"]}
    return found
