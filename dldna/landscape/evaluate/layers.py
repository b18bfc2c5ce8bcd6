"""Convolutions and linear layers whose parameters move on a plane."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from dldna.landscape.evaluate import winograd
from dldna.landscape.evaluate.layer_forms import PLAIN, Form, form
from dldna.landscape.evaluate.pooling import windows
from dldna.landscape.evaluate.products import linear

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
CALLS = {nn.Conv1d: F.conv1d, nn.Conv2d: F.conv2d, nn.Conv3d: F.conv3d}


class Layer:
    """A linear or convolutional layer, with a batch norm folded in.

    With running mean m and variance v, scale g and shift b, a batch norm
    after ``W x + c`` is the layer ``s W x + s (c - m) + b`` with
    ``s = g / sqrt(v + eps)``. If neither g nor v moves on the plane, s is
    constant and origin and directions are scaled once.

    Args:
        graph: the graph it belongs to.
        node: the layer's node.
        norm: the node of the batch norm after it, or None.
    """

    def __init__(self, graph, node: fx.Node, norm: fx.Node | None):
        self.graph, self.node = graph, node
        self.module = graph.modules[node.target]
        self.norm = graph.modules[norm.target] if norm is not None else None
        self.norm_name = norm.target if norm is not None else ""
        self.weights: dict[Any, list[Tensor]] = {}
        self.kept: dict[int, list[Tensor]] = {}
        self.pixels = 0  # of its flattened input, if channels come last
        self._constant: bool | None = None
        self._scale: Tensor | None = None

    def terms(self, way, name: str, owner: str) -> list[Tensor] | None:
        """A parameter's terms: at the origin, then along each direction."""
        full = self.graph.parameter(owner, name)
        return None if full is None else way.plan.terms[full]

    def form(self, x: Tensor, fewer: bool = True) -> Form:
        """How the layer is applied to an input of this shape."""
        return form(self.module, x, self.pixels, fewer)

    def constant(self, way) -> bool:
        """Whether the batch norm's scale stays the same on the plane."""
        if self._constant is None:
            moving = [
                term
                for name in ("weight", "running_var")
                if self.norm is not None
                for term in (self.terms(way, name, self.norm_name) or [])[1:]
            ]
            self._constant = not any(bool(term.any()) for term in moving)
        return self._constant

    def scale(self, way, at) -> Tensor | None:
        """The batch norm's factor for each channel, or None."""
        if self.norm is None:
            return None
        var = at(self.terms(way, "running_var", self.norm_name))
        scale = torch.rsqrt(var.clamp_min(0) + self.norm.eps)
        gain = self.terms(way, "weight", self.norm_name)
        return scale if gain is None else scale * at(gain)

    def prepared(self, way, form: Form) -> list[Tensor]:
        """The weight's terms in the form, layout and scale of their use."""
        if form not in self.weights:
            terms = self.terms(way, "weight", self.node.target)
            scale = self.fixed_scale(way)
            self.weights[form] = [self._laid(w, form, scale) for w in terms]
        return self.weights[form]

    def fixed_scale(self, way) -> Tensor | None:
        """The batch norm's factor where it stays the same, or None."""
        if self.constant(way) and self._scale is None:
            self._scale = self.scale(way, lambda t: t[0])
        return self._scale

    def weight(self, point, form: Form) -> Tensor:
        """The weight at a point, but for a norm's factor that moves.

        Of a large network each is laid out anew at each point, if that
        makes it no smaller: all terms of all layers would be as large as
        the network, several times.
        """
        way = point.way
        laid = PLAIN if form.kind == "fewer" else form
        if not way.large or form.kind == "summed":
            weight = point.moved((self, laid), self.prepared(way, laid))
        else:
            terms = self.terms(way, "weight", self.node.target)
            weight = point.moved((self, "weight"), terms)
            weight = self._laid(weight, laid, self.fixed_scale(way))
        if form.kind != "fewer":
            return weight
        return winograd.factors(weight, form.out, way.memory(weight))

    def _laid(self, w: Tensor, form: Form, scale) -> Tensor:
        if scale is not None:
            w = w * scale.view(-1, *[1] * (w.ndim - 1))
        if form.kind == "dense":
            return self._spread(w, form)
        if form.kind == "pixels":
            return w.reshape(len(w), -1)
        if form.kind == "turned":
            w = w.view(len(w), -1, form.used[0])
            return w.transpose(1, 2).reshape(len(w), -1)
        if form.kind == "summed":
            return w.view(len(w), form.used[0], -1).sum(2)
        if w.ndim == 4:
            return w.contiguous(memory_format=torch.channels_last)
        return w.contiguous()

    def _spread(self, w: Tensor, form: Form) -> Tensor:
        """The matrix from all used pixels to all places of the output."""
        taps = []
        for d in range(2):
            place = torch.arange(form.out[d], device=w.device)
            pixel = torch.arange(form.used[d], device=w.device)
            start = place * self.module.stride[d] - self.module.padding[d]
            taps.append(pixel[None, :] - start[:, None])
        w = w[:, :, taps[0][:, :, None, None], taps[1][None, None]]
        w = w.permute(2, 4, 0, 3, 5, 1)
        return w.reshape(form.out[0] * form.out[1] * w.shape[2], -1)

    def at(self, point, form: Form) -> tuple[Tensor, Tensor | None]:
        """Weight and bias at a point."""
        way = point.way
        weight = self.weight(point, form)
        scale = self.fixed_scale(way)
        if self.norm is not None and scale is None:
            scale = self.scale(way, point.value)
            rows = scale.repeat(len(weight) // len(scale))
            weight = weight * rows.view(-1, *[1] * (weight.ndim - 1))
        bias = self.bias(way, point.value, scale)
        if way.half:
            weight = weight.bfloat16()
            bias = None if bias is None else bias.bfloat16()
        return weight, bias

    def bias(self, way, value, scale: Tensor | None) -> Tensor | None:
        """The layer's bias after folding."""
        own = self.terms(way, "bias", self.node.target)
        bias = None if own is None else value(own)
        if self.norm is None:
            return bias
        mean = value(self.terms(way, "running_mean", self.norm_name))
        bias = -mean if bias is None else bias - mean
        bias = bias * scale
        shift = self.terms(way, "bias", self.norm_name)
        return bias if shift is None else bias + value(shift)

    def apply(
        self, way, form: Form, x: Tensor, weight: Tensor, bias: Tensor | None
    ) -> Tensor:
        """The layer's output on ``x``."""
        m = self.module
        if type(m) is nn.Linear:
            return linear(x, weight, bias)
        if form.kind == "fewer":
            return winograd.convolve(x, weight, bias, way.memory(x))
        if form.kind != "plain":
            return self._multiply(form, x, weight, bias)
        if m.padding_mode != "zeros":
            x = F.pad(x, m._reversed_padding_repeated_twice, m.padding_mode)
            padding = 0
        else:
            padding = m.padding
        return CALLS[type(m)](
            x, weight, bias, m.stride, padding, m.dilation, m.groups
        )

    def _multiply(self, form: Form, x: Tensor, weight, bias) -> Tensor:
        """A convolution as a matrix product over channels last."""
        if form.kind == "pixels":
            a, b = self.module.stride
            x = x[:, :, ::a, ::b].permute(0, 2, 3, 1)
            # as a matrix: with strides, linear would copy the weights
            y = linear(x.reshape(-1, x.shape[3]), weight, bias)
            return y.view(*x.shape[:3], -1).permute(0, 3, 1, 2)
        (a, b), (h, w) = form.out, form.used
        x = x[:, :, :h, :w].permute(0, 2, 3, 1).reshape(len(x), -1)
        if bias is not None:
            bias = bias.repeat(a * b)
        y = linear(x, weight, bias).view(len(x), a, b, -1)
        return y.permute(0, 3, 1, 2)

    def products(
        self, b: int, x: Tensor, way, size: tuple[int, int] | None = None
    ) -> list[Tensor] | None:
        """Outputs on a batch for origin and directions, if they fit.

        With the ``size`` of a pooling's window, sorted by place in it.
        """
        if b in self.kept:
            return self.kept[b]
        form, made = self.form(x, fewer=False), []
        weights = self.prepared(way, form)
        if len(weights) == 1:  # its bias moves alone
            none = torch.zeros_like(weights[0])
            weights = weights + [none] * len(way.subspace.directions)
        for k, weight in enumerate(weights):
            bias = self._bias_term(way, k)
            if way.half:
                x = x.float()
            made.append(self.apply(way, form, x, weight, bias))
            if size is not None:
                made[-1] = windows(made[-1], size)
            if way.half:
                made[-1] = made[-1].bfloat16()
            way.room -= made[-1].nbytes
        if way.room < 0:
            way.room += sum(t.nbytes for t in made)
            return None
        self.kept[b] = made
        return made

    def _bias_term(self, way, k: int) -> Tensor | None:
        """The k-th term of the bias; constants belong to the origin."""

        def term(terms):
            if k < len(terms):
                return terms[k]
            return torch.zeros_like(terms[0])

        own = self.terms(way, "bias", self.node.target)
        if self.norm is None:
            return None if own is None else term(own)
        mean = term(self.terms(way, "running_mean", self.norm_name))
        bias = -mean if own is None else term(own) - mean
        bias = bias * self.fixed_scale(way)
        shift = self.terms(way, "bias", self.norm_name)
        return bias if shift is None else bias + term(shift)
