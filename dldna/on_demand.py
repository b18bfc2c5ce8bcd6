"""Names of a package that are imported when they are asked for."""

import importlib
import sys
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from typing import Any

from dldna import old_paths


def names(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """A package's ``__getattr__``, which imports what is asked for.

    Args:
        package: its full name.
        homes: for each of its modules, the names that stand there,
            parted by spaces.

    Returns:
        The function. It knows the package's modules, too, and where they
        stood before. What needs torch says so where torch is missing.

    Example:
        >>> find = names("dldna.graph", {"expressions": "parse Term"})
        >>> find("parse").__module__
        'dldna.graph.expressions'
    """
    home_of = {n: home for home, many in homes.items() for n in many.split()}

    def find(name: str) -> Any:
        home = home_of.get(name, name)
        full = f"{package}.{home}"
        old = full.removeprefix("dldna.") in old_paths.MODULES
        private = name.startswith("_")
        if name not in home_of and (private or not (old or find_spec(full))):
            raise AttributeError(
                f"module {package!r} has no attribute {name!r}",
                name=name,
                obj=sys.modules[package],
            )
        try:
            module = importlib.import_module(full)
        except ModuleNotFoundError as error:
            if error.name != "torch":
                raise
            raise ImportError(
                f"{package}.{name} works on networks and needs torch; "
                "install it with: pip install torch"
            ) from error
        found = getattr(module, name) if name in home_of else module
        setattr(sys.modules[package], name, found)
        return found

    return find
