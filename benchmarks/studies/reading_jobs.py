"""The queue's jobs on a network that reads."""

from benchmarks.studies import reading, reading_why
from benchmarks.studies.jobs import Table

MAKERS = {
    "reading-optimizer": reading.optimizer,
    "reading-long": reading.long,
    "reading-start": reading_why.start,
    "reading-classes": reading_why.classes,
    "reading-copies": reading_why.copies,
}


def jobs() -> list[Table]:
    """All of them, in an order of worth, with about their hours."""

    def job(make: str, hours: float, *ends: object, **options) -> Table:
        name = "-".join(str(part).lower() for part in (make, *ends))
        return Table(name, "D", make, tuple(options.items()), hours)

    return [
        *(job("reading-optimizer", 0.14, name, name=name)
          for name in reading.READERS),
        *(job("reading-classes", 0.06, kind, kind=kind)
          for kind in ("even", "uneven", "own")),
        job("reading-long", 0.2, "best", place=0, dropout=0.0,
            tokens=8_000_000),
        *(job("reading-start", 0.15, scheme, norm, scheme=scheme, norm=norm)
          for norm in ("pre", "post") for scheme in reading.SCHEMES),
        job("reading-copies", 0.06),
        *(job("reading-long", 0.4, ("best", "second")[place], "dropout",
              place=place, dropout=0.1, tokens=16_000_000)
          for place in (0, 1)),
        job("reading-long", 0.7, "best", "dropout", "longer", place=0,
            dropout=0.2, tokens=24_000_000, depth=4),
    ]  # fmt: skip
