"""Numbers with their errors, and what stands around a figure."""

from dataclasses import dataclass, field

import numpy as np


@dataclass(frozen=True)
class Words:
    """What stands around a figure.

    Args:
        title: of the section.
        alt: what the figure shows.
        supports: a sentence that the numbers bear out.
        doubts: one that they do not, and why.
        table: the numbers behind it, columns by name.
    """

    title: str
    alt: str
    supports: str
    doubts: str
    table: dict[str, list] = field(default_factory=dict)


def num(value: float, digits: int = 3) -> str:
    """A number with three digits, or as many as are asked for.

    Example:
        >>> num(0.123456), num(2.3), num(2.3, 5), num(12345.6)
        ('0.123', '2.30', '2.3000', '12,300')
    """
    value = float(value)
    if not np.isfinite(value) or value == 0:
        return f"{value:g}"
    whole = 10 ** (digits - 1) <= abs(value) < 1e6
    if whole:
        zeros = max(0, int(np.floor(np.log10(abs(value)))) + 1 - digits)
        return f"{round(value, -zeros):,.0f}"
    return f"{value:#.{digits}g}"


def pm(value: float, error: float) -> str:
    """A number with its error, the error with two digits.

    Example:
        >>> pm(0.43125, 0.00512), pm(12.5, float("nan")), pm(812.4, 23.0)
        ('0.4313 ± 0.0051', '12.5 ± unknown', '812 ± 23')
    """
    if not np.isfinite(error):
        return f"{num(value)} ± unknown"
    if error <= 0 or not np.isfinite(value):
        return f"{num(value)} ± {num(error)}"
    places = 1 - int(np.floor(np.log10(error)))
    if places > 9 or abs(value) >= 1e6:
        return f"{value:.3g} ± {error:.2g}"
    error, value = round(error, places), round(value, places)
    places = max(0, places)
    return f"{value:,.{places}f} ± {error:,.{places}f}"


def percent(share: float, places: int = 1) -> str:
    """A share in percent.

    Example:
        >>> percent(0.8434)
        '84.3 %'
    """
    return f"{100 * share:.{places}f} %"
