r"""Orthogonal weights: every singular value is the gain.

A Gaussian matrix of variance 1/n keeps lengths on average, yet its
singular values spread over [0, 2] (n x n), and a product of many of them
keeps almost no direction. An orthogonal matrix keeps all of them.
"""

import math

import torch
from torch import Tensor

from dldna import checks
from dldna.init._draw import check_generator, check_weight, normal_
from dldna.params import usable_device

Generator = torch.Generator | None


def haar(
    rows: int,
    columns: int,
    *,
    generator: Generator = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
) -> Tensor:
    r"""A uniformly distributed semi-orthogonal matrix.

    QR of a Gaussian, with the signs of R's diagonal moved into Q (without
    this Q is not uniform). Rows are orthonormal if ``rows <= columns``,
    else columns are.

    Args:
        rows: number of rows.
        columns: number of columns.
        generator: source of the numbers.
        dtype: floating point type of the result.
        device: where the result lives.

    Returns:
        Shape (rows, columns).

    References:
        Mezzadri, Notices of the AMS 54, 2007, arXiv math-ph/0609050.
    """
    checks.count("rows", rows)
    checks.count("columns", columns)
    device = usable_device(device)
    flat = torch.empty(rows, columns, dtype=dtype, device=device)
    if dtype in (torch.float16, torch.bfloat16):  # no QR in half precision
        flat = flat.float()
    normal_(flat, 1.0, generator)
    q, r = torch.linalg.qr(flat.t() if rows < columns else flat)
    q = q * r.diagonal().sign()
    return (q.t() if rows < columns else q).to(dtype)


def orthogonal(
    tensor: Tensor, *, gain: float = 1.0, generator: Generator = None
) -> Tensor:
    r"""Orthogonal: :math:`W W^\top = g^2 I` (or :math:`W^\top W`).

    A convolution's kernel is read as the matrix (c_out, c_in * kernel).
    That matrix is orthogonal; the convolution itself is not, see
    :func:`delta_orthogonal`.

    Args:
        tensor: weight (c_out, c_in, \*kernel), filled in place.
        gain: every singular value.
        generator: source of the numbers.

    Returns:
        The same tensor.

    Example:
        >>> w = orthogonal(torch.empty(3, 5, dtype=torch.float64), gain=2.0)
        >>> torch.allclose(w @ w.T, 4 * torch.eye(3, dtype=w.dtype))
        True

    References:
        Saxe, McClelland, Ganguli, ICLR 2014, arXiv 1312.6120.
    """
    checks.positive("gain", gain)
    shape = check_weight(tensor).shape
    q = haar(
        shape[0],
        math.prod(shape[1:]),
        generator=generator,
        dtype=tensor.dtype,
        device=tensor.device,
    )
    with torch.no_grad():
        return tensor.copy_(q.view(shape)).mul_(gain)


def scaled_orthogonal(
    tensor: Tensor,
    *,
    gain: float = math.sqrt(2.0),
    generator: Generator = None,
) -> Tensor:
    r"""Orthogonal times the gain of ReLU: :math:`W = \sqrt 2\, Q`.

    The entries of Q already have variance 1/n. Multiplying by
    :math:`\sqrt{2/n}` instead counts the fan twice, see
    :func:`dldna.init.counterexamples.double_counted_orthogonal`.

    Args:
        tensor: weight (c_out, c_in, \*kernel), filled in place.
        gain: every singular value.
        generator: source of the numbers.

    Returns:
        The same tensor.

    References:
        Saxe, McClelland, Ganguli, ICLR 2014, arXiv 1312.6120.
    """
    return orthogonal(tensor, gain=gain, generator=generator)


def delta_orthogonal(
    tensor: Tensor, *, gain: float = 1.0, generator: Generator = None
) -> Tensor:
    r"""A convolution that is orthogonal as an operator.

    The kernel is zero but for its spatial centre, which holds a matrix
    with orthonormal columns: with stride 1 and "same" padding
    :math:`\|K * x\| = g \|x\|` for every input. A weight of two axes is
    its own centre.

    Args:
        tensor: weight (c_out, c_in, \*kernel), c_out >= c_in for a
            kernel, filled in place.
        gain: every singular value.
        generator: source of the numbers.

    Returns:
        The same tensor.

    Raises:
        ValueError: a kernel with c_out < c_in cannot keep every length.

    Example:
        >>> k = delta_orthogonal(torch.empty(6, 4, 3, 3))
        >>> x = torch.ones(1, 4, 8, 8)
        >>> y = torch.nn.functional.conv2d(x, k, padding=1)
        >>> torch.allclose(y.norm(), x.norm())
        True

    References:
        Xiao, Bahri, Sohl-Dickstein, Schoenholz, Pennington, ICML 2018,
        arXiv 1806.05393.
    """
    checks.positive("gain", gain)
    check_generator(generator)
    c_out, c_in, *kernel = check_weight(tensor).shape
    if kernel and c_out < c_in:
        raise ValueError(
            "delta-orthogonal needs c_out >= c_in, not "
            f"{c_out} < {c_in}; use 'orthogonal' for this layer"
        )
    with torch.no_grad():
        tensor.zero_()
        centre = tensor[(..., *((k - 1) // 2 for k in kernel))]
        orthogonal(centre, gain=gain, generator=generator)
    return tensor
