"""Packages of others, asked for where they are used."""

import importlib
from types import ModuleType


def library(name: str, why: str, package: str = "") -> ModuleType:
    """Import a module, or say which package to install.

    Args:
        name: dotted name of the module.
        why: what needs it, a noun phrase.
        package: what pip calls it, where that is not the first of the name.

    Raises:
        ImportError: it is not there; the message gives the command.

    Example:
        >>> library("not_there.inside", "this example")
        Traceback (most recent call last):
        ...
        ImportError: this example needs not_there: pip install not_there
    """
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not f"{name}.".startswith(f"{error.name}."):
            raise  # it is there, and lacks something itself
        package = package or name.partition(".")[0]
        raise ImportError(
            f"{why} needs {package}: pip install {package}"
        ) from None
