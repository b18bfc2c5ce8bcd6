"""One call for a whole model, and a report of what it did."""

import fnmatch
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from dldna import checks
from dldna.guard import untouched
from dldna.init._draw import check_weight, make_generator, uniform_
from dldna.init.init_report import InitReport, filled_block, filled_vector
from dldna.init.parametrized import behind, computed, is_known, padding_rows
from dldna.init.schemes import SCHEMES, Scheme
from dldna.init.torch_layers import default_bias_bound, default_bound
from dldna.init.weight_matrices import WeightMatrix, check_model, layer_blocks
from dldna.torch_internals import Normalisation

Rule = str | Scheme | None
Rules = Mapping[type[nn.Module] | str, Rule]

NORMS = (Normalisation, nn.LayerNorm, nn.GroupNorm) + (
    (nn.RMSNorm,) if hasattr(nn, "RMSNorm") else ()
)


def initialize(
    model: nn.Module,
    scheme: str | Scheme = "kaiming_normal",
    *,
    seed: int = 0,
    generator: torch.Generator | None = None,
    rules: Rules | None = None,
    bias: float | str | None = "auto",
    nonlinearity: str | None = None,
    slope: float | None = None,
    gain: float | None = None,
    mode: str | None = None,
) -> InitReport:
    """Initialize every layer of a model, in place.

    Linear and convolutional layers (grouped and transposed ones with
    their true fans), attention projections (query, key and value each as
    a matrix of its own) and recurrent gates are filled by the scheme.
    Norm layers become the identity and forget their running statistics.
    Everything else is left and listed: embeddings, PReLU slopes, and
    weights that are computed from others (by weight norm, spectral norm,
    pruning or another parametrization). A parameter shared by several
    layers is filled once. Padding rows of embeddings stay 0, whoever
    fills the table. The start depends on the seed, and not on the memory
    format. If anything fails, the model is as it was.

    Args:
        model: any module.
        scheme: a name from ``SCHEMES``, or ``f(tensor, generator=...)``
            that fills a weight (c_out, c_in, kernel) in place.
            "torch_default" draws what each layer draws by itself.
        seed: of the random numbers.
        generator: instead of the seed.
        rules: exceptions. A key is a layer type (``nn.Embedding``; the
            nearest base class wins) or a pattern of parameter names
            (``"head.*"``; patterns win over types, the first that fits
            counts). A value is a scheme, or None to leave the parameter.
        bias: a constant; None leaves the biases; "auto" is 0, and for
            "torch_default" what the layer draws by itself.
        nonlinearity: passed to schemes that know it, see ``gain_of``.
        slope: negative slope of leaky_relu or prelu.
        gain: factor on the standard deviation.
        mode: "fan_in", "fan_out" or "fan_avg" for Kaiming.

    Returns:
        An :class:`InitReport`; print it.

    Raises:
        ValueError: unknown scheme, a rule that fits nothing, an option
            that the scheme does not take, or a model without shapes or
            numbers yet (lazy layers, the meta device).
        TypeError: not a module, or not a scheme.

    Example:
        >>> net = nn.Sequential(nn.Linear(9, 4), nn.PReLU(), nn.Linear(4, 2))
        >>> report = initialize(net, "orthogonal", rules={"2.*": "zeros"})
        >>> [f.scheme for f in report.filled]
        ['orthogonal', 'constant 0', 'zeros', 'zeros']
        >>> report.left
        {'1.weight': 'no rule for PReLU'}
    """
    check_model(model)
    source = make_generator(seed, generator)
    asked = {
        "nonlinearity": nonlinearity,
        "slope": slope,
        "gain": gain,
        "mode": mode,
    }
    options = {k: v for k, v in asked.items() if v is not None}
    if scheme is None:  # in rules it leaves a parameter
        raise TypeError(
            "a scheme is a name or a function of a tensor, not None"
        )
    default = _resolve(scheme, options)
    chosen = {k: _resolve(v, {}) for k, v in (rules or {}).items()}
    _check_rules(model, chosen)
    if not (bias is None or bias == "auto"):
        checks.number("bias", bias)
    job = _Pass(default, chosen, bias, source)
    with untouched(model), torch.no_grad():
        job.run(model)
        values = {
            k: p.detach().clone()
            for k, p in model.named_parameters()
            if k in job.written
        }
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name in values:
                p.copy_(values[name])
        for norm in job.norms:
            norm.reset_running_stats()
    return InitReport(default[0], job.filled, job.left, job.tied)


Named = tuple[str, Callable[..., Any] | None]


def zeros(tensor: Tensor, *, generator: Any = None) -> Tensor:
    """Fill with 0, in place: a rule for last layers."""
    with torch.no_grad():
        return tensor.zero_()


def _resolve(rule: Rule, options: dict[str, Any]) -> Named:
    """A rule's name and its function with the options bound."""
    if rule is None:
        return "left", None
    if isinstance(rule, str):
        known = {**SCHEMES, "zeros": zeros}
        call, name = known[checks.choice("scheme", rule, known)], rule
    elif callable(rule):
        call, name = rule, getattr(rule, "__name__", type(rule).__name__)
    else:
        raise TypeError(
            f"a scheme is a name or a function of a tensor, not {rule!r}"
        )
    takes = inspect.signature(call).parameters
    loose = any(p.kind is p.VAR_KEYWORD for p in takes.values())
    for key in options:
        if key not in takes and not loose:
            raise ValueError(f"scheme {name!r} takes no {key}=")
    has_source = "generator" in takes or loose

    def fill(tensor: Tensor, source: torch.Generator) -> None:
        extra = {"generator": source} if has_source else {}
        call(tensor, **options, **extra)

    return name, fill


def _for_layer(rule: Named, layer: nn.Module, block: WeightMatrix) -> Named:
    """The rule for one matrix, with the matrix's name for messages."""
    label = f"{block.label}: "
    if rule[0] != "torch_default":
        return label, rule[1]
    bound = default_bound(layer, block)
    return label, lambda w, source: uniform_(check_weight(w), bound, source)


def _check_rules(model: nn.Module, rules: dict[Any, Named]) -> None:
    names = [k for k, _ in model.named_parameters(remove_duplicate=False)]
    for key in rules:
        if isinstance(key, str):
            fits = any(fnmatch.fnmatchcase(n, key) for n in names)
        elif isinstance(key, type) and issubclass(key, nn.Module):
            fits = any(isinstance(m, key) for m in model.modules())
        else:
            raise TypeError(
                "a rule's key is a layer type or a pattern of parameter "
                f"names, not {key!r}"
            )
        if not fits:
            raise ValueError(
                f"the rule for {key!r} fits nothing in this model; "
                f"its parameters are {', '.join(names)}"
            )


class _Pass:
    """One pass over a model."""

    def __init__(self, default, rules, bias, source):
        self.default, self.rules, self.bias = default, rules, bias
        self.source = source
        self.filled, self.left, self.tied = [], {}, {}
        self.written: set[str] = set()
        self.kept: set[int] = set()
        self.norms = []
        self.padding: dict[int, int] = {}

    def run(self, model: nn.Module) -> None:
        self.padding = {id(p): row for p, row in padding_rows(model)}
        first = {id(p): k for k, p in model.named_parameters()}
        done: dict[int, str] = {}
        seen: dict[str, Any] = {}
        for prefix, layer in model.named_modules():
            dot = f"{prefix}." if prefix else ""
            groups: dict[str, list[WeightMatrix]] = {}
            for block in layer_blocks(layer, prefix):
                groups.setdefault(block.param, []).append(block)
            for own, p in layer.named_parameters(recurse=False):
                name = dot + own
                if id(p) in done:
                    self.tied[name] = done[id(p)]
                    continue
                if id(p) in self.kept:
                    self.left[name] = "left by a rule"
                    continue
                if self.fill(layer, name, p, groups):
                    done[id(p)] = name
                    self.written.add(first[id(p)])
                    for other, key in list(seen.items()):
                        if key == id(p):
                            del self.left[other]
                            self.tied[other] = name
                else:
                    seen[name] = id(p)
            if isinstance(layer, Normalisation) and layer.track_running_stats:
                self.norms.append(layer)

    def rule_for(self, layer, name: str, p: Tensor) -> Named | None:
        """The exception that holds for a parameter, if there is one.

        A scheme needs two axes, so it passes vectors by; a rule for a
        type of layer passes its bias by.
        """
        for key, rule in self.rules.items():
            if isinstance(key, str) and fnmatch.fnmatchcase(name, key):
                return None if p.ndim < 2 and rule[0] in SCHEMES else rule
        for base in type(layer).__mro__:
            rule = self.rules.get(base)
            if rule is not None:
                vector = p.ndim < 2 and rule[0] in SCHEMES
                inner = name.endswith("bias") and rule[1] is not None
                return None if vector or inner else rule
        return None

    def fill(self, layer, name, p, groups) -> bool:
        """Fill one parameter; False if it was left."""
        rule = self.rule_for(layer, name, p)
        kind = type(layer).__name__
        if rule is not None and rule[1] is None:
            self.left[name] = "left by a rule"
            self.kept.add(id(p))
            return False
        if not p.numel():
            self.left[name] = "empty"
            return False
        if name in groups:
            rule = rule or self.default
            for block in groups[name]:
                for view in block.views:
                    self.write(_for_layer(rule, layer, block), view)
            self.clear_padding(p)
            for block in groups[name]:
                self.filled.append(filled_block(block, rule[0]))
            return True
        if rule is not None:
            self.write((f"{name}: ", rule[1]), p.detach())
            self.clear_padding(p)
            self.row(name, kind, rule[0], p)
            return True
        if isinstance(layer, NORMS):
            value = 0.0 if name.endswith("bias") else 1.0
            p.detach().fill_(value)
            self.row(name, kind, f"constant {value:g}", p)
            return True
        own = name.rpartition(".")[2]
        hidden = "weight" in own and behind(layer, own)
        if is_known(layer) and p.ndim == 1 and not hidden:
            return self.fill_bias(layer, name, p)
        if hidden:
            how = ", ".join(computed(layer).values())
            kind = f"{kind}, whose weight is computed ({how})"
        elif isinstance(layer, nn.utils.parametrize.ParametrizationList):
            kind = "a parametrized weight"
        self.left[name] = f"no rule for {kind}"
        return False

    def write(self, named: Named, target: Tensor) -> None:
        """Fill in the order of the indices, whatever the memory format."""
        label, fill = named
        plain = target.contiguous()
        try:
            fill(plain, self.source)
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"{label}{error}") from error
        if plain is not target:
            target.copy_(plain)

    def clear_padding(self, p: Tensor) -> None:
        if id(p) in self.padding:
            p.detach()[self.padding[id(p)]].zero_()

    def fill_bias(self, layer, name, p) -> bool:
        kind = type(layer).__name__
        if self.bias is None:
            self.left[name] = "biases left"
            return False
        if self.bias == "auto" and self.default[0] == "torch_default":
            uniform_(p.detach(), default_bias_bound(layer), self.source)
            self.row(name, kind, "torch_default", p)
            return True
        value = 0.0 if self.bias == "auto" else float(self.bias)
        p.detach().fill_(value)
        self.row(name, kind, f"constant {value:g}", p)
        return True

    def row(self, name, kind, scheme, p) -> None:
        self.filled.append(filled_vector(name, kind, scheme, p))
