"""Legacy VTK text, which ParaView and VisIt read."""

import numpy as np

from dldna.export.height_scales import Heights, clean, coordinates, lift


def surface_vtk(
    alphas: np.ndarray,
    betas: np.ndarray,
    losses: np.ndarray,
    heights: Heights,
    metrics: dict[str, np.ndarray] | None = None,
    title: str = "loss surface",
) -> str:
    """A surface as a structured grid with the losses as point data.

    The array ``loss`` has the losses as they are, NaN and inf among them;
    the geometry has the heights.

    Args:
        alphas: (A,) coordinates.
        betas: (B,) coordinates.
        losses: (A, B).
        heights: of the losses.
        metrics: more point data by name, each (A, B).
        title: for the second line.

    Returns:
        The file's text.

    Example:
        >>> from dldna.export.height_scales import heights
        >>> z = np.arange(6.0).reshape(3, 2)
        >>> text = surface_vtk(np.arange(3.0), np.arange(2.0), z, heights(z))
        >>> text.splitlines()[4:6]
        ['DIMENSIONS 2 3 1', 'POINTS 6 double']
    """
    n, m = len(alphas), len(betas)
    x, y = coordinates(alphas, betas)
    z = lift(alphas, betas) * heights.z.ravel()
    lines = _head(f"{title}; {heights.said}", "STRUCTURED_GRID")
    lines += [f"DIMENSIONS {m} {n} 1", f"POINTS {n * m} double"]
    lines += _points(x, y, z)
    lines.append(f"POINT_DATA {n * m}")
    arrays = {"loss": losses, "finite": heights.finite.astype(float)}
    arrays |= metrics or {}
    for name, values in arrays.items():
        word = "_".join(clean(name, 60).split()) or "unnamed"
        lines += [f"SCALARS {word} double 1", "LOOKUP_TABLE default"]
        lines += [_number(v) for v in np.ravel(values)]
    return "\n".join(lines) + "\n"


def path_vtk(
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
        title: for the second line.

    Returns:
        The file's text.
    """
    t = len(coords)
    z = factor * heights.of(losses)
    lines = _head(title, "POLYDATA")
    lines.append(f"POINTS {t} double")
    lines += _points(coords[:, 0], coords[:, 1], z)
    lines += [f"LINES 1 {t + 1}", " ".join(map(str, [t, *range(t)]))]
    lines += [f"POINT_DATA {t}", "SCALARS loss double 1"]
    lines += ["LOOKUP_TABLE default", *(_number(v) for v in losses)]
    return "\n".join(lines) + "\n"


def _head(title: str, kind: str) -> list[str]:
    return [
        "# vtk DataFile Version 3.0",
        clean(title, 250),
        "ASCII",
        f"DATASET {kind}",
    ]


def _points(x, y, z) -> list[str]:
    return [
        f"{a:.9g} {b:.9g} {c:.9g}" for a, b, c in zip(x, y, z, strict=True)
    ]


def _number(value: float) -> str:
    return f"{value:.17g}"
