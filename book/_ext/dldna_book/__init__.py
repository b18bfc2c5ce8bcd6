"""The book's own Sphinx extension: what the theme and MyST-NB leave out.

One idea per file:

- ``execution``: the execution cache follows the package, not only the cells
- ``vendor``: JavaScript copied beside the pages, so that they work offline
- ``plotly``: plotly figures as a ``<div>`` and JSON, drawn when looked at
- ``figures``: pictures with words and the numbers behind them
- ``chapters``: exercises, solutions and teacher notes; the two editions
- ``claims``: a sign behind each sentence that an assertion holds
- ``quiz``: a multiple-choice question in a page of prose
- ``moved``: pages at old addresses that go on to the new ones
- ``access``: small repairs of the HTML
- ``api``: one place for each public object, links that find it
"""

from importlib import import_module

PARTS = (
    *("execution", "vendor", "figures", "plotly", "chapters"),
    *("claims", "quiz", "moved", "access", "api"),
)


def setup(app):
    for part in PARTS:
        import_module(f"{__name__}.{part}").setup(app)
    return {"version": "1", "parallel_read_safe": True}
