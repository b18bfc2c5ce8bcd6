"""How a network starts: schemes, diagnostics and the theory beside them."""

from dldna import old_paths
from dldna.init.apply import initialize, zeros
from dldna.init.block_propagation import propagate_blocks
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
from dldna.init.counterexamples import (
    constant_variance,
    double_counted_orthogonal,
)
from dldna.init.fans import Fans, fans, fans_of
from dldna.init.fixup import FixupBlock, fixup
from dldna.init.gaussian import (
    ACTIVATIONS,
    Moments,
    gaussian_mean,
    joint_mean,
    moments,
)
from dldna.init.gradinit import gradinit
from dldna.init.init_report import Filled, InitReport
from dldna.init.jacobian import jacobian, jacobian_singular_values
from dldna.init.lsuv import lsuv
from dldna.init.metainit import gradient_quotient, metainit, quotient
from dldna.init.mup import Role, mup, mup_param_groups, mup_roles
from dldna.init.orthogonal import (
    delta_orthogonal,
    haar,
    orthogonal,
    scaled_orthogonal,
)
from dldna.init.propagation import propagate
from dldna.init.propagation_grid import (
    LAB_ACTIVATIONS,
    LAB_NEGATIVE,
    LAB_SCHEMES,
    lab_grid,
    signals,
    stack_weights,
    theory_table,
)
from dldna.init.residual import branch_ends, gpt2, zero_branches
from dldna.init.schemes import NEGATIVE, SCHEMES, variance_of
from dldna.init.spectral import (
    spectral,
    spectral_normalize,
    spectral_param_groups,
)
from dldna.init.tfixup import tfixup
from dldna.init.theory import (
    Recursion,
    chi_1,
    correlation_map,
    critical_sigma_w,
    depth_scale,
    fixed_length,
    length_map,
    predict_layers,
)
from dldna.init.weight_matrices import WeightMatrix, weight_blocks
from dldna.init.weight_spectra import (
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
from dldna.init.zero import hadamard, zero_hadamard

__getattr__ = old_paths.former(__name__)

__all__ = [
    "ACTIVATIONS",
    "LAB_ACTIVATIONS",
    "LAB_NEGATIVE",
    "LAB_SCHEMES",
    "NEGATIVE",
    "SCHEMES",
    "Fans",
    "Filled",
    "FixupBlock",
    "InitReport",
    "Moments",
    "Recursion",
    "Role",
    "SpectralTable",
    "WeightMatrix",
    "branch_ends",
    "chi_1",
    "condition_number",
    "constant_variance",
    "correlation_map",
    "critical_sigma_w",
    "delta_orthogonal",
    "depth_scale",
    "double_counted_orthogonal",
    "effective_rank",
    "energy_rank",
    "fans",
    "fans_of",
    "fixed_length",
    "fixup",
    "gain_of",
    "gaussian_mean",
    "gpt2",
    "gradient_quotient",
    "gradinit",
    "haar",
    "hadamard",
    "initialize",
    "jacobian",
    "jacobian_singular_values",
    "joint_mean",
    "kaiming_normal",
    "kaiming_truncated",
    "kaiming_uniform",
    "lab_grid",
    "lecun_normal",
    "lecun_uniform",
    "length_map",
    "lsuv",
    "metainit",
    "moments",
    "mup",
    "mup_param_groups",
    "mup_roles",
    "nuclear_ratio",
    "orthogonal",
    "predict_layers",
    "propagate",
    "propagate_blocks",
    "quotient",
    "scaled_orthogonal",
    "signals",
    "singular_values",
    "spectral",
    "spectral_norm",
    "spectral_normalize",
    "spectral_param_groups",
    "spectral_table",
    "stable_rank",
    "stack_weights",
    "tfixup",
    "theory_table",
    "torch_default",
    "truncated_normal",
    "variance_of",
    "weight_blocks",
    "xavier_normal",
    "xavier_uniform",
    "zero_branches",
    "zero_hadamard",
    "zeros",
]
