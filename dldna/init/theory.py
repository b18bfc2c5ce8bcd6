r"""Mean-field theory of signals in wide networks.

In a wide network :math:`h_l = W_l\, \phi(h_{l-1}) + b_l` with independent
centred weights of variance :math:`\sigma_w^2/n_{in}`, preactivations are
Gaussian. Their second moment q and the correlation c of two inputs obey

.. math::
    q_l = \sigma_w^2\, E[\phi(\sqrt{q_{l-1}}\, z)^2] + \sigma_b^2, \qquad
    c_l = \frac{\sigma_w^2\, E[\phi(u)\phi(v)] + \sigma_b^2}{q_l},

and squared gradients shrink or grow per layer by

.. math:: \chi_1 = \sigma_w^2\, E[\phi'(\sqrt{q}\, z)^2] .

At :math:`\chi_1 = 1` (the edge of chaos) signals travel deepest. Expected
values are Gaussian integrals, split at 0 so that kinks there cost no
accuracy. All arithmetic is float64.

References:
    Poole, Lahiri, Raghu, Sohl-Dickstein, Ganguli, NeurIPS 2016,
    arXiv 1606.05340.
    Schoenholz, Gilmer, Ganguli, Sohl-Dickstein, ICLR 2017,
    arXiv 1611.01232.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from dldna import checks
from dldna.init.gaussian import Activation, function, joint_mean, moments


def length_map(
    activation: Activation, q: float, sigma_w: float, sigma_b: float = 0.0
) -> float:
    """Second moment of the next layer's preactivations.

    Args:
        activation: a name or a function.
        q: second moment of this layer's preactivations.
        sigma_w: root of fan_in times the weights' variance.
        sigma_b: standard deviation of the biases.

    Example:
        >>> round(length_map("relu", 3.0, 2**0.5), 12)
        3.0
    """
    second = moments(activation, q).second
    return sigma_w**2 * second + sigma_b**2


def fixed_length(
    activation: Activation,
    sigma_w: float,
    sigma_b: float = 0.0,
    q: float = 1.0,
    steps: int = 10_000,
) -> float:
    """Where the length map comes to rest, started from ``q``.

    Returns:
        The fixed point; 0 or inf where lengths vanish or explode.

    Example:
        >>> fixed_length("relu", 1.0)
        0.0
    """
    for _ in range(steps):
        new = length_map(activation, q, sigma_w, sigma_b)
        if new < 1e-12:
            return 0.0
        if new > 1e12:
            return math.inf
        if abs(new - q) <= 1e-13 * q:
            return new
        q = new
    return q


def chi_1(
    activation: Activation,
    sigma_w: float,
    sigma_b: float = 0.0,
    q: float | None = None,
) -> float:
    r"""Growth of squared gradients per layer, and slope of the c-map at 1.

    Args:
        activation: a name or a function.
        sigma_w: root of fan_in times the weights' variance.
        sigma_b: standard deviation of the biases.
        q: where to take it; None takes the fixed point.

    Returns:
        :math:`\chi_1`: below 1 order (gradients vanish), above 1 chaos.

    Raises:
        ValueError: there is no finite fixed point, and no q is given.

    Example:
        >>> round(chi_1("relu", 2**0.5, q=1.0), 12)
        1.0
    """
    if q is None:
        q = fixed_length(activation, sigma_w, sigma_b)
        if not math.isfinite(q):
            raise ValueError(
                "lengths grow without bound here, so there is no fixed "
                "point; pass q="
            )
    return sigma_w**2 * moments(activation, q).slope


def critical_sigma_w(activation: Activation, sigma_b: float = 0.0) -> float:
    r"""The edge of chaos: sigma_w at which :math:`\chi_1 = 1`.

    There :math:`\sigma_w^2 = 1/E[\phi'(\sqrt q z)^2]`, so that q must
    solve :math:`q = E[\phi^2]/E[\phi'^2] + \sigma_b^2`; it is looked for
    from the smallest q up to 10^4. Without biases a function such as tanh
    reaches its edge as q goes to 0, where it is linear.

    Args:
        activation: a name or a function.
        sigma_b: standard deviation of the biases.

    Returns:
        sigma_w at the edge with the smallest q.

    Raises:
        ValueError: no q solves the equation.

    Example:
        >>> round(critical_sigma_w("tanh"), 6)
        1.0

    References:
        Schoenholz et al., ICLR 2017, arXiv 1611.01232.
    """
    checks.nonnegative("sigma_b", sigma_b)

    def excess(log_q: float) -> float:
        q = math.exp(log_q)
        m = moments(activation, q)
        return (m.second / m.slope + sigma_b**2) / q - 1

    logs = np.linspace(math.log(1e-9), math.log(1e4), 121)
    a, before = logs[0], excess(logs[0])
    if abs(before) < 1e-6:  # linear near 0, or homogeneous everywhere
        return 1 / math.sqrt(moments(activation, math.exp(a)).slope)
    for b in logs[1:]:
        after = excess(b)
        if before * after <= 0:
            while b - a > 1e-13:
                mid = (a + b) / 2
                if mid in (a, b):
                    break
                a, b = (a, mid) if before * excess(mid) <= 0 else (mid, b)
            return 1 / math.sqrt(moments(activation, math.exp(a)).slope)
        a, before = b, after
    raise ValueError(
        f"no edge of chaos at sigma_b = {sigma_b}: no length is both at "
        "rest and critical for this activation"
    )


def correlation_map(
    activation: Activation,
    c: float,
    sigma_w: float,
    sigma_b: float = 0.0,
    q: float | None = None,
) -> float:
    """Correlation of two inputs' preactivations, one layer on.

    Args:
        activation: a name or a function.
        c: correlation now.
        sigma_w: root of fan_in times the weights' variance.
        sigma_b: standard deviation of the biases.
        q: common second moment; None takes the fixed point.

    Returns:
        The correlation after the next layer.

    Raises:
        ValueError: lengths vanish or explode, and no q is given.

    Example:
        >>> round(correlation_map("relu", 0.0, 2**0.5, q=1.0) * 3.141593, 5)
        1.0
    """
    if q is None:
        q = fixed_length(activation, sigma_w, sigma_b)
        if not 0 < q < math.inf:
            raise ValueError(
                f"the length's fixed point is {q}, where correlations have "
                "no meaning; pass q="
            )
    phi = function(activation)
    with torch.no_grad():
        joint = joint_mean(phi, q, c)
        new = length_map(activation, q, sigma_w, sigma_b)
    return (sigma_w**2 * joint + sigma_b**2) / new


def depth_scale(chi: float) -> float:
    r"""How deep correlations reach: :math:`\xi = 1/|\ln \chi|`.

    The distance of c from the fixed point of its map shrinks like
    :math:`e^{-l/\xi}`, with :math:`\chi` the map's slope there.

    Args:
        chi: the slope: in order the fixed point is 1 and the slope
            :math:`\chi_1`; in chaos the fixed point is below 1, and its
            slope is not :math:`\chi_1`.

    Example:
        >>> depth_scale(1.0)
        inf
    """
    log = abs(math.log(checks.positive("chi", chi)))
    return math.inf if log == 0 else 1 / log


class Recursion(NamedTuple):
    """Predicted moments, one entry for each of L layers.

    ``pre`` E[h_l^2] of the preactivations; ``mean``, ``second`` and
    ``variance`` of the activations phi(h_l); ``grad`` E[delta_l^2], the
    squared gradient by h_l, in units of the gradient's second moment at
    the last layer's output.
    """

    pre: np.ndarray
    mean: np.ndarray
    second: np.ndarray
    variance: np.ndarray
    grad: np.ndarray


def predict_layers(
    activations: Activation | Sequence[Activation],
    forward: Sequence[float],
    backward: Sequence[float] | None = None,
    *,
    second_moment: float = 1.0,
    sigma_b: float = 0.0,
) -> Recursion:
    r"""The recursions for a stack of L layers, forward and backward.

    .. math::
        E[h_l^2] &= f_l\, E[x_{l-1}^2] + \sigma_b^2, \qquad
        x_l = \phi_l(h_l), \\
        E[\delta_l^2] &= b_{l+1}\, E[\phi_l'(h_l)^2]\, E[\delta_{l+1}^2],

    with :math:`f_l = n_{in} \mathrm{Var}(W_l)` and
    :math:`b_l = n_{out} \mathrm{Var}(W_l)`.

    Args:
        activations: one for all layers, or L of them.
        forward: (L,) fan_in times variance.
        backward: (L,) fan_out times variance; None: as ``forward``.
        second_moment: E[x_0^2] of the input.
        sigma_b: standard deviation of the biases.

    Returns:
        A :class:`Recursion`.

    Example:
        >>> r = predict_layers("relu", [1.0] * 3)
        >>> r.second.round(6).tolist()
        [0.5, 0.25, 0.125]

    References:
        He et al., ICCV 2015, arXiv 1502.01852.
        Schoenholz et al., ICLR 2017, arXiv 1611.01232.
    """
    depth = len(forward)
    checks.count("the number of layers", depth)
    backward = forward if backward is None else backward
    if isinstance(activations, (str, nn.Module)) or callable(activations):
        activations = [activations] * depth
    if not len(activations) == len(backward) == depth:
        raise ValueError(
            f"{depth} layers, but {len(activations)} activations and "
            f"{len(backward)} backward factors"
        )
    x, rows = checks.nonnegative("second_moment", second_moment), []
    for phi, f in zip(activations, forward, strict=True):
        q = f * x + sigma_b**2
        m = moments(phi, q)
        x = m.second
        rows.append((q, m.mean, m.second, m.variance, m.slope))
    pre, mean, second, variance, slope = np.array(rows).T
    grad = np.empty(depth)
    grad[-1] = slope[-1]
    for l in range(depth - 2, -1, -1):
        grad[l] = backward[l + 1] * slope[l] * grad[l + 1]
    return Recursion(pre, mean, second, variance, grad)
