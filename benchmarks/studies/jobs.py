"""What is trained: searches of a rate, and trainings, tier by tier."""

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Training:
    """One network, trained; all that its numbers follow from.

    Args:
        name: of the job and of its files.
        tier: A, B or C: the order of the work.
        model: see :func:`benchmarks.studies.networks.build`.
        rate: largest learning rate, or the name of the search that
            chooses it.
        epochs: passes over the images.
        images: of the training set; all 50,000, or the first so many of
            those that are not kept for validation.
        batch: images for each step.
        optimizer: ``sgd`` or ``adam``.
        decay: weight decay.
        augment: shifts of up to four pixels, and mirrors.
        seed: of the weights, the order and the augmentation.
        points: checkpoints of the path in the first epoch, the second,
            ...; the last number holds for all that follow, and none for
            no path.
        options: more for the network, as pairs.
        precision: of the path on disk.
    """

    name: str
    tier: str
    model: str
    rate: str | float
    epochs: int
    images: int = 50_000
    batch: int = 128
    optimizer: str = "sgd"
    decay: float = 5e-4
    augment: bool = True
    seed: int = 0
    points: tuple[int, ...] = ()
    options: tuple[tuple[str, int], ...] = ()
    precision: str = "float32"


@dataclass(frozen=True)
class Search:
    """Rates tried on a part of the data, the best kept on validation.

    Args:
        of: what is tried; its rate, images and epochs are those below.
        rates: tried first, in growing order; while the best is at an
            edge, the next beyond it is tried too.
        more: at most so many beyond.
    """

    name: str
    tier: str
    of: Training
    rates: tuple[float, ...]
    epochs: int = 1
    images: int = 10_000
    more: int = 3

    def trial(self, rate: float) -> Training:
        """The training of one rate."""
        return replace(
            self.of,
            name=f"{self.name}/{rate:.3g}",
            rate=rate,
            epochs=self.epochs,
            images=self.images,
            points=(),
        )


Job = Training | Search
BIG = {"points": (10, 10, 4), "precision": "float16"}
SMALL = {"points": (10, 10, 4)}


def searched(of: Training, rates, **options) -> tuple[Search, Training]:
    """A training, and before it the search of its rate."""
    name = f"{of.name}-rate"
    search = Search(name, of.tier, of, tuple(rates), **options)
    return search, replace(of, rate=name)


def tier_a() -> list[Job]:
    """Both large networks; depth 20 and 56 with and without skips."""
    resnet, vgg = large()
    found = [*resnet, *vgg]
    for depth in (20, 56):
        for skip in ("", "-noskip"):
            name = f"resnet{depth}{skip}"
            of = Training(name, "A", name, 0.1, 20, **SMALL)
            found += searched(of, (0.03, 0.1, 0.3), epochs=2)
    return found


def large() -> tuple[tuple[Search, Training], ...]:
    """ResNet-50 and VGG-11, each after its search."""
    resnet = Training(
        "resnet50", "A", "resnet50", 1e-3, 10, optimizer="adam",
        options=(("zero", 1),), **BIG,
    )  # fmt: skip
    vgg = Training("vgg11", "A", "vgg11", 0.1, 10, decay=0.0, **BIG)
    return (
        searched(resnet, (3e-4, 1e-3, 3e-3)),
        searched(vgg, (0.01, 0.03, 0.1)),
    )


def jobs() -> list[Job]:
    """All of the queue, in the order of its work."""
    return tier_a()
