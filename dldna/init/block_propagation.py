"""Signals through the blocks of a decoder: measured, theory beside it."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from dldna import batches
from dldna.guard import differentiable, untouched
from dldna.init.block_theory import predict_blocks
from dldna.init.propagation import (
    about,
    cotangent,
    entry_moments,
    moments_of,
)
from dldna.init.weight_matrices import check_model
from dldna.models import DecoderTransformer
from dldna.params import exact
from dldna.records import LayerStats, Provenance


def propagate_blocks(
    model: DecoderTransformer,
    batch: batches.Batch,
    loss_fn: Callable | None = None,
    *,
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> LayerStats:
    r"""The residual stream before and after every block, and its gradient.

    As :func:`dldna.init.propagate`, for whole blocks. The theory is that
    of large width (:mod:`dldna.init.block_theory`), fed with the weights'
    own second moments, the stream measured before the first block, and
    the gradient measured after the last. It takes attention for a mean
    over the tokens so far, which it is at the start where the standard
    deviation of its logits is well below 1;
    ``provenance.notes["logit_std"]`` holds what theory says of that, for
    each block.

    Args:
        model: stays as it is.
        batch: tokens (B, T), with targets where there is a loss.
        loss_fn: its gradient goes back. None sends back independent
            N(0, 1) numbers from the logits.
        seed: of those numbers.
        generator: instead of the seed.

    Returns:
        Entry 0 is the stream before the first block, the others that
        after each block; ``predicted`` holds second_moment and
        grad_second_moment.

    Raises:
        TypeError: another kind of model.

    Example:
        >>> from dldna.init import gpt2
        >>> net = DecoderTransformer(width=128, depth=3)
        >>> report = gpt2(net, std=0.1)
        >>> stats = propagate_blocks(net, torch.arange(60).view(4, 15))
        >>> stats.names
        ['embedding', 'blocks.0', 'blocks.1', 'blocks.2']
        >>> gap = stats.second_moment / stats.predicted["second_moment"] - 1
        >>> bool((abs(gap) < 0.1).all())
        True

    References:
        J. Hron et al., Infinite attention: NNGP and NTK for deep attention
        networks, ICML 2020, arXiv:2006.10540.

        R. Xiong et al., On layer normalization in the transformer
        architecture, ICML 2020, arXiv:2002.04745.
    """
    begin = time.perf_counter()
    check_model(model)
    if not isinstance(model, DecoderTransformer):
        raise TypeError(
            "the theory of blocks is that of dldna.models."
            f"DecoderTransformer, and this is a {type(model).__name__}; "
            "dldna.init.propagate measures the layers of any model"
        )
    stream: list[Tensor] = []

    def first(_, args):  # a leaf, or frozen weights have no gradient
        stream.append(args[0].detach().requires_grad_())
        return (stream[0],)

    def later(_, args, out):
        stream.append(out)

    with untouched(model), differentiable():
        hooks = [model.blocks.register_forward_pre_hook(first)]
        hooks += [b.register_forward_hook(later) for b in model.blocks]
        try:
            output = batches.apply(model, batches.split(batch)[0])
        finally:
            for hook in hooks:
                hook.remove()
        back = cotangent(output, batch, loss_fn, seed, generator)
        grads = torch.autograd.grad(output, stream, back)
    signal, gradient, logits = predict_blocks(
        model.blocks, _products(stream[0]), _products(grads[-1])
    )
    return moments_of(
        ["embedding", *(f"blocks.{i}" for i in range(len(model.blocks)))],
        ["Embedding", *(type(b).__name__ for b in model.blocks)],
        [entry_moments(x) for x in stream],
        grads,
        {
            "second_moment": np.array(signal),
            "grad_second_moment": np.array(gradient),
        },
        Provenance(
            made="signal propagation through blocks",
            seed=None if generator else seed,
            n_samples=batches.size(batch),
            seconds=time.perf_counter() - begin,
            notes={"logit_std": logits},
            **about(model, output, loss_fn),
        ),
    )


def _products(x: Tensor) -> Tensor:
    """(B, T, T) means over units of products between tokens."""
    x = exact(x.detach())
    return (x @ x.mT / x.shape[-1]).cpu()
