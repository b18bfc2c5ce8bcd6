"""How a network starts: schemes, diagnostics and the theory beside them."""

from dldna.init.apply import Filled, InitReport, initialize, zeros
from dldna.init.blocks import Block, weight_blocks
from dldna.init.classical import (
    gain_of,
    kaiming_normal,
    kaiming_truncated,
    kaiming_uniform,
    lecun_normal,
    lecun_uniform,
    torch_default,
    truncated_normal,
    xavier_normal,
    xavier_uniform,
)
from dldna.init.fans import Fans, fans, fans_of
from dldna.init.negative import (
    constant_variance,
    double_counted_orthogonal,
)
from dldna.init.orthogonal import (
    delta_orthogonal,
    haar,
    orthogonal,
    scaled_orthogonal,
)
from dldna.init.schemes import NEGATIVE, SCHEMES
from dldna.init.spectra import (
    SpectralTable,
    condition_number,
    effective_rank,
    energy_rank,
    nuclear_ratio,
    singular_values,
    spectral_norm,
    spectral_table,
    stable_rank,
)

__all__ = [
    "NEGATIVE",
    "SCHEMES",
    "Block",
    "Fans",
    "Filled",
    "InitReport",
    "SpectralTable",
    "condition_number",
    "constant_variance",
    "delta_orthogonal",
    "double_counted_orthogonal",
    "effective_rank",
    "energy_rank",
    "fans",
    "fans_of",
    "gain_of",
    "haar",
    "initialize",
    "kaiming_normal",
    "kaiming_truncated",
    "kaiming_uniform",
    "lecun_normal",
    "lecun_uniform",
    "nuclear_ratio",
    "orthogonal",
    "scaled_orthogonal",
    "singular_values",
    "spectral_norm",
    "spectral_table",
    "stable_rank",
    "torch_default",
    "truncated_normal",
    "weight_blocks",
    "xavier_normal",
    "xavier_uniform",
    "zeros",
]
