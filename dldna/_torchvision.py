"""The one place that imports torchvision, and mends a known mismatch.

torchvision's wheels are built against CUDA. Beside a CPU build of torch
``import torchvision`` then stops at "operator torchvision::nms does not
exist": its binary extension is not loaded, and two operators that its
Python code mentions have no schema. Defining the two schemas is enough
for data sets, transforms and models; calling the operators themselves
still fails clearly.
"""

import sys
from types import ModuleType

import torch

from dldna.checks import need

SCHEMA = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
_kept = []  # a library fragment takes its schemas along when it dies


def torchvision(why: str = "this") -> ModuleType:
    """Import torchvision, also beside a torch it was not built for.

    Call it before you import a package that imports torchvision itself
    (transformers, timm), where that stops at "operator torchvision::nms
    does not exist".

    The plain import is tried first. Only where it fails with the missing
    operator are the two schemas defined, and the import tried again.

    Args:
        why: what it is needed for, as a noun phrase.

    Returns:
        The module, with ``datasets``, ``models`` and ``transforms``.

    Raises:
        ImportError: torchvision is not installed, or is broken.

    Example:
        >>> from dldna import data
        >>> data.torchvision().__name__
        'torchvision'
    """
    try:
        return need("torchvision", "data", why)
    except RuntimeError as error:
        if "torchvision::nms does not exist" not in str(error):
            raise ImportError(
                f"{why} needs torchvision, which is installed but broken: "
                f"{error}"
            ) from error
    _forget()
    define_schemas()
    return need("torchvision", "data", why)


def define_schemas() -> None:
    """Define the schemas of ``nms`` and ``qnms``, where they are missing."""
    fragment = torch.library.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        if not hasattr(torch.ops.torchvision, name):
            fragment.define(name + SCHEMA)
    _kept.append(fragment)


def _forget() -> None:
    for name in list(sys.modules):
        if name.partition(".")[0] == "torchvision":
            del sys.modules[name]
