r"""What the singular values of a weight say, by exact definitions.

For :math:`s_1 \ge \dots \ge s_r`, r = min(rows, columns):

- spectral norm :math:`s_1`
- condition number :math:`s_1 / s_r`
- stable rank :math:`\sum s_i^2 / s_1^2`
- nuclear ratio :math:`\sum s_i / s_1`
- effective rank :math:`\exp(-\sum p_i \ln p_i)`, :math:`p = s/\sum s`
- 95% energy rank: how many partial sums of s stay below 95% of the whole

All but the first ignore scale: Xavier, LeCun and Kaiming of one shape
share their distribution, and only shape and family matter. A convolution
is read as the matrix (c_out, c_in * kernel). Parameters of one axis have
no singular values and never enter a mean.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from dldna import checks
from dldna.guard import untouched
from dldna.init.weight_matrices import check_model, weight_blocks
from dldna.params import exact


def singular_values(weight: Tensor) -> Tensor:
    """Singular values in float64, falling, shape (min(rows, columns),).

    Args:
        weight: (rows, columns) or (c_out, c_in, \\*kernel), read as
            (c_out, c_in * kernel).

    Raises:
        ValueError: fewer than two axes, no entries, or not finite.

    Example:
        >>> singular_values(torch.diag(torch.tensor([1.0, 4.0, 2.0])))
        tensor([4., 2., 1.], dtype=torch.float64)
    """
    if weight.ndim < 2 or weight.numel() == 0:
        raise ValueError(
            "singular values need a matrix or a kernel, not a tensor of "
            f"shape {tuple(weight.shape)}"
        )
    matrix = exact(weight.detach().flatten(1))
    if not torch.isfinite(matrix).all():
        raise ValueError("the weight holds NaN or inf: it has no spectrum")
    return torch.linalg.svdvals(matrix)


def spectral_norm(weight: Tensor) -> float:
    """The largest singular value.

    Example:
        >>> spectral_norm(torch.diag(torch.tensor([4.0, 2.0, 1.0, 1.0])))
        4.0
    """
    return _measure(singular_values(weight))["spectral_norm"]


def condition_number(weight: Tensor) -> float:
    """Largest over smallest singular value (inf if that is 0).

    Example:
        >>> condition_number(torch.diag(torch.tensor([4.0, 2.0, 1.0, 1.0])))
        4.0
    """
    return _measure(singular_values(weight))["condition_number"]


def stable_rank(weight: Tensor) -> float:
    """Squared Frobenius norm over squared spectral norm.

    Example:
        >>> stable_rank(torch.diag(torch.tensor([4.0, 2.0, 1.0, 1.0])))
        1.375

    References:
        Rudelson, Vershynin, Journal of the ACM 54(4), 2007.
    """
    return _measure(singular_values(weight))["stable_rank"]


def nuclear_ratio(weight: Tensor) -> float:
    """Sum of the singular values over the largest.

    Example:
        >>> nuclear_ratio(torch.diag(torch.tensor([4.0, 2.0, 1.0, 1.0])))
        2.0
    """
    return _measure(singular_values(weight))["nuclear_ratio"]


def effective_rank(weight: Tensor) -> float:
    """Exponential of the entropy of the normalised singular values.

    Example:
        >>> w = torch.diag(torch.tensor([4.0, 2.0, 1.0, 1.0]))
        >>> round(effective_rank(w), 4)
        3.3636

    References:
        Roy, Vetterli, EUSIPCO 2007.
    """
    return _measure(singular_values(weight))["effective_rank"]


def energy_rank(weight: Tensor, share: float = 0.95) -> int:
    """How many partial sums of the singular values stay below a share.

    Args:
        weight: matrix or kernel.
        share: of the sum of all singular values, in (0, 1).

    Example:
        >>> energy_rank(torch.diag(torch.tensor([4.0, 2.0, 1.0, 1.0])))
        3
    """
    checks.positive("share", checks.fraction("share", share))
    return _energy_rank(singular_values(weight), share)


def _energy_rank(s: Tensor, share: float) -> int:
    return int((s.cumsum(0) < share * s.sum()).sum())


MEASURES = (
    "spectral_norm",
    "condition_number",
    "stable_rank",
    "nuclear_ratio",
    "effective_rank",
    "energy_rank",
)


def _measure(s: Tensor) -> dict[str, float]:
    """All measures from falling singular values."""
    top, least, total = float(s[0]), float(s[-1]), float(s.sum())
    if top == 0:  # the zero matrix: ranks are 0, the ratio has no value
        return dict.fromkeys(MEASURES, 0.0) | {"condition_number": math.nan}
    p = s[s > 0] / total
    return {
        "spectral_norm": top,
        "condition_number": top / least if least > 0 else math.inf,
        "stable_rank": float((s * s).sum()) / top**2,
        "nuclear_ratio": total / top,
        "effective_rank": math.exp(-float((p * p.log()).sum())),
        "energy_rank": float(_energy_rank(s, 0.95)),
    }


@dataclass(frozen=True)
class SpectralTable:
    """The measures of every matrix of a model.

    Args:
        names: (M,) the matrices, by parameter name.
        min_dims: (M,) min(rows, columns).
        columns: name of a measure -> (M,) values.
    """

    names: list[str]
    min_dims: np.ndarray
    columns: dict[str, np.ndarray]

    def mean(self) -> dict[str, float]:
        """Mean of each measure over the matrices, ranks also as shares.

        ``<rank>_share`` is the mean of rank / min(rows, columns).
        """
        out = {k: float(v.mean()) for k, v in self.columns.items()}
        for k in MEASURES[2:]:
            share = self.columns[k] / self.min_dims
            out[f"{k}_share"] = float(share.mean())
        return out

    def __str__(self) -> str:
        width = max(6, *(len(n) for n in self.names))
        head = "matrix".ljust(width) + "".join(
            m.replace("_", " ").rjust(18) for m in MEASURES
        )
        rows = [
            name.ljust(width)
            + "".join(f"{self.columns[m][i]:18.4g}" for m in MEASURES)
            for i, name in enumerate(self.names)
        ]
        last = "mean".ljust(width) + "".join(
            f"{self.columns[m].mean():18.4g}" for m in MEASURES
        )
        return "\n".join([head, *rows, last])


def spectral_table(model: nn.Module) -> SpectralTable:
    """Measure every weight matrix of a model.

    A grouped convolution is one block-diagonal matrix: the singular
    values of its blocks are pooled. The projections of an attention
    layer are matrices of their own. A tied weight counts once, a
    parametrized one as it is computed; biases, norm scales and other
    one-axis parameters not at all.

    Args:
        model: any module; it is only read.

    Returns:
        A :class:`SpectralTable`; print it, or take ``.mean()``.

    Raises:
        ValueError: the model has no weight matrix.

    Example:
        >>> net = nn.Sequential(nn.Linear(4, 4), nn.PReLU())
        >>> with torch.no_grad():
        ...     _ = net[0].weight.copy_(2 * torch.eye(4))
        >>> spectral_table(net).mean()["spectral_norm"]
        2.0
    """
    with untouched(check_model(model)):
        model.eval()  # spectral norm iterates when read in training
        blocks = weight_blocks(model, read=True)
        if not blocks:
            raise ValueError(
                f"{type(model).__name__} has no weight matrix to measure"
            )
        rows = []
        for block in blocks:
            pooled = torch.cat([singular_values(w) for w in block.views])
            rows.append(pooled.sort(descending=True).values.cpu())
    measured = [_measure(s) for s in rows]
    return SpectralTable(
        [b.label for b in blocks],
        np.array([len(s) for s in rows]),
        {k: np.array([m[k] for m in measured]) for k in MEASURES},
    )
