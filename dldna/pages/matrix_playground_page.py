"""The matrix playground: walks whose parameter is a matrix.

Problems and rules stand in ``matrix_playground_rules.js`` and
``matrix_rules.js`` and are held to :mod:`dldna.optim` by a test.
"""

from collections.abc import Mapping, Sequence

from dldna import checks
from dldna.optim import find
from dldna.pages.widget import FIGURE_SCRIPTS, FIGURE_STYLES, Widget, widget

MATRIX_PLAYERS = (
    *("sgd", "momentum", "nesterov", "rmsprop", "adam", "lion"),
    *("adafactor", "muon", "shampoo", "soap"),
)
"""The matrix playground's optimizers: the last four look at a matrix's rows
and columns, the others at each number by itself."""

MATRIX_PROBLEMS = ("regression", "target", "factors")
LENGTHS = (50, 100, 200, 400)
SCRIPTS = (
    *FIGURE_SCRIPTS,
    *("playback.js", "matrix_math.js", "matrix_rules.js"),
    *("matrix_playground_rules.js", "matrix_playground.js"),
)


def matrix_playground(
    problem: str = "regression",
    optimizers: Sequence[str] = ("momentum", "adam", "muon", "shampoo"),
    *,
    settings: Mapping[str, float] | None = None,
    steps: int = 100,
    seed: int = 0,
    height: int = 240,
) -> Widget:
    r"""Walks of a matrix, and the singular values that move with it.

    On two weights Muon, Shampoo, SOAP and AdaFactor have nothing to see. Here
    the parameter is a matrix :math:`W`, and the loss

    .. math::
        \tfrac12 |A W B - C|^2, \qquad \tfrac12 |W - C|^2
        \quad\text{or}\quad \tfrac14 |W W^\top - M|^2.

    Drawn are the loss, the singular values of :math:`W` and of each step,
    and the walks' shadow on the plane that fits them best, which says how
    much of them it holds. Rates are tuned on the spot and can be moved.

    Args:
        problem: "regression", "target" or "factors".
        optimizers: :data:`MATRIX_PLAYERS` in any spelling, at most 4.
        settings: learning rates by optimizer; where none is given, the best
            of 13 on this problem.
        steps: 50, 100, 200 or 400.
        seed: of the start.
        height: of each picture, in pixels.

    Returns:
        An object that shows itself in notebooks and pages.

    Raises:
        ValueError: an unknown problem or optimizer, more than four.

    Example:
        >>> "http" in matrix_playground("target", ["Muon", "AdaFactor"]).html
        False

    References:
        Gupta, Koren, Singer, 2018, ICML, arXiv 1802.09568.
        Jordan, K., et al., 2024, "Muon: an optimizer for hidden layers in
        neural networks".
    """
    names = [_player(name) for name in optimizers]
    if not 1 <= len(names) <= 4 or len(set(names)) < len(names):
        raise ValueError(
            f"1 to 4 optimizers, each once, not {', '.join(names) or 'none'}"
        )
    rates = {}
    for name, lr in (settings or {}).items():
        rates[_player(name)] = float(checks.positive("lr", lr))
    content = {
        "problem": checks.choice("problem", problem, MATRIX_PROBLEMS),
        "optimizers": names,
        "all": list(MATRIX_PLAYERS),
        "lr": rates,
        "steps": int(checks.choice("steps", str(steps), [*map(str, LENGTHS)])),
        "seed": int(seed),
    }
    return widget(
        *("matrix_playground.html", "MATRIX"),
        (*FIGURE_STYLES, "matrix_playground.css"),
        SCRIPTS,
        content,
        HEIGHT=checks.count("height", height),
    )


def _player(name: str) -> str:
    """The playground's name of an optimizer, from any spelling."""
    known = find(name)
    if known.key not in MATRIX_PLAYERS:
        raise ValueError(
            f"{known.name} does not play on matrices: choose from "
            f"{', '.join(MATRIX_PLAYERS)}"
        )
    return known.key
