"""The values of a scan held to the model's own losses, where known."""

import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from dldna.checks import warn
from dldna.landscape.evaluate import Slow
from dldna.landscape.scan.averaging import not_means
from dldna.landscape.scan.store import Store
from dldna.landscape.scan.truth import (
    direct_loss,
    how_close,
    probe,
    same_twice,
)
from dldna.landscape.space.names import match
from dldna.landscape.space.points import point_of, state_of
from dldna.objective import norms


def hold(scan: Any) -> None:
    """Hold the values to the model's own, where these are known."""
    job = scan.job
    said = []
    if scan.steady is None:
        given = job.model, job.loss_fn, job.held[:1]
        own = [direct_loss(*given, known=job.origin) for _ in "ab"]
        scan.steady = same_twice(*own)
        said = probe((own[0], own[1]), scan.data, scan.given)
    if scan.steady:
        said = [*said, *_metrics(scan)]
    scan.notes["probe"] = said
    scan.notes["batch_norm_layers"] = len(norms(job.model))
    _off_the_centre(scan)
    if scan.grid:
        _centre(scan)
    for coords, end in scan.ends:
        _end(scan, coords, end)
    names = scan.evaluator.subspace.negative(scan.coords)
    if names:
        scan.notes["clamped"] = names
        warn(
            "running variances become negative where they are "
            f"extrapolated ({', '.join(names[:3])}), and are taken as 0 "
            "there: losses outside the two networks are those of "
            "statistics that no data have; statistics='recalibrate' "
            "takes those of the data",
        )


def _metrics(scan: Any) -> list[str]:
    """Warn of metrics whose mean over batches is not that of all data."""
    zero = np.zeros(len(scan.job.directions))
    point = zero if scan.grid else scan.coords[0]
    said = not_means(scan.job.subspace(), point.tolist())
    for sentence in said:
        warn(sentence)
    return said


def _slow(scan: Any) -> Slow:
    return Slow(scan.job.subspace(), exact=True)


def _off_the_centre(scan: Any) -> None:
    """Compare one point far off with the weights truly written.

    Where they differ, the slow way is taken for all points.
    """
    job = scan.job
    if scan.way == "slow" or not scan.steady:
        return
    far = scan.coords[int(np.abs(scan.coords).sum(1).argmax())][None]
    far = torch.from_numpy(far)
    got = float(scan.evaluator(far)["loss"][0])
    true = float(_slow(scan)(far)["loss"][0])
    scan.notes["off the centre"] = {"written": true, "evaluated": got}
    how = how_close(job.model, job.options["dtype"])
    if same_twice(true, got, how, slack=10):
        scan.met.append((far[0].tolist(), got))
        return
    reason = (
        f"at {far[0].tolist()} it gives {got:.9g}, where the weights "
        f"written into the model give {true:.9g}"
    )
    if job.options["way"] != "auto":
        raise ValueError(
            f"way={scan.way!r} does not fit this model: {reason}; "
            "use way='auto'"
        )
    passed = {**scan.evaluator.notes.get("passed over", {})}
    passed[scan.way] = reason
    scan.job.options["way"] = "slow"
    scan.evaluator = scan.job.evaluator()
    scan.evaluator.notes["passed over"] = passed
    scan.way = scan.evaluator.name


def _centre(scan: Any) -> None:
    """Hold the centre to the model's own loss."""
    job = scan.job
    zero = torch.zeros(
        1, len(job.directions), dtype=torch.float64, device="cpu"
    )
    began = time.perf_counter()
    got = float(scan.evaluator(zero)["loss"][0])
    scan.centre_seconds = time.perf_counter() - began
    scan.met.append((zero[0].tolist(), got))
    scan.centre = scan.own
    if scan.own is None:
        scan.centre = direct_loss(
            job.model, job.loss_fn, job.held, known=job.origin
        )
    if job.options["statistics"] not in {"eval", "interpolate"}:
        scan.centre = float(_slow(scan)(zero)["loss"][0])
    scan.notes["centre"] = {"direct": scan.centre, "evaluated": got}
    how = how_close(job.model, job.options["dtype"])
    if scan.steady and not same_twice(scan.centre, got, how):
        raise RuntimeError(
            f"the centre of the {scan.what} ({got:.9g}, way "
            f"{scan.way!r}) is not the model's loss "
            f"({scan.centre:.9g}). If the loss or the model keeps state "
            "between calls, make it a function of its inputs; else try "
            "way='slow'"
        )
    if not math.isfinite(scan.centre):
        warn(
            f"the model's own loss is {scan.centre}: check its weights "
            f"and the data before trusting this {scan.what}",
        )


def _end(scan: Any, coords: Sequence[float], end: Any) -> None:
    """Hold the value at another network's place to its own loss."""
    job, statistics = scan.job, scan.job.options["statistics"]
    at = torch.tensor([list(coords)], dtype=torch.float64, device="cpu")
    buffers = any(b.is_floating_point() for b in job.model.buffers())
    if statistics != "interpolate" and buffers:
        return  # its statistics are not those that are used here
    state = state_of(end)
    there = match(state, dict(job.model.named_buffers()))
    point = point_of(end, job.origin)
    true = direct_loss(
        job.model, job.loss_fn, job.held, point, there, job.origin
    )
    got = float(scan.evaluator(at)["loss"][0])
    scan.notes[f"direct loss at {_plain(coords)}"] = true
    how = how_close(job.model, job.options["dtype"])
    if scan.steady and not same_twice(true, got, how):
        raise RuntimeError(
            f"the {scan.what} at {_plain(coords)} ({got:.9g}) is not "
            f"that network's own loss ({true:.9g}). If the loss or the "
            "model keeps state between calls, make it a function of its "
            "inputs; else try way='slow'"
        )


def stored_centre(scan: Any, store: Store | None, losses: np.ndarray) -> None:
    """What lies in the folder must be this loss, at the centre too."""
    centre = (scan.coords == 0).all(1) & scan.done & scan.grid
    how = how_close(scan.job.model, scan.job.options["dtype"])
    for found in losses[centre] if scan.steady else ():
        if not same_twice(float(found), scan.centre, how):
            raise ValueError(
                f"{store.folder} holds another loss: {found:.9g} at the "
                f"centre, where this one is {scan.centre:.9g}. Choose "
                "another folder, or delete this one to start afresh"
            )


def _plain(coords: Sequence[float]) -> str:
    """Coordinates as people write them."""
    words = [f"{c:g}" for c in coords]
    return words[0] if len(words) == 1 else f"({', '.join(words)})"
