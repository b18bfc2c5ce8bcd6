"""All schemes that fill one tensor, by name."""

from collections.abc import Callable

from torch import Tensor

from dldna.init import classical, negative, orthogonal

Scheme = Callable[..., Tensor]

SCHEMES: dict[str, Scheme] = {
    "lecun_normal": classical.lecun_normal,
    "lecun_uniform": classical.lecun_uniform,
    "xavier_normal": classical.xavier_normal,
    "xavier_uniform": classical.xavier_uniform,
    "kaiming_normal": classical.kaiming_normal,
    "kaiming_uniform": classical.kaiming_uniform,
    "kaiming_truncated": classical.kaiming_truncated,
    "torch_default": classical.torch_default,
    "orthogonal": orthogonal.orthogonal,
    "scaled_orthogonal": orthogonal.scaled_orthogonal,
    "delta_orthogonal": orthogonal.delta_orthogonal,
    "double_counted_orthogonal": negative.double_counted_orthogonal,
    "constant_variance": negative.constant_variance,
}

# Kept to show how they fail: not for use.
NEGATIVE = ("double_counted_orthogonal", "constant_variance")
