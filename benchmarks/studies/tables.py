"""Pieces of other scripts' work, each in a process of its own.

    python -m benchmarks.studies.tables mup OUT.json '{"width": 64, ...}'

A piece that cannot save within itself is stopped where it stands while the
queue is paused, and goes on; only when the queue ends is it begun anew.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional as F

from benchmarks.studies import (
    convexity,
    planes,
    reading_jobs,
    sharpness,
    smoke,
)
from benchmarks.studies.desk import Desk, Paused
from benchmarks.studies.jobs import Table
from benchmarks.studies.state import strict
from dldna import data, training
from dldna.files import write_atomic
from dldna.training import tournament

LOOK = 0.2  # seconds between two looks at a piece
ORPHAN = 2.0  # seconds between two looks for the queue itself
OF_TRAINED = ("plane", "convexity", "sharpness")  # of a network of the queue
ON_IMAGES = ("tournament", *OF_TRAINED)
RESUMED = ("tournament", "plane", "convexity", *reading_jobs.MAKERS)


def run_table(desk: Desk, job: Table, source: str) -> dict[str, Any]:
    """One piece: what its function returned.

    Args:
        desk: says when to stand still.
        job: the piece.
        source: the data set's name.

    Raises:
        Paused: the queue is to end.
        RuntimeError: the piece failed; the log says why.
    """
    work = desk.state.folder / "tables" / job.name
    out = work / "found.json"
    options = plain(dict(job.options))
    if job.make in ON_IMAGES:
        options |= {"source": source, "device": desk.device}
    if job.make in RESUMED:
        options["work"] = str(work)
    if job.make in OF_TRAINED:
        options["folder"] = str(desk.state.folder)
    command = [sys.executable, "-m", "benchmarks.studies.tables"]
    command += [job.make, str(out), json.dumps(options)]
    work.mkdir(parents=True, exist_ok=True)
    began, still = time.perf_counter(), 0.0
    child = subprocess.Popen(command)
    try:
        while child.poll() is None:
            time.sleep(LOOK)
            if desk.leaving():
                raise Paused
            if desk.state.paused():
                since = time.perf_counter()
                child.send_signal(signal.SIGSTOP)
                desk.state.wait(desk.leaving)
                child.send_signal(signal.SIGCONT)
                still += time.perf_counter() - since
    finally:
        child.kill()
        child.wait()
    if child.returncode:
        raise RuntimeError(f"{job.name} ended with {child.returncode}")
    seconds = time.perf_counter() - began - still
    return {"found": json.loads(out.read_text()), "seconds": seconds}


def plain(value: Any) -> Any:
    """Pairs within pairs become dicts."""
    if isinstance(value, tuple) and all(
        isinstance(v, tuple) and len(v) == 2 for v in value
    ):
        return dict(value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return value


def images_of(source: str) -> data.Dataset:
    """The data set of a name; ``noise`` is the smallest."""
    return smoke.noise() if source == "noise" else data.load(source)


def tournament_of(
    source: str, model: str, work: str, device: str, more: dict | None = None,
    images: int = 10_000, tested: int = 5_000, epochs: int = 10,
    budget: int = 3, seeds: int = 5,
) -> dict:  # fmt: skip
    """Seven optimizers at equal budgets, resumed from ``work``."""
    from dldna import models

    d = images_of(source)
    d = d.take(min(images, len(d.train_x)), n_test=min(tested, len(d.test_x)))

    def make(seed: int):
        return models.make(
            model, seed=seed, in_shape=d.shape, num_classes=len(d.classes),
            **(more or {}),
        )  # fmt: skip

    found = tournament.arena(
        make,
        d,
        budget=budget,
        seeds=seeds,
        epochs=epochs,
        out=work,
        device=None if device == "cpu" else device,
    )
    rows = [row._asdict() for row in found.ranking()]
    return {**found.to_dict(), "ranking": rows}


def mup(kind: str, width: int, images: int = 8_192, epochs: int = 10) -> dict:
    """Loss by rate and seed of one width, standard or muP."""
    from benchmarks import mup as script

    d = data.book_dataset()
    d = d.take(min(images, len(d.train_x)))
    script.EPOCHS = epochs
    x = F.avg_pool2d(d.train_x, 4)
    losses = script.losses(kind, width, x, d.train_y)
    return {"rates": script.RATES, "loss": losses, "images": len(x),
            "epochs": epochs, "data": d.name}  # fmt: skip


def scheme(scheme: str, images: int = 20_000, epochs: int = 15) -> dict:
    """Errors by rate and seed of one initialization scheme."""
    from benchmarks import init_table as script

    d = data.book_dataset()
    d = d.take(min(images, len(d.train_x)))
    make = script.maker(scheme, d.train_x[: script.BATCH])
    run = training.sweep(
        make, (d.train_x, d.train_y), "sgd",
        [{"lr": r, "momentum": script.MOMENTUM} for r in script.RATES],
        script.SEEDS, batch_size=script.BATCH, epochs=epochs,
        test=(d.test_x, d.test_y),
    )  # fmt: skip
    return {
        "rates": script.RATES,
        "epochs": epochs,
        "images": len(d.train_x),
        "data": d.name,
        "test_loss": run.test_loss,
        "test_accuracy": run.test_accuracy,
        "steps": script.steps_to(run.step_loss, script.FIXED_LOSS),
    }


def plane(source: str, **options: Any) -> dict:
    """See :func:`benchmarks.studies.planes.plane`."""
    return planes.plane(images_of(source), **options)


def convexity_map(source: str, **options: Any) -> dict:
    """See :func:`benchmarks.studies.convexity.convexity`."""
    return convexity.convexity(images_of(source), **options)


def sharpness_of(source: str, **options: Any) -> dict:
    """See :func:`benchmarks.studies.sharpness.sharpness`."""
    return sharpness.sharpness(images_of(source), **options)


MAKERS = {
    "tournament": tournament_of,
    "mup": mup,
    "scheme": scheme,
    "plane": plane,
    "convexity": convexity_map,
    "sharpness": sharpness_of,
    **reading_jobs.MAKERS,
}


def _follow(parent: int) -> None:
    """End with the queue, however that ended."""
    while os.getppid() == parent:
        time.sleep(ORPHAN)
    os._exit(1)


def main(name: str, out: str, options: str) -> None:
    """Make one piece and write it."""
    parent = os.getppid()
    threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)
    found = MAKERS[name](**json.loads(options))
    text = json.dumps(strict(found)).encode()
    write_atomic(Path(out), lambda file: file.write(text))


if __name__ == "__main__":
    main(*sys.argv[1:])
