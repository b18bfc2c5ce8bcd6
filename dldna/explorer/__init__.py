"""A landscape to walk in: maps of a network's loss, computed where one looks.

:func:`explore`, which is also ``dldna.explore``, shows a map in a notebook,
or writes one file that works offline; ``dldna explore`` shows it in a
browser. :class:`Explorer` is what stands behind both: tiles at every zoom,
probes, cuts and walkers, by plain calls.
"""

from dldna.explorer.exploring import explore
from dldna.explorer.plane_map import PlaneMap
from dldna.explorer.session import Explorer
from dldna.explorer.walkers import walk

__all__ = ["Explorer", "PlaneMap", "explore", "walk"]
