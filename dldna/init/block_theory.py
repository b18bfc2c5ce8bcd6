r"""Signals through a decoder's blocks, in the limit of large width.

With random weights and many units, what a layer does to a sequence is
told by one matrix: :math:`K_{st}`, the mean over units of the product of
the stream at s and at t. With :math:`p_W` the mean square of a layer's
weights, n its fan-in and m its fan-out:

==========  ===============================  ===============================
layer       signal                           gradient
==========  ===============================  ===============================
linear      :math:`n p_W K + p_b`            :math:`m p_W G`
layer norm  :math:`K_{st}/(r_s r_t)`         :math:`G_{st}/(r_s r_t)`
activation  :math:`E\,\phi(u_s)\phi(u_t)`    :math:`G_{st} E\,\phi'\phi'`
attention   :math:`A K A^\top`               :math:`A^\top G A`
residual    :math:`K + K_{branch}`           :math:`G + G_{branch}`
==========  ===============================  ===============================

with :math:`r_s^2 = K_{ss} + \epsilon` and A the mean over the tokens up to
one's own, which attention is where its logits are small; the gradient
through its logits is left out.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dldna.guard import differentiable
from dldna.init.gaussian import nodes
from dldna.models.decoder import Attention, DecoderBlock, FeedForward
from dldna.params import exact

TERMS = 40


def _power(tensor: Tensor) -> float:
    return float(exact(tensor.detach()).square().mean())


def _diagonal(k: Tensor) -> Tensor:
    return k.diagonal(dim1=-2, dim2=-1)


def _outer(a: Tensor) -> Tensor:
    return a[..., :, None] * a[..., None, :]


def kernel(
    activation: Callable[[Tensor], Tensor], k: Tensor
) -> tuple[Tensor, Tensor]:
    r"""Means of products of an activation, and of its derivative.

    For zero-mean Gaussians u with covariance K: by Mehler's formula

    .. math:: E\,\phi(u_s) \phi(u_t) = \sum_i a_i(K_{ss})\, a_i(K_{tt})
        \left(\frac{K_{st}}{\sqrt{K_{ss} K_{tt}}}\right)^i, \quad
        a_i(q) = E\,\phi(\sqrt q z)\, h_i(z),

    with :math:`h_i` the normalised Hermite polynomials.

    Args:
        activation: acts number by number, and is differentiable.
        k: (..., T, T) covariances, float64.

    Returns:
        Two of the shape of ``k``; the first for :math:`\phi`, the second
        for :math:`\phi'`.

    Example:
        >>> k = torch.eye(2, dtype=torch.float64)
        >>> value, slope = kernel(torch.tanh, k)
        >>> round(float(value[0, 0]), 4), abs(float(value[0, 1])) < 1e-12
        (0.3943, True)
    """
    z, w = nodes()
    basis = [torch.ones_like(z), z]
    for i in range(1, TERMS - 1):
        later = (z * basis[i] - i**0.5 * basis[i - 1]) / (i + 1) ** 0.5
        basis.append(later)
    basis = torch.stack(basis)
    size = _diagonal(k).clamp(min=1e-300).sqrt()
    rho = (k / _outer(size)).clamp(-1, 1)
    with differentiable():
        u = (size[..., None] * z).detach().requires_grad_()
        value = activation(u)
        (slope,) = torch.autograd.grad(value.sum(), u)
    found = []
    for f in (value.detach(), slope):
        a = torch.einsum("...n,n,in->i...", f, w, basis)
        total = torch.zeros_like(k)
        for row in reversed(a):
            total = total * rho + _outer(row)
        # on the diagonal the sum has all its terms at once
        whole = torch.diag_embed((f.square() * w).sum(-1) - _diagonal(total))
        found.append(total + whole)
    return found[0], found[1]


class _Linear:
    def __init__(self, layer: nn.Linear):
        power = _power(layer.weight)
        self.up = layer.in_features * power
        self.down = layer.out_features * power
        self.bias = 0.0 if layer.bias is None else _power(layer.bias)

    def forward(self, k: Tensor) -> Tensor:
        return self.up * k + self.bias

    def backward(self, g: Tensor) -> Tensor:
        return self.down * g


class _Norm:
    def __init__(self, norm: nn.LayerNorm):
        self.scale, self.eps = _power(norm.weight), norm.eps
        self.shift = _power(norm.bias)

    def forward(self, k: Tensor) -> Tensor:
        inverse = (_diagonal(k) + self.eps).rsqrt()
        self.factor = self.scale * _outer(inverse)
        return k * self.factor + self.shift

    def backward(self, g: Tensor) -> Tensor:
        return g * self.factor


class _Attention:
    def __init__(self, layer: Attention):
        self.layer = layer
        self.value, self.out = _Linear(layer.value), _Linear(layer.out)
        self.logit_std = float("nan")

    def forward(self, k: Tensor) -> Tensor:
        t, heads = k.shape[-1], self.layer.heads
        a = torch.ones(t, t, dtype=k.dtype, device="cpu").tril()
        self.a = a / a.sum(1, keepdim=True)
        d = self.layer.query.out_features // heads
        scale = d**-0.5 if self.layer.scale is None else self.layer.scale
        q, key = (
            _diagonal(_Linear(f).forward(k)).mean()
            for f in (self.layer.query, self.layer.key)
        )
        self.logit_std = float(scale * (d * q * key).sqrt())
        k = self.a @ self.value.forward(k) @ self.a.mT
        return self.out.forward(k)

    def backward(self, g: Tensor) -> Tensor:
        g = self.a.mT @ self.out.backward(g) @ self.a
        return self.value.backward(g)


class _Feed:
    def __init__(self, layer: FeedForward):
        self.up, self.down = _Linear(layer.up), _Linear(layer.down)
        self.gate = None if layer.gate is None else _Linear(layer.gate)

    def forward(self, k: Tensor) -> Tensor:
        up = self.up.forward(k)
        if self.gate is None:
            value, self.slope = kernel(_gelu, up)
            return self.down.forward(value)
        value, slope = kernel(F.silu, self.gate.forward(k))
        self.slope, self.through_gate = value, slope * up
        return self.down.forward(value * up)

    def backward(self, g: Tensor) -> Tensor:
        g = self.down.backward(g)
        back = self.up.backward(g * self.slope)
        if self.gate is not None:
            back = back + self.gate.backward(g * self.through_gate)
        return back


def _gelu(x: Tensor) -> Tensor:
    return F.gelu(x, approximate="tanh")


class _Block:
    """Two residual branches, normed as the block says."""

    def __init__(self, block: DecoderBlock):
        self.kind = block.norm
        self.attention = _Attention(block.attention)
        self.branches = [self.attention, _Feed(block.feed)]
        self.norms = []
        if block.norm != "none":
            self.norms = [_Norm(block.norm1), _Norm(block.norm2)]

    def _chains(self) -> list[tuple[list, list]]:
        """For each branch: what is inside it, and what comes after it."""
        if self.kind == "pre":
            pairs = zip(self.norms, self.branches, strict=True)
            return [([norm, branch], []) for norm, branch in pairs]
        after = [[norm] for norm in self.norms] or [[], []]
        pairs = zip(self.branches, after, strict=True)
        return [([branch], norms) for branch, norms in pairs]

    def forward(self, k: Tensor) -> Tensor:
        for inside, after in self._chains():
            branch = k
            for part in inside:
                branch = part.forward(branch)
            k = k + branch
            for part in after:
                k = part.forward(k)
        return k

    def backward(self, g: Tensor) -> Tensor:
        for inside, after in reversed(self._chains()):
            for part in reversed(after):
                g = part.backward(g)
            branch = g
            for part in reversed(inside):
                branch = part.backward(branch)
            g = g + branch
        return g


def predict_blocks(
    blocks: nn.Sequential, stream: Tensor, grad: Tensor
) -> tuple[list[float], list[float], list[float]]:
    """Second moments along the blocks, from both ends.

    Args:
        blocks: of :class:`dldna.models.DecoderTransformer`; only the
            second moments of its weights are used.
        stream: (B, T, T) products of the first block's input, float64.
        grad: (B, T, T) products of the gradient by the last block's
            output, float64.

    Returns:
        The stream's second moment and the gradient's, each before the
        first block and after every block, and the standard deviation of
        each block's attention logits.
    """
    chain = [_Block(block) for block in blocks]
    signal = [stream]
    for block in chain:
        signal.append(block.forward(signal[-1]))
    back = [grad]
    for block in reversed(chain):
        back.append(block.backward(back[-1]))
    means = [
        [float(_diagonal(k).mean()) for k in ks]
        for ks in (signal, reversed(back))
    ]
    return means[0], means[1], [b.attention.logit_std for b in chain]
