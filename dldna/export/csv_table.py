"""Comma-separated values, which spreadsheets and pandas read."""

import csv
import io
from collections.abc import Mapping

import numpy as np


def columns_csv(columns: Mapping[str, np.ndarray]) -> str:
    """Columns under their names; floats with all their digits.

    Args:
        columns: arrays of one length, by name.

    Returns:
        The file's text; NaN is ``nan``.

    Example:
        >>> print(columns_csv({"x": np.array([0.1, np.nan]),
        ...                    "a, b": np.array([1, 2])}), end="")
        x,"a, b"
        0.1,1
        nan,2
    """
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(columns)
    rows.writerows(zip(*(v.tolist() for v in columns.values()), strict=True))
    return text.getvalue()
