"""PLY, which MeshLab, Blender and trimesh read."""

from collections.abc import Iterable

import numpy as np

from dldna.export.height_scales import Heights, clean, coordinates, lift

GREY = (140, 140, 140)


def surface_ply(
    alphas: np.ndarray,
    betas: np.ndarray,
    heights: Heights,
    comments: Iterable[str] = (),
) -> str:
    """A surface as triangles, two for each cell.

    Every point of the grid is a vertex. One whose loss is not finite
    stands at the top, grey, with ``finite`` 0; none is left out.

    Args:
        alphas: (A,) coordinates.
        betas: (B,) coordinates.
        heights: of the (A, B) losses.
        comments: lines for the header.

    Returns:
        The file's text.

    Example:
        >>> from dldna.export.height_scales import heights
        >>> flat = heights(np.arange(6.0).reshape(3, 2))
        >>> text = surface_ply(np.arange(3.0), np.arange(2.0), flat)
        >>> [t for t in text.splitlines() if t.startswith("element")]
        ['element vertex 6', 'element face 4']
    """
    n, m = len(alphas), len(betas)
    x, y = coordinates(alphas, betas)
    factor = lift(alphas, betas)
    colours = colours_of(heights)
    vertices = [
        f"{a:.9g} {b:.9g} {factor * z:.9g} {r} {g} {c} {int(f)}"
        for a, b, z, (r, g, c), f in zip(
            x,
            y,
            heights.z.ravel(),
            colours,
            heights.finite.ravel(),
            strict=True,
        )
    ]
    faces = []
    for i in range(n - 1):
        for j in range(m - 1):
            p = i * m + j
            faces.append(f"3 {p} {p + m} {p + m + 1}")
            faces.append(f"3 {p} {p + m + 1} {p + 1}")
    head = [
        "ply",
        "format ascii 1.0",
        *_comments(heights, factor, comments),
        f"element vertex {n * m}",
        *_VERTEX,
        "property uchar finite",
        f"element face {len(faces)}",
        "property list uchar int vertex_indices",
        "end_header",
    ]
    return "\n".join([*head, *vertices, *faces]) + "\n"


def path_ply(
    coords: np.ndarray,
    losses: np.ndarray,
    heights: Heights,
    factor: float,
    comments: Iterable[str] = (),
) -> str:
    """A trajectory as vertices and edges, at the height of its losses.

    Args:
        coords: (T, 2) coordinates.
        losses: (T,) true losses.
        heights: the surface's scale.
        factor: how high a height of 1 is drawn.
        comments: lines for the header.

    Returns:
        The file's text.
    """
    z = factor * heights.of(losses)
    white = "255 255 255"
    vertices = [
        f"{a:.9g} {b:.9g} {h:.9g} {white}"
        for (a, b), h in zip(coords, z, strict=True)
    ]
    edges = [f"{i} {i + 1} {white}" for i in range(len(coords) - 1)]
    head = [
        "ply",
        "format ascii 1.0",
        *_comments(heights, factor, comments),
        f"element vertex {len(vertices)}",
        *_VERTEX,
        f"element edge {len(edges)}",
        "property int vertex1",
        "property int vertex2",
        *_COLOUR,
        "end_header",
    ]
    return "\n".join([*head, *vertices, *edges]) + "\n"


_COLOUR = [f"property uchar {c}" for c in ("red", "green", "blue")]
_VERTEX = [*(f"property float {c}" for c in "xyz"), *_COLOUR]


def _comments(heights: Heights, factor: float, more: Iterable[str]):
    yield f"comment {clean(heights.said)}"
    yield f"comment z is {factor:.9g} times the height"
    for line in more:
        yield f"comment {clean(line)}"


def colours_of(heights: Heights) -> np.ndarray:
    """(N, 3) bytes of viridis; grey where the loss is not finite."""
    from matplotlib import colormaps

    rgba = colormaps["viridis"](heights.z.ravel(), bytes=True)[:, :3]
    rgba = np.array(rgba, dtype=int)
    rgba[~heights.finite.ravel()] = GREY
    return rgba
