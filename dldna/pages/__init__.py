"""All that runs in a page: widgets, and the files that they are made of.

A widget is one piece of HTML with its numbers, style and script. It asks
nothing of a server or a kernel, so it works in the rendered page, from disk,
in Jupyter and in Colab. What scripts share stands once, in ``page.js``. The
viewer's files are filled in by :func:`dldna.export.page`, the explorer's by
:mod:`dldna.explorer`, which answers what its page asks.
"""

from dldna.pages.explorer_page import explorer_document, explorer_module
from dldna.pages.init_lab_page import init_lab
from dldna.pages.live_network_page import LEARNERS, live_network
from dldna.pages.matrix_playground_page import (
    MATRIX_PLAYERS,
    matrix_playground,
)
from dldna.pages.momentum_map_page import momentum_map
from dldna.pages.playground_page import PLAYERS, player, playground
from dldna.pages.widget import Widget

__all__ = [
    "LEARNERS",
    "MATRIX_PLAYERS",
    "PLAYERS",
    "Widget",
    "explorer_document",
    "explorer_module",
    "init_lab",
    "live_network",
    "matrix_playground",
    "momentum_map",
    "player",
    "playground",
]
