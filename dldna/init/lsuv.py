r"""LSUV: layer-sequential unit variance, measured on a batch.

Theory assumes independent weights and Gaussian inputs. LSUV asks the
network instead: from the first layer to the last,

.. math:: W \leftarrow W / \sqrt{\mathrm{Var}(\text{output})}

until the output's variance on one batch is 1.
"""

import time

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.dropout import _DropoutNd

from dldna import batches, checks
from dldna.guard import untouched
from dldna.init._draw import make_generator
from dldna.init.apply import initialize
from dldna.init.report import InitReport, describe
from dldna.init.schemes import Scheme
from dldna.params import exact


def lsuv(
    model: nn.Module,
    batch: batches.Batch,
    *,
    tol: float = 0.1,
    max_steps: int = 10,
    scheme: str | Scheme = "orthogonal",
    seed: int = 0,
    generator: torch.Generator | None = None,
) -> InitReport:
    """Scale every layer to unit output variance on one batch, in place.

    All layers are scaled within one forward pass: each is corrected
    before its output goes on. Linear and convolutional layers are scaled
    by their weight, an attention layer by its output projection. The
    variance is taken over the whole output. Dropout is off meanwhile. A
    layer that is used twice is scaled at its first use. If anything
    fails, the model is as it was.

    Args:
        model: any module.
        batch: see :mod:`dldna.batches`; the target is not used.
        tol: stop when ``|Var - 1| < tol``.
        max_steps: most corrections of one layer.
        scheme: the start; orthonormal in the paper.
        seed: of the start.
        generator: instead of the seed.

    Returns:
        A report; ``numbers["variance"]`` holds each layer's variance
        before and after, ``numbers["steps"]`` the corrections.

    Raises:
        ValueError: a layer's output is constant or not finite.

    Example:
        >>> g = torch.Generator().manual_seed(0)
        >>> net = nn.Sequential(nn.Linear(9, 99), nn.ReLU(), nn.Linear(99, 5))
        >>> x = torch.randn(64, 9, generator=g)
        >>> report = lsuv(net, x, tol=1e-3)
        >>> abs(float(net(x).detach().var(correction=0)) - 1) < 1e-3
        True

    References:
        Mishkin, Matas, ICLR 2016, arXiv 1511.06422.
    """
    checks.positive("tol", tol)
    checks.count("max_steps", max_steps)
    inputs = batches.split(batch)[0]
    batches.size(inputs)
    start = time.perf_counter()
    source = make_generator(seed, generator)
    pass_ = _Pass(tol, max_steps)
    with untouched(model), torch.no_grad():
        base = initialize(model, scheme, generator=source)
        for layer in model.modules():
            if isinstance(layer, (_DropoutNd, nn.MultiheadAttention)):
                layer.eval()
        hooks = pass_.watch(model)
        fused = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # it calls no layers
        try:
            batches.apply(model, inputs)
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)
            for hook in hooks:
                hook.remove()
        values = {k: p.clone() for k, p in model.named_parameters()}
    if not pass_.before:
        raise ValueError(
            f"{type(model).__name__} used no linear, convolutional or "
            "attention layer on this batch: there is nothing to scale"
        )
    with torch.no_grad():
        for name, p in model.named_parameters():
            p.copy_(values[name])
        for layer in model.modules():
            if isinstance(layer, _NormBase) and layer.track_running_stats:
                layer.reset_running_stats()
    how = {f.name: f.scheme for f in base.filled}
    for name in pass_.before:
        for label in (f"{name}.weight".lstrip("."), f"{name}.out_proj.weight"):
            if label in how:
                how[label] += " + lsuv"
    return describe(
        model,
        "lsuv",
        how,
        base.left,
        tied=base.tied,
        notes=pass_.notes(),
        seconds=time.perf_counter() - start,
        numbers={
            "variance": {
                k: (v, pass_.after[k]) for k, v in pass_.before.items()
            },
            "steps": pass_.steps,
        },
    )


class _Pass:
    """One forward pass that corrects the layers as it meets them."""

    def __init__(self, tol: float, max_steps: int):
        self.tol, self.max_steps = tol, max_steps
        self.before: dict[str, float] = {}
        self.after: dict[str, float] = {}
        self.steps: dict[str, int] = {}
        self.seen: set[int] = set()

    def watch(self, model: nn.Module) -> list:
        inner = {
            id(m.out_proj)
            for m in model.modules()
            if isinstance(m, nn.MultiheadAttention)
        }
        hooks = []
        for name, layer in model.named_modules():
            kinds = (nn.Linear, _ConvNd, nn.MultiheadAttention)
            if not isinstance(layer, kinds) or id(layer) in inner:
                continue
            if nn.utils.parametrize.is_parametrized(layer):
                continue
            hooks.append(
                layer.register_forward_hook(self.hook(name), with_kwargs=True)
            )
        return hooks

    def hook(self, name: str):
        def correct(layer, args, kwargs, output):
            attention = isinstance(layer, nn.MultiheadAttention)
            weight = (layer.out_proj if attention else layer).weight
            if id(weight) in self.seen:
                return None
            self.seen.add(id(weight))
            var = self.variance(name, output)
            self.before[name], step = var, 0
            while abs(var - 1) >= self.tol and step < self.max_steps:
                weight.div_(var**0.5)
                output = layer.forward(*args, **kwargs)
                var, step = self.variance(name, output), step + 1
            self.after[name], self.steps[name] = var, step
            return output

        return correct

    def variance(self, name: str, output) -> float:
        first = output[0] if isinstance(output, tuple) else output
        var = float(exact(first).var(correction=0))
        if not 0 < var < float("inf"):
            raise ValueError(
                f"the output of layer {name or 'model'!r} has variance {var} "
                "on this batch: LSUV cannot scale it. Give a batch of "
                "different, finite samples, and no dead layers"
            )
        return var

    def notes(self) -> list[str]:
        late = [k for k, v in self.after.items() if abs(v - 1) >= self.tol]
        return [f"not within tol after {self.max_steps} steps: {late}"] * bool(
            late
        )
