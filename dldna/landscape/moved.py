"""Where modules stood before: their old paths go on working.

Public names that notebooks and scripts import stay importable under the
addresses of version 1.0.0.dev0.
"""

import importlib
import sys

MOVED = {
    "checkpoints": "space.checkpoints",
    "connectivity": "curves",
    "directions": "space.directions",
    "grid": "scan.grid",
    "identity": "scan.fingerprint",
    "inputs": "scan.options",
    "locking": "scan.locking",
    "normalise": "space.normalise",
    "null": "paths.null",
    "plane": "space.plane",
    "probe": "scan.truth",
    "recorder": "paths.recorder",
    "remember": "space.stored",
    "running": "scan.scan",
    "samples": "shape.samples",
    "scales": "shape.scales",
    "store": "scan.store",
    "topology": "shape.topology",
    "trajectory": "paths.trajectory",
    "two_weights": "slice",
    "weight_space": "paths.weight_space",
    "wells": "shape.wells",
    "workers": "scan.pool",
}


def alias(package: str) -> None:
    """Let each old path name the module that stands elsewhere now.

    Args:
        package: the package whose modules moved.

    Example:
        >>> import dldna.landscape.topology
        >>> dldna.landscape.topology.__name__
        'dldna.landscape.shape.topology'
    """
    home = sys.modules[package]
    for old, new in MOVED.items():
        module = importlib.import_module(f"{package}.{new}")
        sys.modules.setdefault(f"{package}.{old}", module)
        if not hasattr(home, old):
            setattr(home, old, module)
