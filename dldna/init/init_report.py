"""What was initialized how, and what was left as it was."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from dldna.init.weight_matrices import WeightMatrix, weight_blocks
from dldna.params import exact


@dataclass(frozen=True)
class Filled:
    """One matrix or vector that was initialized.

    Args:
        name: parameter name, with the part in brackets ("[q]").
        layer: type of the layer that owns it.
        scheme: what was done to it.
        shape: shape as stored, of this part.
        groups: number of matrices in it (1 unless grouped).
        fan_in: true fan-in, or None for vectors.
        fan_out: true fan-out, or None for vectors.
        std: root mean square of the entries now.
    """

    name: str
    layer: str
    scheme: str
    shape: tuple[int, ...]
    groups: int
    fan_in: float | None
    fan_out: float | None
    std: float


@dataclass(frozen=True)
class InitReport:
    """What was initialized how, and what was left as it was.

    Args:
        scheme: the scheme asked for.
        filled: one row for each matrix and vector written.
        left: parameter name -> why it was not touched.
        tied: name -> the name under which the shared parameter was filled.
        notes: remarks a reader should not miss.
        seconds: wall time, where the scheme looks at data.
        numbers: what a data-dependent scheme measured, by name.
    """

    scheme: str
    filled: list[Filled]
    left: dict[str, str] = field(default_factory=dict)
    tied: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0
    numbers: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        width = max([9, *(len(f.name) for f in self.filled)])
        lines = [
            "parameter".ljust(width)
            + f"  {'layer':<18}{'scheme':<26}{'shape':<18}"
            + f"{'fan in':>8}{'fan out':>8}{'rms':>10}"
        ]
        for f in self.filled:
            shape = "x".join(map(str, f.shape)) or "1"
            if f.groups > 1:
                shape += f" /{f.groups}"
            n_in = "" if f.fan_in is None else f"{f.fan_in:g}"
            n_out = "" if f.fan_out is None else f"{f.fan_out:g}"
            lines.append(
                f.name.ljust(width)
                + f"  {f.layer:<18}{f.scheme:<26}{shape:<18}"
                + f"{n_in:>8}{n_out:>8}{f.std:>10.3g}"
            )
        lines += [f"tied: {a} = {b}" for a, b in self.tied.items()]
        lines += [f"left: {a} ({why})" for a, why in self.left.items()]
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes)])


def filled_block(block: WeightMatrix, scheme: str) -> Filled:
    """The row of a matrix, measured as it is now."""
    total = sum(float(exact(v).square().sum()) for v in block.views)
    count = sum(v.numel() for v in block.views)
    n_in, n_out = block.fans
    return Filled(
        block.label,
        type(block.layer).__name__,
        scheme,
        tuple(block.views[0].shape),
        len(block.views),
        n_in,
        n_out,
        (total / count) ** 0.5,
    )


def filled_vector(name: str, kind: str, scheme: str, p: Tensor) -> Filled:
    """The row of a parameter that is no matrix."""
    rms = float(exact(p.detach()).square().mean().sqrt())
    return Filled(name, kind, scheme, tuple(p.shape), 1, None, None, rms)


def describe(
    model: nn.Module,
    scheme: str,
    how: Mapping[str, str],
    left: Mapping[str, str],
    **rest: Any,
) -> InitReport:
    """A report on a model as it is now.

    Args:
        model: the model, already initialized.
        scheme: name of the whole.
        how: label of a matrix or vector -> what was done to it.
        left: parameter name -> why it was not touched.
        rest: further fields of the report.
    """
    rows = [
        filled_block(b, how[b.label])
        for b in weight_blocks(model)
        if b.label in how
    ]
    owners = {
        (f"{prefix}." if prefix else "") + own: type(layer).__name__
        for prefix, layer in model.named_modules()
        for own, _ in layer.named_parameters(recurse=False)
    }
    labels = {r.name for r in rows}
    rows += [
        filled_vector(name, owners[name], how[name], p)
        for name, p in model.named_parameters(remove_duplicate=False)
        if name in how and name not in labels
    ]
    return InitReport(scheme, rows, dict(left), **rest)
