"""A surface or a line taken apart by scale, with wavelets."""

import math
import warnings
from dataclasses import dataclass, field

import numpy as np

from dldna import checks
from dldna.landscape.shape.samples import samples
from dldna.records import Line, Provenance, Record, derived_from

_WHY = "the wavelet transform of a surface"


@dataclass(frozen=True, eq=False)
class Scales(Record):
    """Wavelet coefficients of a surface. Level 1 is the finest.

    Args:
        details: coefficients by name: ``alpha1`` holds what changes along
            alpha (axis 0) at level 1, ``beta1`` along beta, ``both1``
            along both; a level's features are about 2^level points wide.
        approximation: coefficients of what is left, at level ``levels``.
        energies: (levels,) sum of squares of each level's details,
            finest first.
        approximation_energy: sum of squares of the approximation.
        total: sum of squares of the surface itself.
        roughness: see :func:`decompose`.
        shape: of the surface.
        wavelet: name of the wavelet.
        mode: how the surface goes on beyond its border, by PyWavelets'
            name.
        provenance: where it came from.
    """

    details: dict[str, np.ndarray]
    approximation: np.ndarray
    energies: np.ndarray
    approximation_energy: float
    total: float
    roughness: float
    shape: list[int]
    wavelet: str = "haar"
    mode: str = "symmetric"
    provenance: Provenance = field(default_factory=Provenance)

    @property
    def levels(self) -> int:
        """Number of levels; ``levels`` is the coarsest."""
        return len(self.energies)

    @property
    def surplus(self) -> float:
        """Energy of the coefficients over that of the surface, minus 1.

        0 where both sizes are divisible by 2^levels; otherwise the last
        row or column was repeated, and counts more than once. Where
        losses are highest at the border, that can be several times over.
        """
        coded = self.approximation_energy + float(self.energies.sum())
        return coded / self.total - 1 if self.total else 0.0

    def detail(self, level: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """One level's coefficients: along alpha, along beta, along both.

        These are coefficients, not losses; see :func:`component`.
        """
        self._check(level)
        return tuple(self.details[f"{k}{level}"] for k in _KINDS)

    def local_mean(self) -> np.ndarray:
        """The approximation in units of the loss.

        The coefficients are 2^levels times a mean of the loss over about
        2^levels x 2^levels points.
        """
        return self.approximation / 2**self.levels

    def _check(self, level: int) -> None:
        if checks.count("level", level) > self.levels:
            raise ValueError(
                f"level must be 1 (finest) to {self.levels} (coarsest), "
                f"not {level}"
            )


_KINDS = ("alpha", "beta", "both")
_MODE = "periodization"


def decompose(
    surface, wavelet: str = "haar", levels: int | None = None
) -> Scales:
    r"""The discrete wavelet transform of a surface.

    Details at level j are differences between neighbouring patches of
    about :math:`2^{j-1}` points a side. The surface goes on periodically
    beyond its border, so that the energies of an orthogonal wavelet add
    up to that of the surface; wavelets longer than Haar's see a jump
    where opposite borders differ. The roughness index is the share of the
    energy about the mean that sits at the finest level:

    .. math:: R = \frac{E_1}{\sum_j E_j + \sum (c_A - \bar c_A)^2}

    It is 1 for a checkerboard, about 3/4 for white noise (three of four
    coefficients are at level 1), and near 0 for a smooth bowl. A
    mini-batch's noise is white over the grid only if each point has its
    own batch.

    Args:
        surface: a surface, or an (A, B) array of losses.
        wavelet: an orthogonal wavelet of PyWavelets ("haar", "db2", ...).
        levels: how many; by default as many as leave at least 4 patches
            a side. Sizes divisible by ``2**levels`` (40, 48, 64) need no
            repeated border; see :attr:`Scales.surplus`.

    Returns:
        The coefficients by level.

    Raises:
        ValueError: NaN or inf among the losses, too many levels, or a
            wavelet that is unknown or not orthogonal.
        ImportError: PyWavelets is not installed (extra ``scales``).

    Example:
        >>> board = np.indices((8, 8)).sum(0) % 2
        >>> decompose(board, levels=3).energies.round(6).tolist()
        [16.0, 0.0, 0.0]

    References:
        Mallat, A theory for multiresolution signal decomposition, IEEE
        PAMI 11(7), 1989. Daubechies, Ten lectures on wavelets, SIAM 1992.
    """
    z = samples(surface, least=2).z
    holes = int((~np.isfinite(z)).sum())
    if holes:
        raise ValueError(
            f"{holes} of {z.size} losses are NaN or inf: a wavelet needs "
            "them all; take a smaller extent, or cut the losses off "
            "yourself and say so"
        )
    pywt = checks.need("pywt", "scales", _WHY)
    checks.choice("wavelet", wavelet, pywt.wavelist(kind="discrete"))
    if not pywt.Wavelet(wavelet).orthogonal:
        raise ValueError(
            f"wavelet {wavelet!r} is not orthogonal, so energies would not "
            "add up: take 'haar', or one of the families db, sym, coif"
        )
    error = _overlap(pywt.Wavelet(wavelet).dec_lo)
    if error > 1e-6:
        raise ValueError(
            f"wavelet {wavelet!r} is orthogonal only to {error:.0e}, though "
            "PyWavelets calls it so: its parts would not add up to the "
            "surface. Take 'haar', or one of the families db, sym, coif"
        )
    most = max(1, pywt.dwtn_max_level(z.shape, wavelet))
    if levels is None:
        levels = min(most, max(1, int(math.log2(min(z.shape) / 4))))
    checks.count("levels", levels)
    if levels > most:
        raise ValueError(
            f"{z.shape[0]} x {z.shape[1]} points allow at most {most} "
            f"levels of {wavelet!r}, not {levels}"
        )
    # pywt's list: the approximation, then the coarsest level, ...
    with warnings.catch_warnings():
        # periodic wavelets stay orthogonal also where they are longer
        # than the surface, of which PyWavelets warns
        warnings.filterwarnings("ignore", "Level value", UserWarning)
        coded = pywt.wavedec2(z, wavelet, _MODE, level=levels)
    rest, finest_first = coded[0], coded[:0:-1]
    energies = np.array(
        [sum(float((c**2).sum()) for c in level) for level in finest_first]
    )
    varying = energies.sum() + float(((rest - rest.mean()) ** 2).sum())
    return Scales(
        details={
            f"{kind}{number}": c
            for number, level in enumerate(finest_first, start=1)
            for kind, c in zip(_KINDS, level, strict=True)
        },
        approximation=rest,
        energies=energies,
        approximation_energy=float((rest**2).sum()),
        total=float((z**2).sum()),
        roughness=_share(energies[0], varying, float((z**2).sum())),
        shape=list(z.shape),
        wavelet=wavelet,
        mode=_MODE,
        provenance=derived_from(
            surface, f"{wavelet} wavelets, {levels} levels"
        ),
    )


def _overlap(taps) -> float:
    """How far a filter is from orthonormal to its even shifts."""
    h = np.asarray(taps)
    products = np.correlate(h, h, "full")[len(h) - 1 :: 2]
    products[0] -= 1
    return float(np.abs(products).max())


def _share(part: float, whole: float, scale: float) -> float:
    """0 for a surface that is flat up to rounding."""
    return float(part / whole) if whole > 1e-24 * scale else 0.0


def component(scales: Scales, level: int) -> np.ndarray:
    """What one level adds to the surface, in units of the loss.

    Args:
        scales: a decomposition.
        level: 1 (finest) to ``scales.levels``, or 0 for the approximation.

    Returns:
        (A, B); all levels and the approximation add up to the surface.

    Example:
        >>> z = np.arange(16.0).reshape(4, 4)
        >>> s = decompose(z)
        >>> parts = sum(component(s, j) for j in range(s.levels + 1))
        >>> bool(np.allclose(parts, z))
        True
    """
    pywt = checks.need("pywt", "scales", _WHY)
    if level != 0:
        scales._check(level)
    rest = scales.approximation
    coded = [rest if level == 0 else np.zeros_like(rest)]
    for number in range(scales.levels, 0, -1):
        found = scales.detail(number)
        if number != level:
            found = tuple(np.zeros_like(c) for c in found)
        coded.append(found)
    rows, columns = scales.shape
    return pywt.waverec2(coded, scales.wavelet, scales.mode)[:rows, :columns]


@dataclass(frozen=True, eq=False)
class Ridges(Record):
    """Continuous wavelet transform of a line.

    Args:
        positions: (A,) where, in units of alpha.
        scales: (S,) how wide, in units of alpha.
        coefficients: (S, A) the transform.
        trusted: (S, A) whether the wavelet there lies within the line.
        provenance: where it came from.
    """

    positions: np.ndarray
    scales: np.ndarray
    coefficients: np.ndarray
    trusted: np.ndarray
    provenance: Provenance = field(default_factory=Provenance)


def cwt(line, scales=None) -> Ridges:
    r"""The continuous wavelet transform of a line, with the Mexican hat.

    .. math:: W(a, b) = |a|^{-1/2} \int f(x)\,
              \psi\Big(\frac{x - b}{a}\Big) dx, \qquad
              \psi(t) = \frac{2}{\sqrt 3\, \pi^{1/4}} (1 - t^2) e^{-t^2/2}

    :math:`\psi` is minus the second derivative of a Gaussian, so a valley
    is negative and a hill positive; a wave of length :math:`\lambda` is
    answered most at :math:`a = \sqrt{5/2}\, \lambda / 2\pi`. Beyond its
    ends the line goes on with its last value; ``trusted`` tells where
    that hardly matters.

    Args:
        line: a :class:`~dldna.records.Line` with evenly spaced alphas, or
            (A,) losses with spacing 1.
        scales: widths in units of alpha; by default 32 from two steps to
            a quarter of the line.

    Returns:
        The transform.

    Raises:
        ValueError: uneven alphas, NaN or inf, or a scale below one step.

    Example:
        >>> x = np.linspace(-1, 1, 81)
        >>> r = cwt(Line(x, -np.exp(-0.5 * (x / 0.1) ** 2)), [0.1])
        >>> float(r.positions[r.coefficients[0].argmin()])
        0.0

    References:
        Mallat, A wavelet tour of signal processing, Academic Press 2008.
    """
    if isinstance(line, Line):
        x, f = np.asarray(line.alphas, float), np.asarray(line.losses, float)
    else:
        f = np.asarray(line, dtype=float)
        x = np.arange(len(f), dtype=float)
    if f.ndim != 1 or len(f) < 8 or len(x) != len(f):
        raise ValueError("expected a line of at least 8 losses")
    if not np.isfinite(f).all():
        raise ValueError("a loss on the line is NaN or inf")
    h = (x[-1] - x[0]) / (len(x) - 1)
    if not h > 0 or np.abs(np.diff(x) - h).max() > 1e-6 * h:
        raise ValueError(
            "the alphas must be evenly spaced; evaluate the line on "
            "np.linspace"
        )
    if scales is None:
        scales = np.geomspace(2 * h, max(3 * h, (x[-1] - x[0]) / 4), 32)
    scales = np.atleast_1d(np.asarray(scales, dtype=float))
    if not (np.isfinite(scales).all() and scales.min() >= h):
        raise ValueError(f"scales must be at least one step, {h:.4g}")
    norm = 2 / (math.sqrt(3) * math.pi**0.25)
    rows = []
    for a in scales:
        reach = math.ceil(6 * a / h)
        t = np.arange(-reach, reach + 1) * h / a
        psi = norm * (1 - t**2) * np.exp(-(t**2) / 2)
        longer = np.pad(f, reach, mode="edge")
        rows.append(np.convolve(longer, psi, "valid") * h / math.sqrt(a))
    edge = np.minimum(x - x[0], x[-1] - x)
    return Ridges(
        positions=x,
        scales=scales,
        coefficients=np.stack(rows),
        trusted=edge >= math.sqrt(2) * scales[:, None],
        provenance=derived_from(line, "continuous wavelet transform"),
    )
