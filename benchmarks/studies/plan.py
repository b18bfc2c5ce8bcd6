"""The queue's jobs, tier by tier, in the order of their work."""

import itertools
from dataclasses import replace

from benchmarks.studies import convexity, planes, reading_jobs, sharpness
from benchmarks.studies.jobs import Job, Search, Table, Training, searched

PATH = {"points": (10, 10, 4)}
HALF = {**PATH, "precision": "float16"}
DEPTH_EPOCHS = 20  # the budget of every depth, with and without skips
ADAM = (3e-4, 1e-3, 3e-3)
SGD = (0.01, 0.03, 0.1)


def jobs() -> list[Job]:
    """All of the queue.

    Example:
        >>> len({job.name for job in jobs()}) == len(jobs())
        True
    """
    return [
        *large(),
        *planes.jobs_of(
            ("resnet50", "vgg11"), "A", 25, 1_000, ("random", "pca")
        ),
        *depth(20, "A"),
        *depth(56, "A"),
        *skip_planes(20, 56),
        *control(),
        *recipes(),
        *sensitivity(),
        *more_seeds(),
        *depth(32, "B"),
        *depth(44, "B"),
        *ninety(),
        *convexity.jobs(),
        *batches(),
        *spread(),
        *sharpness.jobs(spread()),
        *arenas(),
        *tables(),
        *reading_jobs.jobs(),
    ]


def pack() -> list[Job]:
    """What a GPU does: tiers A and B, the deepest networks, finer planes."""
    first = [job for job in jobs() if job.tier in "AB"]
    finer = planes.jobs_of(
        ("resnet50", "vgg11", "resnet56", "resnet56-noskip", "resnet110",
         "resnet110-noskip"),
        "G", 51, 5_000,
    )  # fmt: skip
    return [*first, *depth(110, "G"), *finer]


def large() -> list[Job]:
    """ResNet-50 and VGG-11, all images, ten epochs."""
    resnet = Training(
        "resnet50", "A", "resnet50", 1e-3, 10, optimizer="adam",
        options=(("zero", 1),), **HALF,
    )  # fmt: skip
    vgg = Training(
        "vgg11", "A", "vgg11", 1e-3, 10, optimizer="adam", decay=0.0, **HALF
    )
    other = replace(vgg, optimizer="sgd")
    tries = (
        Search("vgg11-rate-adam", "A", vgg, (1e-4, 3e-4, 1e-3)),
        Search("vgg11-rate-sgd", "A", other, SGD),
    )
    return [
        *searched(resnet, ADAM),
        *tries,
        replace(vgg, rate=tuple(t.name for t in tries)),
    ]


def depth(layers: int, tier: str) -> list[Job]:
    """A residual network and the same without skips."""
    found = []
    for kind in ("", "-noskip"):
        name = f"resnet{layers}{kind}"
        of = Training(name, tier, name, 0.1, DEPTH_EPOCHS, **PATH)
        found += searched(of, (0.03, 0.1, 0.3), epochs=2)
    return found


def skip_planes(*depths: int) -> list[Job]:
    """Planes of equal size, with frozen and with recalibrated statistics.

    Of the deepest pair coarse ones come first: a point takes three times
    as long as one of depth 20.
    """
    networks = tuple(
        f"resnet{depth}{kind}" for depth in depths for kind in ("", "-noskip")
    )
    frozen, fresh = ("eval",), ("recalibrate",)
    return [
        *planes.jobs_of(networks[-2:], "A", 15, 1_000, statistics=frozen),
        *planes.jobs_of(networks[-2:], "A", 7, 1_000, statistics=fresh),
        *planes.jobs_of(networks, "A", 25, 1_000, statistics=frozen + fresh),
    ]


def control() -> list[Job]:
    """One epoch of ResNet-50 in batches of ten, and of 128."""
    found = []
    for batch in (10, 128):
        of = Training(
            f"resnet50-batch{batch}", "B", "resnet50", 1e-3, 1,
            batch=batch, optimizer="adam", options=(("zero", 1),),
        )  # fmt: skip
        found += searched(of, ADAM if batch == 128 else (1e-4, 3e-4, 1e-3))
    return found


def recipes() -> list[Job]:
    """ResNet-50's other recipes, by the search that its own went through."""
    found = []
    for kind, zero in (("adam", 0), ("sgd", 0), ("sgd", 1)):
        of = Training(
            "", "B", "resnet50", 0.1, 1, optimizer=kind,
            options=(("zero", 1),) if zero else (),
        )  # fmt: skip
        name = f"recipe-resnet50-{kind}" + ("-zero" if zero else "")
        rates = (1e-3, 3e-3, 9e-3) if kind == "adam" else SGD
        found.append(Search(name, "B", of, rates))
    return found


def sensitivity() -> list[Job]:
    """Nine rates over four powers of ten, for both large networks."""
    found = []
    for model, kind in itertools.product(
        ("resnet50", "vgg11"), ("adam", "sgd")
    ):
        low = 1e-5 if kind == "adam" else 1e-3
        rates = tuple(float(f"{low * 10 ** (k / 2):.2g}") for k in range(9))
        of = Training(
            "", "B", model, low, 1, optimizer=kind,
            decay=0.0 if model == "vgg11" else 5e-4,
        )  # fmt: skip
        name = f"sensitivity-{model}-{kind}"
        found.append(Search(name, "B", of, rates, more=0))
    return found


def more_seeds() -> list[Job]:
    """Two more seeds of depth 20, at the rates of the first, and planes.

    Those with recalibrated statistics are coarse, as of the deepest pair.
    """
    pairs = [
        Training(
            f"resnet20{kind}-seed{seed}", "B", f"resnet20{kind}",
            (f"resnet20{kind}-rate",), DEPTH_EPOCHS, seed=seed, **PATH,
        )
        for seed in (1, 2)
        for kind in ("", "-noskip")
    ]  # fmt: skip
    names = tuple(job.name for job in pairs)
    fresh = ("recalibrate",)
    return [
        *pairs,
        *planes.jobs_of(names, "B", 25, 1_000),
        *planes.jobs_of(names, "B", 7, 1_000, statistics=fresh),
    ]


def ninety() -> list[Job]:
    """ResNet-20 as long as 90 % takes, from three seeds."""
    return [
        Training(
            f"resnet20-long-seed{seed}", "B", "resnet20",
            ("resnet20-rate",), 30, seed=seed, **PATH,
        )
        for seed in range(3)
    ]  # fmt: skip


def batches() -> list[Job]:
    """Batch 128 against 8,192: equal epochs, equal steps, equal loss.

    500 steps are 1.3 passes in batches of 128, and 82 in batches of
    8,192; 20 passes are 7,800 steps, and 120. The rate is tuned for each
    on the budget of its own, and for the equal loss taken from the first.
    """
    wide = (("width", 16),)
    found = []
    rates = {128: SGD, 8192: (0.03, 0.1, 0.3)}
    for batch, stretch in ((128, 390), (8192, 6)):
        plain = Training(
            "", "C", "cnn", 0.1, 20, batch=batch, stretch=stretch,
            options=wide, augment=False, **PATH,
        )  # fmt: skip
        steps = replace(plain, epochs=10, stretch=50)
        loss = replace(
            plain, epochs=40, until=0.8, schedule="constant", stretch=stretch
        )
        for budget, of in (("epochs", plain), ("steps", steps)):
            name = f"batch{batch}-{budget}"
            found.append(
                Search(
                    f"{name}-rate", "C", of, rates[batch], of.epochs, 45_000
                )
            )
            found += seeds(of, name, (f"{name}-rate",))
        found += seeds(
            loss, f"batch{batch}-loss", (f"batch{batch}-epochs-rate",)
        )
    return found


def seeds(of: Training, name: str, rate: tuple[str, ...]) -> list[Training]:
    """The same from three seeds."""
    return [
        replace(of, name=f"{name}-seed{seed}", seed=seed, rate=rate)
        for seed in range(3)
    ]


def spread() -> list[Job]:
    """32 networks over rate, batch, decay, augmentation and width."""
    ways = itertools.product(
        (0.01, 0.05), (64, 512), (0.0, 1e-3), (False, True), (8, 24)
    )
    return [
        Training(
            f"spread-{k:02d}", "C", "cnn", rate, 20, 10_000, batch,
            decay=decay, augment=augment, options=(("width", width),),
        )
        for k, (rate, batch, decay, augment, width) in enumerate(ways)
    ]  # fmt: skip


def arenas() -> list[Job]:
    """Tournaments of optimizers on 10,000 images, ten epochs."""
    small = (("width", 64), ("depth", 4))
    return [
        Table("arena-cnn", "C", "tournament", (("model", "arena-cnn"),), 2.0),
        Table(
            "arena-transformer-small", "C", "tournament",
            (("model", "transformer"), ("more", small)), 3.0,
        ),
    ]  # fmt: skip


def tables() -> list[Job]:
    """muP and initialization at lengths where widths and schemes part."""
    return [
        Table(f"mup-{kind}-{width}", "C", "mup",
              (("kind", kind), ("width", width)), 0.1)
        for width in (64, 128, 256, 512, 1024)
        for kind in ("standard", "mup")
    ] + [
        Table(f"init-{scheme}", "C", "scheme", (("scheme", scheme),), 0.1)
        for scheme in (
            "lecun_normal", "xavier_normal", "kaiming_normal", "orthogonal",
            "scaled_orthogonal", "torch_default", "lsuv", "zero_hadamard",
            "double_counted_orthogonal", "constant_variance",
        )
    ]  # fmt: skip
