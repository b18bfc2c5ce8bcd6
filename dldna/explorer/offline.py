"""One file with a map in it, for a browser without a network."""

from pathlib import Path
from typing import Any

from dldna.checks import whole
from dldna.explorer.addresses import SIDE, Address
from dldna.explorer.messages import about, answer, packed
from dldna.explorer.session import Explorer
from dldna.files import write_atomic
from dldna.pages import explorer_document
from dldna.progress import announce, track

DEEPEST = 6  # 5461 tiles, 40 MB


def check_file(path: str | Path, depth: int) -> None:
    """Refuse a file or a depth before anything is evaluated.

    Raises:
        ValueError: too deep.
        IsADirectoryError: a folder is there.
    """
    if Path(path).is_dir():
        raise IsADirectoryError(f"{path} is a folder; name a file in it")
    if not 0 <= whole("depth", depth) <= DEEPEST:
        raise ValueError(
            f"depth must lie from 0 to {DEEPEST}, not {depth}: each level "
            "has four times the tiles of the one before"
        )


def write_map(here: Explorer, path: str | Path, depth: int = 2) -> Path:
    """Write the map as it opens, with its tiles, as one HTML file.

    Args:
        here: the maps; networks side by side are written both.
        path: the file.
        depth: last level of zoom: :math:`(4^{d+1}-1)/3` tiles, each of 7
            KB, for each network; at most 6.

    Returns:
        The path written.

    Raises:
        ValueError: too deep.
        IsADirectoryError: a folder is there.
    """
    check_file(path, depth)
    still = {"live": False, "saves": False, "lowest": 0, "deepest": depth}
    own = about(here) | still
    own["directions"] = [here.first]
    own["statistics"] = [here.statistics]
    plane = own["first"] | {"ask": "plane"}
    networks = range(here.maps)
    planes = [answer(here, plane | {"side": n}) for n in networks]
    data = {
        "about": own,
        "planes": planes,
        "tiles": [_tiles(here, n, depth) for n in networks],
    }
    title = f"Loss landscape of {own['model']}"
    text = explorer_document(data, title=title)
    return write_atomic(path, lambda f: f.write(text.encode()))


def _tiles(here: Explorer, side: int, depth: int) -> dict[str, Any]:
    """All tiles of the map as it opens, as the page reads them."""
    plane = here.map(side)
    points = (SIDE * 2**depth) ** 2
    announce(f"map of {points} points ({plane.way})", points * plane.seconds)
    addresses = [
        Address(level, i, j)
        for level in range(depth + 1)
        for i in range(2**level)
        for j in range(2**level)
    ]
    return {
        "/".join(map(str, at)): packed(plane.tile(at))
        for at in track(addresses, "tiles")
    }
