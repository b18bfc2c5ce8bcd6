"""Scales of a random direction: what "1.0" means along an axis."""

from collections.abc import Mapping

import torch
from torch import Tensor

from dldna import params
from dldna.checks import choice
from dldna.params import Params

VECTORS = ("zero", "copy", "normalise")
TINY = 1e-10  # as in the authors' code


def filter_normalise(
    direction: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    vectors: str = "zero",
) -> Params:
    r"""Give each filter of a direction the length of the network's filter.

    .. math:: d_{ij} \leftarrow
        \frac{d_{ij}}{\|d_{ij}\| + 10^{-10}} \, \|w_{ij}\|

    where :math:`w_{ij}` is the j-th slice along axis 0 of the i-th weight:
    a convolution's filter, or a linear layer's row. Afterwards the whole
    tensor has the length of the weight, so a step of 1 is a change of
    100 %. Pictures are the same for a ReLU network and its twin with one
    layer multiplied by a number and the next divided by it, and for
    filters rescaled one by one before batch normalisation. Without that,
    units rescaled one by one change the picture: the next layer's columns
    change, and its rows are what is normalised.

    Args:
        direction: any direction, one tensor for each weight.
        weights: the point it starts from.
        vectors: what becomes of tensors with fewer than two axes (biases,
            scale and shift of normalisation layers): ``"zero"``, as in the
            paper; ``"copy"``, the weights themselves, as the authors' code
            does when told not to ignore them; ``"normalise"``, scaled as
            if the vector were one filter.

    Returns:
        A new direction.

    Raises:
        ValueError: the two do not belong to one network, or ``vectors`` is
            not one of the three words.

    Example:
        >>> w = {"w": torch.tensor([[3.0, 4.0], [0.0, 2.0]])}
        >>> d = {"w": torch.tensor([[1.0, 0.0], [1.0, 1.0]])}
        >>> filter_normalise(d, w)["w"]
        tensor([[5.0000, 0.0000],
                [1.4142, 1.4142]])

    References:
        Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape
        of Neural Nets", NeurIPS 2018, arXiv 1712.09913.
    """
    return _scaled(direction, weights, vectors, by_filter=True)


def layer_normalise(
    direction: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    vectors: str = "zero",
) -> Params:
    r"""Give each whole tensor of a direction the length of the weight.

    .. math:: d_i \leftarrow
        \frac{d_i}{\|d_i\| + 10^{-10}} \, \|w_i\|

    where :math:`w_i` is the i-th weight as a whole and the lengths are
    Euclidean. This is *not* filter normalisation: a layer with one large
    and many small filters is disturbed mostly in the small ones.

    Args:
        direction: any direction, one tensor for each weight.
        weights: the point it starts from.
        vectors: "zero", "copy" or "normalise", as in
            :func:`filter_normalise`.

    Returns:
        A new direction.

    Raises:
        ValueError: the two do not belong to one network, or ``vectors`` is
            not one of the three words.

    Example:
        >>> w = {"w": torch.tensor([[3.0, 4.0], [0.0, 2.0]])}
        >>> d = {"w": torch.tensor([[1.0, 0.0], [1.0, 1.0]])}
        >>> layer_normalise(d, w)["w"]
        tensor([[3.1091, 0.0000],
                [3.1091, 3.1091]])

    References:
        Li, Xu, Taylor, Studer, Goldstein, "Visualizing the Loss Landscape
        of Neural Nets", NeurIPS 2018, arXiv 1712.09913. Their code has
        this scale (``norm='layer'``) beside that of filters.
    """
    return _scaled(direction, weights, vectors, by_filter=False)


def _scaled(direction, weights, vectors, by_filter):
    params.check_same(direction, weights)
    choice("treatment of vectors", vectors, VECTORS)
    out = {}
    for name, w in weights.items():
        d = direction[name]
        if w.ndim < 2 and vectors == "zero":
            out[name] = torch.zeros_like(d)
        elif w.ndim < 2 and vectors == "copy":
            out[name] = w.detach().clone()
        else:
            axes = tuple(range(1, w.ndim)) if by_filter else None
            out[name] = d * (_length(w, axes) / (_length(d, axes) + TINY))
    return out


def _length(tensor: Tensor, axes: tuple[int, ...] | None) -> Tensor:
    if not axes:  # one number for the whole tensor
        return torch.linalg.vector_norm(tensor)
    return torch.linalg.vector_norm(tensor, dim=axes, keepdim=True)
