r"""ZerO: a start with no randomness at all.

Where the width stays or shrinks the matrix is a (partial) identity; where
it grows, a Hadamard matrix stands between two partial identities, so that
the new units do not stay copies of each other:

.. math:: W = 2^{-(m-1)/2}\, I^* H_m I^*, \qquad
    m = \lceil \log_2 n_{out} \rceil .
"""

from typing import Any

import torch
from torch import Tensor

from dldna import checks
from dldna.init._draw import check_weight


def hadamard(m: int) -> Tensor:
    r"""Sylvester's Hadamard matrix of order 2^m, entries +1 and -1.

    :math:`H_0 = 1`, :math:`H_{m+1} = [[H_m, H_m], [H_m, -H_m]]`, so
    :math:`H_m H_m^\top = 2^m I`.

    Args:
        m: number of doublings, 0 or more.

    Returns:
        Shape (2^m, 2^m), float64.

    Example:
        >>> hadamard(1)
        tensor([[ 1.,  1.],
                [ 1., -1.]], dtype=torch.float64)
    """
    h = torch.ones(1, 1, dtype=torch.float64, device="cpu")
    two = torch.tensor(
        [[1.0, 1.0], [1.0, -1.0]], dtype=torch.float64, device="cpu"
    )
    for _ in range(checks.count("m", m, least=0)):
        h = torch.kron(two, h)
    return h


def zero_hadamard(tensor: Tensor, *, generator: Any = None) -> Tensor:
    r"""ZerO: identity, or Hadamard where the width grows.

    A kernel is zero but for its spatial centre. The last layer of each
    residual branch starts at 0: give :func:`dldna.init.apply.initialize`
    a rule, ``rules={"blocks.*.conv2.*": "zeros"}``.

    Args:
        tensor: weight (c_out, c_in, \*kernel), filled in place.
        generator: not used; every scheme may be given one.

    Returns:
        The same tensor.

    Example:
        >>> zero_hadamard(torch.empty(2, 3))
        tensor([[1., 0., 0.],
                [0., 1., 0.]])
        >>> (2**0.5 * zero_hadamard(torch.empty(4, 2))).round()
        tensor([[ 1.,  1.],
                [ 1., -1.],
                [ 1.,  1.],
                [ 1., -1.]])

    References:
        Zhao, Schaefer, Anandkumar, TMLR 2022, arXiv 2110.12661.
    """
    c_out, c_in, *kernel = check_weight(tensor).shape
    if c_out <= c_in:
        matrix = torch.eye(c_out, c_in, dtype=torch.float64, device="cpu")
    else:
        m = (c_out - 1).bit_length()  # ceil(log2 c_out)
        matrix = 2 ** (-(m - 1) / 2) * hadamard(m)[:c_out, :c_in]
    with torch.no_grad():
        tensor.zero_()
        tensor[(..., *((k - 1) // 2 for k in kernel))] = matrix.to(tensor)
    return tensor
