"""Which layer it is whose second derivative torch lacks, or has wrong."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dldna import batches as bt
from dldna.guard import differentiable, untouched
from dldna.objective import Objective
from dldna.objective.reductions import dense

REMEDY = (
    'take way="difference", which makes products from differences of '
    "gradients; or another form of it; or params= of the layers that come "
    "after it"
)
MISSING = (
    r"derivative for '?([\w:]+?)'? is not implemented",
    r"differentiate twice a function",
    r"support double backward",
)
STEPS = (1e-2, 1e-4, 1e-6, 1e-8)  # of differences, in any type
WRONG = 0.05  # relative error of a layer's product


class NoSecondDerivative(NotImplementedError, ValueError):
    """An operation has no second derivative in torch, or a wrong one.

    Example:
        >>> from dldna.landscape import trace
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.Hardsigmoid())
        >>> data = torch.randn(9, 2), torch.randn(9, 3)
        >>> try:
        ...     trace(net, nn.MSELoss(), data)
        ... except NoSecondDerivative as error:
        ...     print(str(error).partition(",")[0])
        hardsigmoid has no second derivative in torch (in layer '1': \
Hardsigmoid)
        >>> found = trace(net, nn.MSELoss(), data, way="difference")
        >>> found.provenance.notes["difference_error"] < 0.01
        True
    """


def explained(error: RuntimeError, f: Objective, batch: Any) -> Exception:
    """The error in words, where an operation has no second derivative.

    Args:
        error: what a product raised.
        f: the loss.
        batch: the batch at which it did.

    Returns:
        :class:`NoSecondDerivative` with the names of operation and layer,
        or the error as it came.
    """
    if isinstance(error, NoSecondDerivative):
        return error
    found = [re.search(form, str(error)) for form in MISSING]
    if not any(found):
        return error
    name = "an operation"
    if found[0]:
        name = found[0].group(1).removeprefix("aten::").strip("_")
        name = name.removesuffix("_backward").removesuffix("_backward_cpu")
    few = bt.cut(batch, 0, 2) if bt.sliced(batch) else batch
    where = culprit(f, few) or culprit(f, batch)
    return NoSecondDerivative(
        f"{name} has no second derivative in torch{where}, so "
        f"there is no product of curvature: {REMEDY}"
    )


@contextmanager
def explaining(f: Objective, batch: Any) -> Iterator[None]:
    """A context whose errors are :func:`explained`.

    Args:
        f: the loss.
        batch: the batch at which a product is asked for.
    """
    try:
        yield
    except RuntimeError as error:
        raise explained(error, f, batch) from error


def culprit(f: Objective, batch: Any) -> str:
    """The layer whose second derivative fails, as " (in layer ...)".

    Each module that the forward calls is held by itself to differences of
    its gradient, inner ones first: what fails where all inner ones are
    right stands in the module's own forward.

    Args:
        f: the loss.
        batch: one batch, as small as it can be.

    Returns:
        Words to put into a sentence.
    """
    try:
        with untouched(f.model), f.placed(), differentiable():
            calls = _calls(f, batch)
            for name, module, args, kwargs in calls:
                if not _fails(module, args, kwargs):
                    continue
                kind = type(module).__name__
                if next(module.children(), None) is not None:
                    kind = f"the forward of {kind} itself"
                return (
                    f" (in layer {name!r}: {kind})"
                    if name
                    else (f" (in {kind})")
                )
    except Exception:  # an error is being explained
        return ""
    return " (in the loss)"


def _calls(f: Objective, batch: Any) -> list[tuple]:
    """What each module is called with, inner modules first."""
    seen, handles = [], []
    for name, module in f.model.named_modules():

        def note(module, args, kwargs, name=name):
            given = bt.each(lambda t: t.detach().clone(), (args, kwargs))
            seen.append((name, module, *given))

        handle = module.register_forward_pre_hook(note, with_kwargs=True)
        handles.append(handle)
    try:
        with torch.no_grad():
            f.output(batch)
    finally:
        for handle in handles:
            handle.remove()
    return sorted(
        seen, key=lambda call: -len(call[0].split(".")) * (call[0] != "")
    )


def _fails(module: nn.Module, args: tuple, kwargs: dict) -> bool:
    """Whether a module's product is none, or no difference of gradients."""
    given = (args, kwargs)
    leaves = [t for t in bt.tensors(given) if t.is_floating_point()]
    leaves = [t.requires_grad_() for t in leaves]
    leaves += [p for p in module.parameters() if p.requires_grad]
    if not leaves:
        return False
    generator = torch.Generator().manual_seed(0)
    v = [
        torch.randn(t.shape, generator=generator, device="cpu").to(t)
        for t in leaves
    ]

    def gradient(again: bool) -> list[Tensor | None]:
        a, k = bt.each(torch.clone, given)  # it may write into its inputs
        out = [t for t in bt.tensors(module(*a, **k)) if t.is_floating_point()]
        total = sum(t.sin().mul(t.cos() + 1 / (i + 2)).sum()
                    for i, t in enumerate(out))  # fmt: skip
        return list(
            torch.autograd.grad(
                total, leaves, create_graph=again, allow_unused=True
            )
        )

    try:
        along = sum(
            (dense(g) * d).sum()
            for g, d in zip(gradient(True), v, strict=True)
            if g is not None and g.requires_grad
        )
        found = [None] * len(leaves)
        if isinstance(along, Tensor):
            found = torch.autograd.grad(along, leaves, allow_unused=True)
    except RuntimeError as error:
        return any(re.search(form, str(error)) for form in MISSING)
    product = _flat(found, leaves)
    gaps = []
    for step in STEPS:
        ends = []
        for h in (step, -step):
            homes = [t.data for t in leaves]
            for t, d in zip(leaves, v, strict=True):
                t.data = t.data + h * d
            try:
                ends.append(_flat(gradient(False), leaves))
            finally:
                for t, home in zip(leaves, homes, strict=True):
                    t.data = home
        bend = (ends[0] - ends[1]) / (2 * step)
        gap = float((bend - product).norm())
        gaps.append(gap / max(float(bend.norm()), 1e-6))
    return min(gaps) > WRONG


def _flat(found: Any, leaves: list[Tensor]) -> Tensor:
    parts = [
        torch.zeros_like(t) if g is None else dense(g.detach())
        for g, t in zip(found, leaves, strict=True)
    ]
    return torch.cat([part.double().reshape(-1) for part in parts])
