r"""LSUV: layer-sequential unit variance, measured on a batch.

Theory assumes independent weights and Gaussian inputs. LSUV asks the
network instead: from the first layer to the last,

.. math:: W \leftarrow W / \sqrt{\mathrm{Var}(\text{output})}

until the output's variance on one batch is 1.
"""

import functools
import time

import torch
from torch import Tensor, nn

from dldna import batches, checks
from dldna.guard import untouched
from dldna.init._draw import make_generator
from dldna.init.apply import initialize
from dldna.init.init_report import InitReport, describe
from dldna.init.parametrized import computed, in_step, refresh, scale_of
from dldna.init.schemes import Scheme
from dldna.init.weight_matrices import check_model
from dldna.params import exact
from dldna.torch_internals import Convolution, Dropout, Normalisation


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

    Within one forward pass each layer is corrected before its output
    goes on. Linear and convolutional layers are scaled by their weight,
    weight-normed ones by its lengths, pruned ones behind the mask, an
    attention layer by its output projection. Then a pass of its own
    measures the finished model, which is what the report holds; where a
    shared weight has put an earlier layer off, both passes are repeated.

    The variance is taken over the whole output. Dropout is off
    meanwhile; batch norm works in the mode it is in, so in training mode
    on the statistics of this batch. A layer or weight that is used twice
    is scaled at its first use. If anything fails, the model is as it was.

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
        before and after, ``numbers["steps"]`` the corrections; the notes
        name layers out of tolerance.

    Raises:
        ValueError: a layer's output is constant or not finite, a weight
            is computed by something that LSUV cannot scale (spectral
            norm, another parametrization), or the model has no shapes or
            numbers yet.

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
    work = _Work(check_model(model), inputs, tol, max_steps)
    with in_step(model):
        with untouched(model), torch.no_grad():
            base = initialize(model, scheme, generator=source)
            for layer in model.modules():
                if isinstance(layer, (Dropout, nn.MultiheadAttention)):
                    layer.eval()
            work.run()
            values = {k: p.clone() for k, p in model.named_parameters()}
        with torch.no_grad():
            for name, p in model.named_parameters():
                p.copy_(values[name])
            for layer in model.modules():
                if (
                    isinstance(layer, Normalisation)
                    and layer.track_running_stats
                ):
                    layer.reset_running_stats()
    how = {f.name: f.scheme for f in base.filled}
    left = dict(base.left)
    scaled = {id(work.scales[name]) for name in work.before}
    for label, p in model.named_parameters(remove_duplicate=False):
        if id(p) in scaled:
            if left.pop(label, None):
                how[label] = "lsuv"
            elif label in how:
                how[label] += " + lsuv"
    return describe(
        model,
        "lsuv",
        how,
        left,
        tied=base.tied,
        notes=work.notes(),
        seconds=time.perf_counter() - start,
        numbers={
            "variance": {
                k: (v, work.after[k]) for k, v in work.before.items()
            },
            "steps": work.steps,
        },
    )


class _Work:
    """Forward passes that correct and measure the layers of a model."""

    def __init__(self, model, inputs, tol: float, max_steps: int):
        self.model, self.inputs = model, inputs
        self.tol, self.max_steps = tol, max_steps
        self.layers = _layers(model)
        self.scales = {k: _scale(m, k) for k, m in self.layers.items()}
        self.before: dict[str, float] = {}
        self.after: dict[str, float] = {}
        self.steps: dict[str, int] = {}

    def run(self) -> None:
        """Correct and measure until all is within tolerance."""
        while True:
            taken = sum(self.steps.values())
            self.forward(self.corrector())
            if not self.before:
                raise ValueError(
                    f"{type(self.model).__name__} used no linear, "
                    "convolutional or attention layer on this batch: there "
                    "is nothing to scale"
                )
            self.after = {}
            self.forward(self.measure)
            if not self.late() or sum(self.steps.values()) == taken:
                return

    def forward(self, act) -> None:
        """One pass, with ``act(name, layer, args, kwargs, output)``."""
        hooks = [
            layer.register_forward_hook(
                functools.partial(act, name), with_kwargs=True
            )
            for name, layer in self.layers.items()
        ]
        fused = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # it calls no layers
        try:
            batches.apply(self.model, self.inputs)
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)
            for hook in hooks:
                hook.remove()

    def corrector(self):
        seen: set[int] = set()

        def correct(name, layer, args, kwargs, output):
            scale = self.scales[name]
            if id(scale) in seen:
                return None
            seen.add(id(scale))
            var = _variance(name, output)
            self.before.setdefault(name, var)
            step = self.steps.get(name, 0)
            while abs(var - 1) >= self.tol and step < self.max_steps:
                scale.div_(var**0.5)
                refresh(layer)
                output = layer.forward(*args, **kwargs)
                var, step = _variance(name, output), step + 1
            self.steps[name] = step
            return output

        return correct

    def measure(self, name, layer, args, kwargs, output) -> None:
        if name not in self.after:
            self.after[name] = _variance(name, output)

    def late(self) -> list[str]:
        """Scaled layers that are out of tolerance in the finished model."""
        return [k for k in self.before if abs(self.after[k] - 1) >= self.tol]

    def notes(self) -> list[str]:
        said = []
        if late := self.late():
            steps = max(self.steps[k] for k in late)
            said.append(f"not within tol after {steps} steps: {late}")
        owner = {id(self.scales[k]): k for k in self.before}
        for name, var in self.after.items():
            if name not in self.before:
                first = owner[id(self.scales[name])]
                said.append(
                    f"{name!r} shares the weight of {first!r}, which was "
                    f"scaled: the variance of {name!r} is {var:.3g}"
                )
        norms = (
            isinstance(m, Normalisation)
            and (m.training or m.running_mean is None)
            for m in self.model.modules()
        )
        if any(norms):
            said.append(
                "batch norm in training mode: measured with the statistics "
                "of this batch"
            )
        return said


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    """The layers to scale; attention owns its output projection."""
    kinds = (nn.Linear, Convolution, nn.MultiheadAttention)
    inner = {
        id(m.out_proj)
        for m in model.modules()
        if isinstance(m, nn.MultiheadAttention)
    }
    return {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, kinds) and id(layer) not in inner
    }


def _scale(layer: nn.Module, name: str) -> Tensor:
    """The parameter that scales a layer's output."""
    attention = isinstance(layer, nn.MultiheadAttention)
    owner = layer.out_proj if attention else layer
    scale = scale_of(owner)
    hooked = attention and bool(owner._forward_pre_hooks)
    if scale is None or (hooked and computed(owner)):
        label = f"{name}.{'out_proj.' * attention}weight".lstrip(".")
        raise ValueError(
            f"{label!r} is computed by {computed(owner)['weight']}, which "
            "LSUV cannot scale: call it on the plain layer, and put this "
            "on afterwards"
        )
    return scale


def _variance(name: str, output) -> float:
    first = output[0] if isinstance(output, tuple) else output
    var = float(exact(first).var(correction=0))
    if not 0 < var < float("inf"):
        raise ValueError(
            f"the output of layer {name or 'model'!r} has variance {var} "
            "on this batch: LSUV cannot scale it. Give a batch of "
            "different, finite samples, and no dead layers"
        )
    return var
