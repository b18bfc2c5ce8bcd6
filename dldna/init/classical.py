r"""Variance scaling: LeCun, Xavier, Kaiming and torch's default.

In a linear layer of independent, centred weights

.. math::
    \mathrm{Var}(h_l) = n_{in} \mathrm{Var}(W)\, E[x_{l-1}^2], \qquad
    \mathrm{Var}(\delta_{l-1}) = n_{out} \mathrm{Var}(W)\,
    \mathrm{Var}(\delta_l).

LeCun keeps the first, Xavier compromises between both, Kaiming repairs
what the nonlinearity takes away. Every function here fills a tensor laid
out ``(c_out, c_in, *kernel)`` in place and returns it.
"""

import math

import torch
from torch import Tensor

from dldna import checks
from dldna.init._draw import (
    check_generator,
    check_weight,
    normal_,
    uniform_,
)
from dldna.init.fans import fans

Generator = torch.Generator | None

# Standard deviation of N(0, 1) cut at +-2.
TRUNCATED_STD = 0.8796256610342398

_GAINS = {
    "linear": 1.0,
    "conv": 1.0,
    **{f"conv{d}d": 1.0 for d in (1, 2, 3)},
    **{f"conv_transpose{d}d": 1.0 for d in (1, 2, 3)},
    "sigmoid": 1.0,
    "tanh": 5.0 / 3.0,
    "relu": math.sqrt(2.0),
    "selu": 0.75,
}
MODES = ("fan_in", "fan_out", "fan_avg")


def gain_of(nonlinearity: str = "relu", slope: float | None = None) -> float:
    r"""The customary gain of a nonlinearity.

    1 for linear, sigmoid and convolutions ("conv", or torch's names from
    "conv1d" to "conv_transpose3d"); 5/3 for tanh; :math:`\sqrt 2` for
    relu; :math:`\sqrt{2 / (1 + a^2)}` for leaky_relu and prelu with
    slope ``a``; 3/4 for selu. The values for tanh and selu are custom,
    not theorems.

    Args:
        nonlinearity: its name.
        slope: the negative slope of leaky_relu (default 0.01) or prelu
            (default 0.25, where torch's ``nn.PReLU`` starts).

    Returns:
        The gain.

    Raises:
        ValueError: unknown name, or a slope for one that has none.

    Example:
        >>> round(gain_of("leaky_relu", 0.25), 8)
        1.37198868

    References:
        He, Zhang, Ren, Sun, ICCV 2015, arXiv 1502.01852.
    """
    leaky = {"leaky_relu": 0.01, "prelu": 0.25}
    checks.choice("nonlinearity", nonlinearity, [*_GAINS, *leaky])
    if nonlinearity in leaky:
        a = leaky[nonlinearity] if slope is None else slope
        return math.sqrt(2.0 / (1.0 + checks.number("slope", a) ** 2))
    if slope is not None:
        raise ValueError(
            f"{nonlinearity!r} has no slope; slope= belongs to "
            "'leaky_relu' and 'prelu'"
        )
    return _GAINS[nonlinearity]


def _fan(tensor: Tensor, mode: str) -> float:
    n_in, n_out = fans(check_weight(tensor))
    checks.choice("mode", mode, MODES)
    return {
        "fan_in": n_in,
        "fan_out": n_out,
        "fan_avg": (n_in + n_out) / 2,
    }[mode]


def lecun_normal(tensor: Tensor, *, generator: Generator = None) -> Tensor:
    r"""LeCun: :math:`W \sim N(0, 1/n_{in})`.

    Args:
        tensor: weight (c_out, c_in, \*kernel), filled in place.
        generator: source of the numbers.

    Returns:
        The same tensor.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> w = lecun_normal(torch.empty(300, 400), generator=g)
        >>> bool((w.var() * 400 - 1).abs() < 0.03)
        True

    References:
        LeCun, Bottou, Orr, Mueller, Efficient BackProp, 1998.
    """
    return normal_(tensor, _fan(tensor, "fan_in") ** -0.5, generator)


def lecun_uniform(tensor: Tensor, *, generator: Generator = None) -> Tensor:
    r"""LeCun: :math:`W \sim U(\pm\sqrt{3/n_{in}})`, variance 1/n_in.

    Args:
        tensor: weight (c_out, c_in, \*kernel), filled in place.
        generator: source of the numbers.

    Returns:
        The same tensor.

    References:
        LeCun, Bottou, Orr, Mueller, Efficient BackProp, 1998.
    """
    bound = math.sqrt(3.0 / _fan(tensor, "fan_in"))
    return uniform_(tensor, bound, generator)


def xavier_normal(
    tensor: Tensor, *, gain: float = 1.0, generator: Generator = None
) -> Tensor:
    r"""Xavier/Glorot: variance :math:`g^2 \cdot 2/(n_{in}+n_{out})`.

    Args:
        tensor: weight (c_out, c_in, \*kernel), filled in place.
        gain: factor g on the standard deviation.
        generator: source of the numbers.

    Returns:
        The same tensor.

    References:
        Glorot, Bengio, AISTATS 2010.
    """
    checks.positive("gain", gain)
    std = gain * math.sqrt(1.0 / _fan(tensor, "fan_avg"))
    return normal_(tensor, std, generator)


def xavier_uniform(
    tensor: Tensor, *, gain: float = 1.0, generator: Generator = None
) -> Tensor:
    r"""Xavier/Glorot: :math:`U(\pm g\sqrt{6/(n_{in}+n_{out})})`.

    Args:
        tensor: weight (c_out, c_in, \*kernel), filled in place.
        gain: factor g on the bound.
        generator: source of the numbers.

    Returns:
        The same tensor.

    References:
        Glorot, Bengio, AISTATS 2010.
    """
    checks.positive("gain", gain)
    std = gain * math.sqrt(1.0 / _fan(tensor, "fan_avg"))
    return uniform_(tensor, math.sqrt(3.0) * std, generator)


def _kaiming_std(tensor, gain, nonlinearity, slope, mode):
    if gain is None:
        gain = gain_of(nonlinearity, slope)
    elif slope is not None:
        raise ValueError("give gain= or slope=, not both")
    return checks.positive("gain", gain) / math.sqrt(_fan(tensor, mode))


def kaiming_normal(
    tensor: Tensor,
    *,
    nonlinearity: str = "relu",
    slope: float | None = None,
    gain: float | None = None,
    mode: str = "fan_in",
    generator: Generator = None,
) -> Tensor:
    r"""Kaiming/He: :math:`N(0, g^2/n)`, by default :math:`2/n_{in}`.

    With ReLU this keeps the *second moment* of the activations, not their
    variance: the output of a ReLU has a mean.

    Args:
        tensor: weight (c_out, c_in, \*kernel), filled in place.
        nonlinearity: what follows the layer, see :func:`gain_of`.
        slope: negative slope of leaky_relu or prelu.
        gain: the gain itself, instead of a nonlinearity.
        mode: "fan_in", "fan_out" or "fan_avg".
        generator: source of the numbers.

    Returns:
        The same tensor.

    Raises:
        ValueError: unknown nonlinearity or mode, gain and slope together.

    References:
        He, Zhang, Ren, Sun, ICCV 2015, arXiv 1502.01852.
    """
    std = _kaiming_std(tensor, gain, nonlinearity, slope, mode)
    return normal_(tensor, std, generator)


def kaiming_uniform(
    tensor: Tensor,
    *,
    nonlinearity: str = "relu",
    slope: float | None = None,
    gain: float | None = None,
    mode: str = "fan_in",
    generator: Generator = None,
) -> Tensor:
    r"""Kaiming/He: :math:`U(\pm g\sqrt{3/n})`.

    Args:
        tensor: weight (c_out, c_in, \*kernel), filled in place.
        nonlinearity: what follows the layer, see :func:`gain_of`.
        slope: negative slope of leaky_relu or prelu.
        gain: the gain itself, instead of a nonlinearity.
        mode: "fan_in", "fan_out" or "fan_avg".
        generator: source of the numbers.

    Returns:
        The same tensor.

    References:
        He, Zhang, Ren, Sun, ICCV 2015, arXiv 1502.01852.
    """
    std = _kaiming_std(tensor, gain, nonlinearity, slope, mode)
    return uniform_(tensor, math.sqrt(3.0) * std, generator)


def kaiming_truncated(
    tensor: Tensor,
    *,
    nonlinearity: str = "relu",
    slope: float | None = None,
    gain: float | None = None,
    mode: str = "fan_in",
    generator: Generator = None,
) -> Tensor:
    r"""Kaiming from a normal cut at two standard deviations.

    Cutting N(0, s^2) at 2s leaves the standard deviation 0.8796 s, so s
    is divided by that: the variance is :math:`g^2/n`, as it is without
    the cut.

    Args:
        tensor: weight (c_out, c_in, \*kernel), filled in place.
        nonlinearity: what follows the layer, see :func:`gain_of`.
        slope: negative slope of leaky_relu or prelu.
        gain: the gain itself, instead of a nonlinearity.
        mode: "fan_in", "fan_out" or "fan_avg".
        generator: source of the numbers.

    Returns:
        The same tensor.

    References:
        He, Zhang, Ren, Sun, ICCV 2015, arXiv 1502.01852.
    """
    std = _kaiming_std(tensor, gain, nonlinearity, slope, mode)
    return truncated_normal(tensor, std=std, generator=generator)


def truncated_normal(
    tensor: Tensor, *, std: float = 1.0, generator: Generator = None
) -> Tensor:
    r"""A normal cut at two of its own widths, with the given deviation.

    Drawn by inverting the distribution function: with u uniform on
    (-1, 1), :math:`s\sqrt 2\,\mathrm{erf}^{-1}(u\,\mathrm{erf}\sqrt 2)`.

    Args:
        tensor: filled in place, any shape.
        std: standard deviation of the result, after the cut.
        generator: source of the numbers.

    Returns:
        The same tensor.

    Raises:
        TypeError: a tensor that is not floating point.
    """
    check_weight(tensor, axes=0)
    width = checks.positive("std", std) / TRUNCATED_STD
    home = check_generator(generator)
    u = torch.empty(tensor.shape, dtype=torch.float64, device=home.device)
    u.uniform_(-1.0, 1.0, generator=home).mul_(math.erf(math.sqrt(2.0)))
    cut = u.erfinv_().mul_(math.sqrt(2.0)).clamp_(-2.0, 2.0)
    with torch.no_grad():
        return tensor.copy_(cut.mul_(width))


def torch_default(tensor: Tensor, *, generator: Generator = None) -> Tensor:
    r"""What ``nn.Linear`` does by itself: :math:`U(\pm 1/\sqrt{n_{in}})`.

    The variance is :math:`1/(3 n_{in})`, a third of LeCun's: written in
    torch as ``kaiming_uniform_(a=sqrt(5))``. Transposed convolutions,
    recurrent and attention layers have rules of their own in torch;
    :func:`dldna.init.apply.initialize` follows them.

    Args:
        tensor: weight (c_out, c_in, \*kernel), filled in place.
        generator: source of the numbers.

    Returns:
        The same tensor.
    """
    return uniform_(tensor, _fan(tensor, "fan_in") ** -0.5, generator)
