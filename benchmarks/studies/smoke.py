"""The whole queue with tiny networks: does all of it still run?"""

from dataclasses import replace

import torch

from benchmarks.studies.jobs import Job, Search, Training
from dldna.data import Dataset

READING = (("tokens", 320), ("context", 8), ("batch_size", 4),
           ("most", 4))  # fmt: skip
TINY = {
    "tournament": (
        ("model", "mlp"), ("images", 40), ("tested", 20), ("epochs", 1),
        ("budget", 2), ("seeds", 2),
    ),
    "mup": (("kind", "mup"), ("width", 64), ("images", 64), ("epochs", 1)),
    "plane": (
        ("of", "vgg11"), ("strategy", "pca"), ("resolution", 3),
        ("images", 20), ("statistics", "eval"),
    ),
    "convexity": (("of", "vgg11"), ("resolution", 2), ("images", 20)),
    "sharpness": (("of", "spread-00"), ("images", 20)),
    "scheme": (("scheme", "orthogonal"), ("images", 512), ("epochs", 1)),
    "reading-optimizer": (("name", "Muon"), *READING, ("seeds", 2)),
    "reading-classes": (("kind", "even"), *READING, ("seeds", 1)),
    "reading-start": (
        ("scheme", "mup"), ("norm", "post"), ("depth", 1), ("seeds", 1),
        *READING,
    ),
    "reading-copies": (*READING, ("tuned", 320), ("seeds", 2)),
}  # fmt: skip


def shrunk(jobs: list[Job]) -> list[Job]:
    """The same jobs, tiny; of the tables one of each kind."""
    found, kinds = [], set()
    for job in jobs:
        if isinstance(job, Training):
            found.append(small(job))
        elif isinstance(job, Search):
            found.append(
                replace(
                    job, of=small(job.of), rates=job.rates[:2], epochs=2,
                    images=48, more=min(job.more, 1),
                )
            )  # fmt: skip
        elif job.make not in kinds and job.make in TINY:
            kinds.add(job.make)
            found.append(replace(job, options=TINY[job.make]))
    return found


def small(job: Training) -> Training:
    """A training of seconds, on the same paths through the code."""
    deep = job.model.startswith("resnet")
    plain = "-noskip" if job.model.endswith("-noskip") else ""
    return replace(
        job,
        model=f"resnet8{plain}" if deep else "cnn",
        epochs=2,
        images=64 if job.images >= 50_000 else 48,
        batch=min(job.batch, 16),
        stretch=min(job.stretch, 3),
        points=tuple(min(n, 2) for n in job.points),
        options=(("width", 4),) if not deep else (),
    )


def noise() -> Dataset:
    """80 images, the class of each is a colour."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(100) % 10
    colours = torch.rand(10, 3, 1, 1, generator=draw)
    images = torch.rand(100, 3, 32, 32, generator=draw)
    images = (images + 3 * colours[labels]) / 2 - 1
    return Dataset(
        "colours", images[:80], labels[:80], images[80:], labels[80:],
        tuple(f"colour {k}" for k in range(10)),
    )  # fmt: skip
