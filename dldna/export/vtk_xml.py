"""VTK's XML files, which ParaView, VisIt and PyVista read.

A surface is written as triangles at the heights of its losses (``.vtp``), or
flat, as an image whose points hold the losses (``.vti``). Numbers stand in
the files as they are, in binary, base64.
"""

import base64
import struct
import sys
from xml.sax.saxutils import quoteattr

import numpy as np

from dldna.export.height_scales import Heights, clean, coordinates, lift

TYPES = {"f8": "Float64", "i8": "Int64", "u1": "UInt8"}


def surface_vtp(
    alphas: np.ndarray,
    betas: np.ndarray,
    losses: np.ndarray,
    heights: Heights,
    metrics: dict[str, np.ndarray] | None = None,
    title: str = "loss surface",
) -> str:
    """A surface as triangles, two for each cell, with point data.

    The array ``loss`` has the losses as they are, NaN and inf among them;
    the geometry has the heights.

    Args:
        alphas: (A,) coordinates.
        betas: (B,) coordinates.
        losses: (A, B).
        heights: of the losses.
        metrics: more point data by name, each (A, B).
        title: for a comment.

    Returns:
        The file's text.

    Example:
        >>> from dldna.export.height_scales import heights
        >>> z = np.arange(6.0).reshape(3, 2)
        >>> text = surface_vtp(np.arange(3.0), np.arange(2.0), z, heights(z))
        >>> 'NumberOfPoints="6"' in text, 'NumberOfPolys="4"' in text
        (True, True)
    """
    n, m = len(alphas), len(betas)
    x, y = coordinates(alphas, betas)
    z = lift(alphas, betas) * heights.z.ravel()
    corner = np.arange(n * m).reshape(n, m)[:-1, :-1].reshape(-1, 1)
    cells = corner + np.array([0, m, m + 1, 0, m + 1, 1])
    arrays = _point_data(losses, heights.finite, metrics)
    return _polydata(
        np.stack([x, y, z], 1), "Polys", cells.reshape(-1, 3),
        {name: np.ravel(v) for name, v in arrays.items()},
        f"{title}; {heights.said}",
    )  # fmt: skip


def path_vtp(
    coords: np.ndarray,
    losses: np.ndarray,
    heights: Heights,
    factor: float,
    title: str = "trajectory",
) -> str:
    """A trajectory as one poly-line.

    Args:
        coords: (T, 2) coordinates.
        losses: (T,) true losses.
        heights: the surface's scale.
        factor: how high a height of 1 is drawn.
        title: for a comment.

    Returns:
        The file's text.
    """
    points = np.column_stack([coords, factor * heights.of(losses)])
    line = np.arange(len(points))[None]
    return _polydata(points, "Lines", line, {"loss": losses}, title)


def surface_vti(
    alphas: np.ndarray,
    betas: np.ndarray,
    losses: np.ndarray,
    metrics: dict[str, np.ndarray] | None = None,
    title: str = "loss surface",
) -> str:
    """A surface as an image: losses and metrics on an even grid.

    Args:
        alphas: (A,) coordinates, evenly spaced.
        betas: (B,) coordinates, evenly spaced.
        losses: (A, B).
        metrics: more point data by name, each (A, B).
        title: for a comment.

    Returns:
        The file's text.

    Raises:
        ValueError: a coordinate is not evenly spaced.

    Example:
        >>> z = np.arange(6.0).reshape(3, 2)
        >>> text = surface_vti(np.arange(3.0), np.arange(2.0), z)
        >>> 'WholeExtent="0 2 0 1 0 0"' in text
        True
    """
    steps = [_spacing("alphas", alphas), _spacing("betas", betas)]
    extent = f"0 {len(alphas) - 1} 0 {len(betas) - 1} 0 0"
    arrays = _point_data(losses, np.isfinite(losses), metrics)
    data = {name: np.asarray(v).T.ravel() for name, v in arrays.items()}
    return _file("ImageData", title, [
        f'<ImageData WholeExtent="{extent}" Origin="{float(alphas[0])!r} '
        f'{float(betas[0])!r} 0" Spacing="{steps[0]!r} {steps[1]!r} 1">',
        f'<Piece Extent="{extent}">', *_group("PointData", data),
        "</Piece>", "</ImageData>",
    ])  # fmt: skip


def _point_data(losses, finite, metrics) -> dict[str, np.ndarray]:
    found = {"loss": losses, "finite": np.asarray(finite).astype("u1")}
    return found | (metrics or {})


def _spacing(name: str, values: np.ndarray) -> float:
    steps = np.diff(values)
    if not len(steps):
        return 1.0
    if np.ptp(steps) > 1e-6 * abs(steps.mean()):
        raise ValueError(
            f"{name} are not evenly spaced, as an image's points are: take "
            "the triangles of a .vtp file"
        )
    return float(steps.mean())


def _polydata(points, kind, cells, data, title) -> str:
    n, width = cells.shape
    count = {"Polys": 0, "Lines": 0} | {kind: n}
    ends = width * np.arange(1, n + 1)
    return _file("PolyData", title, [
        "<PolyData>",
        f'<Piece NumberOfPoints="{len(points)}" NumberOfVerts="0" '
        f'NumberOfLines="{count["Lines"]}" NumberOfStrips="0" '
        f'NumberOfPolys="{count["Polys"]}">',
        *_group("PointData", data), "<Points>",
        _array("Points", points.ravel(), 3), "</Points>", f"<{kind}>",
        _array("connectivity", cells.ravel()), _array("offsets", ends),
        f"</{kind}>", "</Piece>", "</PolyData>",
    ])  # fmt: skip


def _file(kind: str, title: str, lines: list[str]) -> str:
    order = "LittleEndian" if sys.byteorder == "little" else "BigEndian"
    said = clean(title, 250).replace("--", "- ")
    return "\n".join([
        '<?xml version="1.0"?>',
        f'<VTKFile type="{kind}" version="1.0" byte_order="{order}" '
        'header_type="UInt64">',
        f"<!-- {said} -->", *lines, "</VTKFile>", "",
    ])  # fmt: skip


def _group(name: str, data: dict[str, np.ndarray]) -> list[str]:
    first = quoteattr(next(iter(data)))
    arrays = [_array(key, values) for key, values in data.items()]
    return [f"<{name} Scalars={first}>", *arrays, f"</{name}>"]


def _array(name: str, values: np.ndarray, components: int = 1) -> str:
    values = np.ascontiguousarray(values)
    if values.dtype.str[1:] not in TYPES:
        whole = np.issubdtype(values.dtype, np.integer)
        values = values.astype("i8" if whole else "f8")
    raw = values.tobytes()
    text = base64.b64encode(struct.pack("=Q", len(raw)) + raw).decode()
    word = quoteattr(clean(name, 60) or "unnamed")
    return (
        f'<DataArray type="{TYPES[values.dtype.str[1:]]}" Name={word} '
        f'NumberOfComponents="{components}" format="binary">{text}'
        "</DataArray>"
    )


# The names of the writer of legacy files, which these took the place of.
surface_vtk, path_vtk = surface_vtp, path_vtp
