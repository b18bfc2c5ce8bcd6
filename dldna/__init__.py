"""dldna: how deep networks start, how they move and what they move on.

The package behind the executable book. The rooms, from the ground up:

- :mod:`dldna.params`, :mod:`dldna.records`: named tensors; results.
- :mod:`dldna.data`, :mod:`dldna.models`, :mod:`dldna.problems`,
  :mod:`dldna.graph`: what is trained, and on what.
- :mod:`dldna.init`, :mod:`dldna.optim`, :mod:`dldna.landscape`: how
  networks start, how they move, and what they move on.
- :mod:`dldna.training`: loops, sweeps and what is measured on the way.
- :mod:`dldna.integrations`: the same in training loops of others.
- :mod:`dldna.plotting`: pictures of records.
- :mod:`dldna.model_page`: one page on a model, ``dldna.page``.
- :mod:`dldna.explorer`: a landscape to walk in, ``dldna.explore``.
"""

from typing import Any

from dldna import old_paths as _old_paths  # noqa: F401, lead on

__version__ = "1.0.0rc1"


def __getattr__(name: str) -> Any:
    if name == "page":  # the top room, imported when it is asked for
        from dldna.model_page import page

        return page
    if name == "explore":
        from dldna.explorer import explore

        return explore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
