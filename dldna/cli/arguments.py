"""What the words of a command line mean."""

import importlib
import importlib.util
import re
import sys
from argparse import Action, ArgumentTypeError
from collections.abc import Sequence
from pathlib import Path
from typing import Any

UNITS = {"": 1.0, "s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0}


class Renamed(Action):
    """An option by its former name: taken, and said."""

    def __call__(self, parser, namespace, value, option=None):
        print(f"{option} is now --{self.dest}", file=sys.stderr)
        setattr(namespace, self.dest, value)


def bound(words: Sequence[str]) -> list[str]:
    """A command's words, each value that begins with a minus at its option.

    argparse takes ``-0.5:1.5`` for an option of its own.

    Example:
        >>> bound(["--extent", "-0.5:1.5", "--plan"])
        ['--extent=-0.5:1.5', '--plan']
    """
    found: list[str] = []
    for word in words:
        option = bool(found) and re.fullmatch(r"--[\w-]+", found[-1])
        if option and re.match(r"-\.?\d", word):
            word = f"{found.pop()}={word}"
        found.append(word)
    return found


def budget(text: str) -> tuple[float | None, int | None]:
    """Seconds or points: ``90``, ``90s``, ``5m``, ``2h``, ``500points``.

    Example:
        >>> budget("5m"), budget("500points")
        ((300.0, None), (None, 500))
    """
    match = re.fullmatch(r"([0-9.]+)\s*([a-z]*)", text.strip().lower())
    unit = match[2] if match else None
    try:
        if unit in {"p", "point", "points"}:
            points = int(match[1])
            if points > 0:
                return None, points
        elif unit in UNITS and float(match[1]) > 0:
            return float(match[1]) * UNITS[unit], None
    except ValueError:
        pass
    raise ArgumentTypeError(
        f"{text!r} is no budget; examples: 90s, 5m, 2h, 500points"
    )


def grid(text: str) -> int | tuple[int, int]:
    """A resolution: ``41`` or ``40x25``.

    Example:
        >>> grid("41"), grid("40x25")
        (41, (40, 25))
    """
    match = re.fullmatch(r"(\d+)(?:x(\d+))?", text.strip().lower())
    if not match:
        raise ArgumentTypeError(
            f"{text!r} is no grid; examples: 41, 25x25, 40x20"
        )
    first = int(match[1])
    return (first, int(match[2])) if match[2] else first


def extent(text: str) -> Any:
    """A range: ``1``, ``-0.5:1.5``, ``-1:1,-2:2``, or ``path``.

    Example:
        >>> extent("0.5"), extent("-1:2"), extent("-1:1,-2:2")
        (0.5, (-1.0, 2.0), ((-1.0, 1.0), (-2.0, 2.0)))
    """
    if text == "path":
        return text
    try:
        parts = [
            tuple(float(v) for v in part.split(":"))
            for part in text.split(",")
        ]
        if len(parts) == 1 and len(parts[0]) == 1:
            return parts[0][0]
        if all(len(p) == 2 for p in parts) and len(parts) <= 2:
            return parts[0] if len(parts) == 1 else tuple(parts)
    except ValueError:
        pass
    raise ArgumentTypeError(
        f"{text!r} is no extent; examples: 1, -0.5:1.5, -1:1,-2:2, path"
    )


def directions(text: str) -> str | tuple[str, ...]:
    """Directions of a plane: one word, or two.

    Example:
        >>> directions("hessian"), directions("gradient, random")
        ('hessian', ('gradient', 'random'))
    """
    parts = tuple(part.strip() for part in text.split(","))
    return parts[0] if len(parts) == 1 else parts


def thing(text: str) -> Any:
    """What ``module:name`` or ``file.py:name`` names.

    Raises:
        ValueError: not of that form.
        ImportError: there is no such module or name in it.

    Example:
        >>> thing("math:pi") > 3
        True
    """
    home, colon, name = text.rpartition(":")
    if not colon or not home or not name:
        raise ValueError(
            f"{text!r} should be module:name or file.py:name, as in "
            "my_models.py:make_net"
        )
    if home.endswith(".py"):
        if not Path(home).exists():
            raise FileNotFoundError(f"no file {home}")
        file = Path(home).resolve()
        spec = importlib.util.spec_from_file_location(_free_name(file), file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module  # so that its classes can be sent
        if str(file.parent) not in sys.path:  # and other processes find it
            sys.path.append(str(file.parent))
        spec.loader.exec_module(module)
    else:
        here = str(Path.cwd())
        if here not in sys.path:
            sys.path.insert(0, here)
        module = importlib.import_module(home)
    found = module
    for part in name.split("."):
        if not hasattr(found, part):
            raise ImportError(f"{home} has no {name!r}")
        found = getattr(found, part)
    return found


def _free_name(file: Path) -> str:
    """A file's name as a module, which takes no other module's place."""
    try:
        known = importlib.util.find_spec(file.stem)
    except (ImportError, ValueError):
        known = None
    if known is None or known.origin == str(file):
        return file.stem
    return f"{file.stem} in {file.parent}"
