"""A view that is kept: its picture, its record, and the code that makes it."""

from pathlib import Path
from typing import Any

from dldna.explorer.session import Explorer
from dldna.files import write_atomic

CODE = '''"""Makes the record beside this file again."""

from dldna.explorer import Explorer

# {model}, {parameters} parameters; {data}, {samples} samples; {loss}.
# Give your own model, loss and data here, and what else you gave:
#     explorer = Explorer(model, loss_fn, data, {options})
surface = explorer.surface(
    ({a!r}, {b!r}), {span!r}, side={side!r},
    directions={directions!r}, seed={seed!r}, statistics={statistics!r},
)
surface.save("surface.npz")
'''


def keep(
    here: Explorer, centre: tuple[float, float], span: float, **plane: Any
) -> Path:
    """Write ``surface.npz``, ``picture.png`` and ``view.py``.

    They go to a folder of their own, ``view-1``, ``view-2`` and so on, in
    the explorer's own folder.

    Args:
        here: the maps.
        centre: (2,) of the window.
        span: its width and height.
        **plane: as :meth:`Explorer.map` takes it.

    Returns:
        The folder.

    Raises:
        ValueError: the explorer has no folder.
    """
    if here.out is None:
        raise ValueError("nothing is kept without a folder: give out=...")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from dldna.plotting import contour

    record = here.surface(centre, span, **plane)
    number = 1
    while (here.out / f"view-{number}").exists():
        number += 1
    home = here.out / f"view-{number}"
    record.save(home / "surface.npz")
    figure = Figure(figsize=(7, 6), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    contour(record, axes)
    a, b = centre
    axes.set(
        xlim=(a - span / 2, a + span / 2), ylim=(b - span / 2, b + span / 2)
    )
    write_atomic(
        home / "picture.png", lambda f: figure.savefig(f, format="png")
    )
    own = record.provenance
    text = CODE.format(
        model=own.model, parameters=own.n_params, data=own.data,
        samples=own.n_samples, loss=own.loss, a=a, b=b, span=span,
        options=f"extent={here.extent!r}", **plane,
    )  # fmt: skip
    write_atomic(home / "view.py", lambda f: f.write(text.encode()))
    return home
