"""Scales of a random direction: what "1.0" means along an axis."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from dldna import params
from dldna.checks import choice
from dldna.params import Params

VECTORS = ("zero", "copy", "normalise")
TINY = 1e-10  # as in the authors' code
Rule = Callable[[Tensor, Tensor], Tensor]  # direction, weight -> factor


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
    100 %.

    Filter normalisation undoes two ways to write the same function: a
    number taken from one whole layer of a ReLU network into the next, and
    a scale of each filter that is followed at once by normalisation. It
    does not undo scales that one unit takes into the next layer's column,
    as each unit of a ReLU network may, or that move from a normalisation
    layer's own gain into the next layer: rows are normalised, and columns
    change. :func:`entry_normalise` undoes them all.

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
    return _scaled(direction, weights, vectors, by_filter)


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
    return _scaled(direction, weights, vectors, by_tensor)


def entry_normalise(
    direction: Mapping[str, Tensor],
    weights: Mapping[str, Tensor],
    vectors: str = "zero",
) -> Params:
    r"""Multiply each entry of a direction by the size of the weight there.

    .. math:: d_i \leftarrow d_i \, |w_i|

    This is how ASAM measures a step. Whatever positive numbers are moved
    between weights without changing the function, from layer to layer,
    unit by unit, or through a normalisation layer, the direction follows,
    so all such twins have the same picture. The price: weights near 0
    hardly move, and those that are 0 (pruned ones, say) stand still. A
    Gaussian direction has about the length of the weights afterwards.

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
        >>> w = {"w": torch.tensor([[3.0, -4.0], [0.0, 2.0]])}
        >>> d = {"w": torch.tensor([[1.0, 1.0], [1.0, -1.0]])}
        >>> entry_normalise(d, w)["w"]
        tensor([[ 3.,  4.],
                [ 0., -2.]])

    References:
        Kwon, Kim, Park, Choi, "ASAM: Adaptive Sharpness-Aware
        Minimization", ICML 2021, arXiv 2102.11600.
    """
    return _scaled(direction, weights, vectors, by_entry)


def scale_drawn(
    direction: Params, weights: Mapping[str, Tensor], vectors: str, rule: Rule
) -> Params:
    """Scale a direction that nobody else holds, in its own memory.

    Freed pieces between those that stay would be lost to a large network:
    not every allocator gives them out again.

    Args:
        direction: fresh tensors; they are written over.
        weights: the point it starts from.
        vectors: "zero", "copy" or "normalise".
        rule: the factor of each tensor.
    """
    return _scaled(direction, weights, vectors, rule, fresh=True)


def _scaled(direction, weights, vectors, rule, fresh=False):
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
            factor = rule(d, w)
            out[name] = d.mul_(factor) if fresh else d * factor
    return out


def by_filter(d: Tensor, w: Tensor) -> Tensor:
    """What gives each filter the length of the weight's."""
    axes = tuple(range(1, w.ndim))
    return _length(w, axes) / (_length(d, axes) + TINY)


def by_tensor(d: Tensor, w: Tensor) -> Tensor:
    """What gives the whole tensor the length of the weight."""
    return _length(w, ()) / (_length(d, ()) + TINY)


def by_entry(d: Tensor, w: Tensor) -> Tensor:
    """The size of the weight at each entry."""
    return w.abs()


def _length(tensor: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Euclidean length, also where the squares leave the number range."""
    axes = axes or tuple(range(tensor.ndim))
    options = {"dim": axes, "keepdim": True} if axes else {}
    length = torch.linalg.vector_norm(tensor, **options)
    good = length.isfinite() & (length > TINY)
    if not tensor.numel() or good.all():
        return length
    top = tensor.abs().amax(**options)
    unit = torch.where((top > 0) & top.isfinite(), top, 1.0)
    rescued = unit * torch.linalg.vector_norm(tensor / unit, **options)
    return torch.where(good, length, rescued)
