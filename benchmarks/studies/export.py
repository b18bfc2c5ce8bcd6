"""The small results in one file: rates, losses, accuracies, hours."""

import io
import json
from collections import Counter
from pathlib import Path

from PIL import Image

from benchmarks.studies import planes, reading_jobs, sharpness
from benchmarks.studies.jobs import Job
from benchmarks.studies.state import State
from benchmarks.studies.tables import OF_TRAINED
from dldna import stored
from dldna.data.archive import members
from dldna.files import write_atomic

COMMAND = "python -m benchmarks.studies"


def results(state: State, jobs: list[Job]) -> dict[str, dict]:
    """What is finished, by name, in the order of the queue."""
    found = {job.name: state.result(job.name) for job in jobs}
    return {name: kept for name, kept in found.items() if kept is not None}


def to_file(state: State, jobs: list[Job]) -> Path:
    """All results in one file of the folder, ``studies.json``."""
    text = json.dumps(results(state, jobs)).encode()
    path = state.folder / "studies.json"
    return write_atomic(path, lambda file: file.write(text))


def to_package(state: State, jobs: list[Job]) -> str:
    """Store the results in the package, and say what they are.

    Raises:
        SystemExit: nothing is finished.
    """
    found = results(state, jobs)
    if not found:
        raise SystemExit(f"nothing is finished in {state.folder} yet")
    missing = [job.name for job in jobs if job.name not in found]
    seconds = sum(kept["seconds"] for kept in found.values())
    abouts = [kept["about"] for kept in found.values()]
    stored.store(
        "studies",
        {"jobs": of_no_file(found), "missing": missing},
        command=COMMAND,
        made="networks trained to their end",
        seed=0,
        model="see each job",
        data=common(abouts, "data"),
        n_samples=50_000,
        loss="cross_entropy",
        seconds=round(seconds, 1),
        notes={
            "hours": round(seconds / 3600, 2),
            "hardware": common(abouts, "hardware"),
            "weights": "kept in the state folder; the command makes them",
        },
    )
    for file in planes.STORED:
        landscapes(file, found)
    reading(found)
    sharp(found)
    return table(found)


def of_no_file(found: dict[str, dict]) -> dict[str, dict]:
    """The results whose numbers have no file of their own."""
    own = {*OF_TRAINED, *reading_jobs.MAKERS}
    return {
        name: kept
        for name, kept in found.items()
        if kept["job"].get("make") not in own
    }


def reading(found: dict[str, dict]) -> None:
    """Store what the networks that read came to, beside what was there."""
    own = {"data": "plays", "arithmetic": "float32"}  # not the queue's
    fresh = {
        name: {**kept, "about": {**kept["about"], **own}}
        for name, kept in found.items()
        if kept["job"].get("make") in reading_jobs.MAKERS
    }
    if not fresh:
        return
    old = stored.stored("reading") if "reading" in stored.names() else {}
    kept = {**old.get("jobs", {}), **fresh}
    stored.store(
        "reading",
        {"jobs": kept},
        command=f"{COMMAND} reading-...",
        made="transformers trained on characters",
        seed=0,
        model="DecoderTransformer, see each job",
        data="plays",
        loss="cross_entropy",
        dtype="float32",
        threads=1,
        seconds=round(sum(one["seconds"] for one in kept.values()), 1),
        notes={"hardware": common([k["about"] for k in fresh.values()],
                                  "hardware")},
    )  # fmt: skip


def landscapes(file: str, found: dict[str, dict]) -> None:
    """Store a file's planes; networks without a new one stay as they were."""
    fresh = planes.stored_networks(found, planes.STORED[file])
    if not fresh:
        return
    old = stored.stored(file) if file in stored.names() else {}
    networks = {**old.get("networks", {}), **fresh}
    each = [
        one["seconds"]
        for network in networks.values()
        for one in (network["training"], *network["surfaces"].values())
    ]
    stored.store(
        file,
        {"networks": networks},
        command=COMMAND,
        made="trained networks, and planes through the end of training",
        seed=0,
        model=", ".join(networks),
        data=common([n["setting"] for n in networks.values()], "data"),
        n_samples=max(n["setting"]["images"] for n in networks.values()),
        loss="cross_entropy",
        seconds=round(sum(each)),
        notes={
            "hardware": common([found[name]["about"] for name in fresh],
                               "hardware"),
            "training_dtype": "bfloat16 autocast",
            "surface_dtype": "float32",
        },
    )  # fmt: skip


def sharp(found: dict[str, dict]) -> None:
    """Store how sharp networks are, and how well they learned."""
    made = sharpness.of(found)
    if not made:
        return
    stored.store(
        "sharpness",
        {"networks": sharpness.stored_networks(found)},
        command=f"{COMMAND} spread-... sharpness-...",
        made="sharpness of networks trained at different settings",
        seed=0,
        model="SmallCNN",
        data=common([kept["about"] for kept in made], "data"),
        n_samples=sharpness.IMAGES,
        loss="cross_entropy",
        dtype="float32",
        threads=1,
        seconds=round(sum(kept["seconds"] for kept in made), 1),
        notes={"hardware": common([k["about"] for k in made], "hardware")},
    )  # fmt: skip


def from_package(state: State, jobs: list[Job]) -> list[str]:
    """Take what the package has stored for done, where nothing is yet.

    Weights and paths are not among it: a job that needs them says so.

    Returns:
        The names of the jobs that were taken over.
    """
    kept = dict(stored.stored("studies")["jobs"])
    if "reading" in stored.names():
        kept |= stored.stored("reading")["jobs"]
    names = [
        job.name
        for job in jobs
        if job.name in kept and state.result(job.name) is None
    ]
    for name in names:
        state.finish(name, kept[name])
    return names


def common(abouts: list[dict], key: str) -> str:
    """What all results share, or all that there are, joined."""
    return " and ".join(Counter(about[key] for about in abouts))


def table(found: dict[str, dict]) -> str:
    """The trained networks in Markdown.

    Example:
        >>> print(table({}))
        | network | test accuracy | epochs | images | seed | rate | hours |
        |---|---|---|---|---|---|---|
    """
    lines = [
        "| network | test accuracy | epochs | images | seed | rate | hours |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, kept in found.items():
        if kept["kind"] != "training":
            continue
        job = kept["job"]
        lines.append(
            f"| {name} | {100 * kept['test_accuracy']:.2f} % | "
            f"{len(kept['epochs']['seconds'])} | {job['images']:,} | "
            f"{job['seed']} | {kept['optimizer']} {kept['rate']:g} | "
            f"{kept['seconds'] / 3600:.2f} |"
        )
    return "\n".join(lines)


def label_of(source: str) -> str:
    """What the images are; of JPEGs with the quality that they have."""
    if not source.startswith("folder:"):
        return {"CIFAR10": "CIFAR-10"}.get(source, source)
    folder = Path(source.removeprefix("folder:"))
    name = folder.name
    archive = folder / "test.tar.gz"
    if name != "cifar10-jpeg" or not archive.exists():
        return name
    first = next(
        data for file, data in members(archive) if file.endswith(".jpg")
    )
    return f"CIFAR-10 as JPEG, quality {quality(first)}"


def quality(data: bytes) -> int:
    """The quality of a JPEG, from its first quantization step.

    The standard's table begins with 16, scaled by 50 / q below q = 50 and
    by 2 - q / 50 above.
    """
    with Image.open(io.BytesIO(data)) as image:
        first = image.quantization[0][0]
    scale = first / 16
    return round(50 / scale if scale > 1 else 50 * (2 - scale))
