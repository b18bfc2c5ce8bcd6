"""Functions of two variables that show what optimizers do.

Each problem is listed once, here; chapters, tests and the playground take
it from ``PROBLEMS``. ``formula`` and ``slopes`` are plain text in x and y
that Python and JavaScript read alike (``**``, ``exp``); tests hold them to
``f`` and to its gradient.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from dldna import checks
from dldna.arrays import Array, library

if TYPE_CHECKING:
    import torch

Point = tuple[float, float]


@dataclass(frozen=True)
class Problem:
    """A function of two variables, and where to begin.

    Args:
        name: its key in ``PROBLEMS``.
        f: from points (..., 2) to values (...); tensors, or arrays of
            NumPy.
        formula: f as text in x and y.
        slopes: the two partial derivatives as text.
        minima: all local minima, the lowest first.
        start: where a walk begins.
        bounds: window of a picture, (x low, x high), (y low, y high).
        description: what it shows.
        saddles: saddle points.
        noise: standard deviation of a measured gradient, along x and y.
        source: where it comes from.

    Example:
        >>> import torch
        >>> p = PROBLEMS["golden"]
        >>> w = torch.tensor(p.start)
        >>> p.f(w), p.gradient(w)
        (tensor(20.5000), tensor([  1., -20.]))
    """

    name: str
    f: Callable[[Array], Array]
    formula: str
    slopes: tuple[str, str]
    minima: tuple[Point, ...]
    start: Point
    bounds: tuple[Point, Point]
    description: str
    saddles: tuple[Point, ...] = ()
    noise: Point = (0.0, 0.0)
    source: str = ""

    def gradient(self, xy: Array) -> Array:
        r"""The exact gradient at points (..., 2).

        By autograd for tensors; for NumPy's arrays by a step into the
        complex plane, :math:`\operatorname{Im} f(x + i h e_k) / h`.

        Example:
            >>> PROBLEMS["golden"].gradient(np.array([1.0, -2.0]))
            array([  1., -20.])
        """
        xp = library(xy)
        if xp is not np:
            with xp.enable_grad():
                xy = xy.detach().clone().requires_grad_()
                return xp.autograd.grad(self.f(xy).sum(), xy)[0]
        steps = 1e-20j * np.eye(2)
        slopes = [self.f(xy + step).imag / 1e-20 for step in steps]
        return np.stack(slopes, axis=-1).astype(xy.dtype)

    def noisy_gradient(
        self,
        xy: Array,
        generator: "torch.Generator | np.random.Generator",
    ) -> Array:
        """The gradient as one mini-batch would measure it.

        Args:
            xy: points (..., 2).
            generator: of the noise; normal, independent along x and y. Of
                NumPy for its arrays, of torch for tensors.

        Returns:
            (..., 2); the exact gradient where ``noise`` is 0.
        """
        xp = library(xy)
        if xp is np:
            noise = generator.standard_normal(xy.shape) * self.noise
            return self.gradient(xy) + noise.astype(xy.dtype)
        noise = xp.randn(
            xy.shape, generator=generator, device=generator.device
        )
        return self.gradient(xy) + noise.to(xy) * xy.new_tensor(self.noise)


def problem(name: str) -> Problem:
    """One problem by name.

    Raises:
        ValueError: unknown name; the message suggests the nearest one.

    Example:
        >>> problem("rosenbrok")
        Traceback (most recent call last):
        ...
        ValueError: unknown problem 'rosenbrok': did you mean 'rosenbrock'? \
Known: beale, double-well, golden, himmelblau, ill-conditioned, \
monkey-saddle, noisy-quadratic, plateau, rosenbrock, rotated, saddle
    """
    return PROBLEMS[checks.choice("problem", name, PROBLEMS)]


def golden(xy: Array) -> Array:
    """0.5 (x^2 + 10 y^2)."""
    x, y = xy[..., 0], xy[..., 1]
    return 0.5 * (x**2 + 10 * y**2)


def ill_conditioned(xy: Array) -> Array:
    """0.5 (x^2 + 100 y^2)."""
    x, y = xy[..., 0], xy[..., 1]
    return 0.5 * (x**2 + 100 * y**2)


def rotated(xy: Array) -> Array:
    """Eigenvalues 1 along (1, 1) and 50 along (1, -1)."""
    x, y = xy[..., 0], xy[..., 1]
    return 0.25 * (x + y) ** 2 + 12.5 * (x - y) ** 2


def saddle(xy: Array) -> Array:
    """0.5 x^2 - 0.5 y^2 + 0.25 y^4."""
    x, y = xy[..., 0], xy[..., 1]
    return 0.5 * x**2 - 0.5 * y**2 + 0.25 * y**4


def rosenbrock(xy: Array) -> Array:
    """(1 - x)^2 + 100 (y - x^2)^2."""
    x, y = xy[..., 0], xy[..., 1]
    return (1 - x) ** 2 + 100 * (y - x**2) ** 2


def himmelblau(xy: Array) -> Array:
    """(x^2 + y - 11)^2 + (x + y^2 - 7)^2."""
    x, y = xy[..., 0], xy[..., 1]
    return (x**2 + y - 11) ** 2 + (x + y**2 - 7) ** 2


def beale(xy: Array) -> Array:
    """Three squares in x (1 - y^k)."""
    x, y = xy[..., 0], xy[..., 1]
    return (
        (1.5 - x + x * y) ** 2
        + (2.25 - x + x * y**2) ** 2
        + (2.625 - x + x * y**3) ** 2
    )


def double_well(xy: Array) -> Array:
    """(x^2 - 1)^2 + 0.3 x + y^2."""
    x, y = xy[..., 0], xy[..., 1]
    return (x**2 - 1) ** 2 + 0.3 * x + y**2


def monkey_saddle(xy: Array) -> Array:
    """x^3 - 3 x y^2."""
    x, y = xy[..., 0], xy[..., 1]
    return x**3 - 3 * x * y**2


def plateau(xy: Array) -> Array:
    """1 - exp(-2 (x^2 + y^2))."""
    x, y = xy[..., 0], xy[..., 1]
    return 1 - library(xy).exp(-2 * (x**2 + y**2))


_LIST = (
    Problem(
        name="golden",
        f=golden,
        formula="0.5 * (x**2 + 10 * y**2)",
        slopes=("x", "10 * y"),
        minima=((0.0, 0.0),),
        start=(1.0, -2.0),
        bounds=((-2.5, 2.5), (-2.5, 2.5)),
        description="A quadratic bowl of condition number 10.",
    ),
    Problem(
        name="ill-conditioned",
        f=ill_conditioned,
        formula="0.5 * (x**2 + 100 * y**2)",
        slopes=("x", "100 * y"),
        minima=((0.0, 0.0),),
        start=(-2.0, 0.5),
        bounds=((-2.5, 2.5), (-1.0, 1.0)),
        description="A ravine along x: the rate that y can bear is a "
        "hundred times too small for x.",
    ),
    Problem(
        name="rotated",
        f=rotated,
        formula="0.25 * (x + y)**2 + 12.5 * (x - y)**2",
        slopes=(
            "0.5 * (x + y) + 25 * (x - y)",
            "0.5 * (x + y) - 25 * (x - y)",
        ),
        minima=((0.0, 0.0),),
        start=(-2.0, -1.0),
        bounds=((-2.5, 2.5), (-2.5, 2.5)),
        description="A ravine along the diagonal: a rate for each "
        "coordinate does not help here.",
    ),
    Problem(
        name="saddle",
        f=saddle,
        formula="0.5 * x**2 - 0.5 * y**2 + 0.25 * y**4",
        slopes=("x", "y**3 - y"),
        minima=((0.0, 1.0), (0.0, -1.0)),
        start=(1.5, 0.001),
        bounds=((-2.0, 2.0), (-1.75, 1.75)),
        description="A saddle between two minima: from the ridge the "
        "gradient leads almost into it, and the way out is slow.",
        saddles=((0.0, 0.0),),
    ),
    Problem(
        name="rosenbrock",
        f=rosenbrock,
        formula="(1 - x)**2 + 100 * (y - x**2)**2",
        slopes=(
            "-2 * (1 - x) - 400 * x * (y - x**2)",
            "200 * (y - x**2)",
        ),
        minima=((1.0, 1.0),),
        start=(-1.2, 1.0),
        bounds=((-2.0, 2.0), (-1.0, 3.0)),
        description="A bent, flat valley between steep walls.",
        source="Rosenbrock, Comput. J. 3(3), 1960",
    ),
    Problem(
        name="himmelblau",
        f=himmelblau,
        formula="(x**2 + y - 11)**2 + (x + y**2 - 7)**2",
        slopes=(
            "4 * x * (x**2 + y - 11) + 2 * (x + y**2 - 7)",
            "2 * (x**2 + y - 11) + 4 * y * (x + y**2 - 7)",
        ),
        minima=(
            (3.0, 2.0),
            (-2.805118086952745, 3.131312518250573),
            (-3.779310253377747, -3.2831859912861696),
            (3.5844283403304917, -1.8481265269644034),
        ),
        start=(0.0, -4.0),
        bounds=((-5.0, 5.0), (-5.0, 5.0)),
        description="Four minima of equal depth: where a walk ends "
        "depends on where it begins.",
        saddles=(
            (-0.12796134673068, -1.9537149802445763),
            (3.385154183607021, 0.0738518798377493),
            (0.08667750455539634, 2.884254701174776),
            (-3.073025750764389, -0.08135304428796751),
        ),
        source="Himmelblau, Applied Nonlinear Programming, 1972",
    ),
    Problem(
        name="beale",
        f=beale,
        formula="(1.5 - x + x * y)**2 + (2.25 - x + x * y**2)**2"
        " + (2.625 - x + x * y**3)**2",
        slopes=(
            "2 * (1.5 - x + x * y) * (y - 1)"
            " + 2 * (2.25 - x + x * y**2) * (y**2 - 1)"
            " + 2 * (2.625 - x + x * y**3) * (y**3 - 1)",
            "2 * (1.5 - x + x * y) * x"
            " + 4 * (2.25 - x + x * y**2) * x * y"
            " + 6 * (2.625 - x + x * y**3) * x * y**2",
        ),
        minima=((3.0, 0.5),),
        start=(1.0, 1.5),
        bounds=((-4.5, 4.5), (-4.5, 4.5)),
        description="Flat ground with steep corners: gradients differ by "
        "many orders of magnitude.",
        saddles=((0.0, 1.0),),
        source="Beale, On an iterative method for finding a local minimum "
        "of a function of more than one variable, 1958",
    ),
    Problem(
        name="double-well",
        f=double_well,
        formula="(x**2 - 1)**2 + 0.3 * x + y**2",
        slopes=("4 * x * (x**2 - 1) + 0.3", "2 * y"),
        minima=((-1.0355787140888537, 0.0), (0.9601495555191055, 0.0)),
        start=(1.8, 1.5),
        bounds=((-2.0, 2.0), (-2.0, 2.0)),
        description="Two valleys, one deeper, and a pass between them.",
        saddles=((0.07542915856974822, 0.0),),
    ),
    Problem(
        name="monkey-saddle",
        f=monkey_saddle,
        formula="x**3 - 3 * x * y**2",
        slopes=("3 * x**2 - 3 * y**2", "-6 * x * y"),
        minima=(),
        start=(1.0, 0.05),
        bounds=((-1.5, 1.5), (-1.5, 1.5)),
        description="Three ways down and three up: at the centre even the "
        "curvature vanishes. There is no minimum.",
        saddles=((0.0, 0.0),),
    ),
    Problem(
        name="plateau",
        f=plateau,
        formula="1 - exp(-2 * (x**2 + y**2))",
        slopes=(
            "4 * x * exp(-2 * (x**2 + y**2))",
            "4 * y * exp(-2 * (x**2 + y**2))",
        ),
        minima=((0.0, 0.0),),
        start=(1.5, 1.0),
        bounds=((-2.5, 2.5), (-2.5, 2.5)),
        description="A Gaussian well in a plain: far from it the gradient "
        "is next to nothing.",
    ),
    Problem(
        name="noisy-quadratic",
        f=golden,
        formula="0.5 * (x**2 + 10 * y**2)",
        slopes=("x", "10 * y"),
        minima=((0.0, 0.0),),
        start=(1.0, -2.0),
        bounds=((-2.5, 2.5), (-2.5, 2.5)),
        description="The golden bowl with a noisy gradient, its variance "
        "equal to the curvature: at a fixed rate no walk comes to rest.",
        noise=(1.0, 3.1622776601683795),
        source="Zhang et al., Which algorithmic choices matter at which "
        "batch sizes?, NeurIPS 2019, arXiv 1907.04164",
    ),
)

PROBLEMS: dict[str, Problem] = {p.name: p for p in _LIST}
