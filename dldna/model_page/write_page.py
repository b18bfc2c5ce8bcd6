"""A page on a model, measured within a budget."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from dldna import batches, checks
from dldna.files import write_atomic
from dldna.guard import untouched
from dldna.landscape.space.checkpoints import checkpoints_in
from dldna.model_page import budget_split
from dldna.model_page.document import document
from dldna.model_page.findings import Findings
from dldna.model_page.measuring import bench_of, measured
from dldna.objective import (
    Objective,
    accepts_objective,
    check_loss,
    check_model,
    name_of,
)
from dldna.progress import announce


@accepts_objective
def page(
    model: nn.Module,
    loss_fn: Callable,
    data: Any,
    *,
    checkpoints: str | Path | Sequence[str | Path] | None = None,
    others: Mapping[str, Any] | None = None,
    budget_s: float = 120.0,
    out: str | Path | None = "page.html",
    seed: int = 0,
    params: Any = None,
    dtype: str | torch.dtype | None = None,
    statistics: str = "eval",
    limit: int | None = None,
    key: str | None = None,
    data_name: str = "",
) -> Findings:
    r"""Write one page on a model: what was measured, how far to trust it.

    The budget is split over the parts by what a loss, a gradient and a
    product :math:`Hv` take on these data. Losses and accuracy come from
    all samples; curvature, planes and lines from as many, evenly spaced,
    as let all parts have their usual size. What does not fit is left out
    and named on the page; what is left over goes to lines along more
    random directions. The model stays as it is.

    Args:
        model: any ``nn.Module``; or an objective in place of all three.
        loss_fn: a torch loss, or a callable ``(output, batch)``.
        data: a loader, a batch, or tensors; see :mod:`dldna.batches`.
        checkpoints: a series, as files or their folder: what it gives
            away is shown, too (duplicates, order, mixed runs).
        others: more data by name, whose losses and accuracy stand beside
            the first, as ``{"test": loader}``.
        budget_s: seconds for the whole call.
        out: the file; None for none.
        seed: of starts, probes and directions; those count on from it.
        params: the parameters that may move, as in
            :func:`dldna.landscape.surface`.
        dtype: of the arithmetic, "float32" or "float64".
        statistics: what batch norm uses, "eval" or "train".
        limit: use only the first so many samples.
        key: what the checkpoints keep the weights under.
        data_name: what to call the data.

    Returns:
        All numbers on the page; ``save`` keeps them.

    Raises:
        ValueError: a budget that is not positive, or model, loss, data
            and checkpoints that do not fit; the message says how.
        TypeError: likewise, for a thing of the wrong kind.
        FileNotFoundError: there are no such checkpoints.

    Example:
        >>> net = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 2))
        >>> data = torch.ones(9, 2), torch.zeros(9, dtype=torch.long)
        >>> found = page(net, nn.CrossEntropyLoss(), data, budget_s=0.1,
        ...              out=None)
        >>> found.samples[""].answers
        9
    """
    began = budget_split.clock()
    checks.positive("budget_s", budget_s)
    seed = checks.whole("seed", seed)
    file = None if out is None else _file(out)
    files = [] if checkpoints is None else checkpoints_in(checkpoints)
    missing = [str(f) for f in files if not f.exists()]
    if missing:
        raise FileNotFoundError(f"no checkpoint at {missing[0]}")
    words = {"names": params, "dtype": dtype, "statistics": statistics}
    check_model(model)
    check_loss(loss_fn, data)
    with untouched(model):
        held = batches.held(data, limit)
        more = {k: batches.held(v, limit) for k, v in (others or {}).items()}
        bench = bench_of(
            lambda some: Objective(model, loss_fn, some, **words),
            held,
            began,
            budget_s,
            seed=seed,
            others=more,
            files=files,
            key=key,
        )
        known = dataclasses.replace(
            bench.objective.provenance("page", seed),
            data=data_name or name_of(data),
            n_samples=bench.n_samples,
        )
        announce("page", budget_s)
        empty = Findings(provenance=known, facts={"budget": budget_s})
        found, figures = measured(bench, empty, began + budget_s)
    spent = budget_split.clock() - began
    known = dataclasses.replace(known, seconds=spent)
    found = dataclasses.replace(found, provenance=known)
    if file is not None:
        text = document(found, figures).encode()
        write_atomic(file, lambda f: f.write(text))
    return found


def _file(out: str | Path) -> Path:
    """Where the page goes, refused before anything is measured."""
    if not isinstance(out, (str, Path)) or str(out) in ("", "."):
        raise ValueError(f"out must name a file, as page.html, not {out!r}")
    file = Path(out)
    if file.is_dir():
        raise IsADirectoryError(f"out={str(out)!r} is a folder; name a file")
    checks.folder("the folder of out", file.parent)
    return file
