"""All schemes that fill one tensor, by name."""

from collections.abc import Callable

from torch import Tensor

from dldna import checks
from dldna.init.classical import (
    kaiming_normal,
    kaiming_truncated,
    kaiming_uniform,
    lecun_normal,
    lecun_uniform,
    torch_default,
    xavier_normal,
    xavier_uniform,
)
from dldna.init.counterexamples import (
    constant_variance,
    double_counted_orthogonal,
)
from dldna.init.orthogonal import (
    delta_orthogonal,
    orthogonal,
    scaled_orthogonal,
)
from dldna.init.spectral import spectral
from dldna.init.zero import zero_hadamard

Scheme = Callable[..., Tensor]

SCHEMES: dict[str, Scheme] = {
    "lecun_normal": lecun_normal,
    "lecun_uniform": lecun_uniform,
    "xavier_normal": xavier_normal,
    "xavier_uniform": xavier_uniform,
    "kaiming_normal": kaiming_normal,
    "kaiming_uniform": kaiming_uniform,
    "kaiming_truncated": kaiming_truncated,
    "torch_default": torch_default,
    "orthogonal": orthogonal,
    "scaled_orthogonal": scaled_orthogonal,
    "delta_orthogonal": delta_orthogonal,
    "spectral": spectral,
    "zero_hadamard": zero_hadamard,
    "double_counted_orthogonal": double_counted_orthogonal,
    "constant_variance": constant_variance,
}

# Kept to show how they fail: not for use.
NEGATIVE = ("double_counted_orthogonal", "constant_variance")


def variance_of(
    scheme: str, fan_in: float, fan_out: float, kernel: int = 1
) -> float:
    r"""Mean squared entry that a scheme gives, by its definition.

    A kernel of k positions is made orthogonal as the matrix
    (c_out, c_in k), so its entries have the mean square
    :math:`1/\max(n_{in}, n_{out}/k)`. Kaiming is taken with its default
    gain, the square root of 2.

    Args:
        scheme: a name of ``SCHEMES``, without the deterministic one and
            delta-orthogonal, whose entries are not alike.
        fan_in: number of inputs.
        fan_out: number of outputs.
        kernel: number of positions k of a convolution's kernel, which
            both fans count (9 for 3 x 3).

    Returns:
        The variance of the entries.

    Raises:
        ValueError: an unknown scheme, or fans that are not positive.

    Example:
        >>> variance_of("kaiming_normal", 100, 50)
        0.02
        >>> variance_of("orthogonal", 3 * 9, 64 * 9, kernel=9) == 1 / 64
        True
    """
    n_in = checks.positive("fan_in", fan_in)
    n_out = checks.positive("fan_out", fan_out)
    wide = max(n_in, n_out / checks.count("kernel", kernel))
    table = {
        "lecun_normal": 1 / n_in,
        "lecun_uniform": 1 / n_in,
        "xavier_normal": 2 / (n_in + n_out),
        "xavier_uniform": 2 / (n_in + n_out),
        "kaiming_normal": 2 / n_in,
        "kaiming_uniform": 2 / n_in,
        "kaiming_truncated": 2 / n_in,
        "torch_default": 1 / (3 * n_in),
        "orthogonal": 1 / wide,
        "scaled_orthogonal": 2 / wide,
        "spectral": min(1.0, n_out / n_in) / n_in,
        "double_counted_orthogonal": 2 / n_in / wide,
        "constant_variance": 0.81,
    }
    return table[checks.choice("scheme", scheme, table)]
