"""How long a point takes, from a few that are timed."""

import dataclasses
import math
import time
from typing import Any

import numpy as np
import torch

from dldna import batches as batching
from dldna.landscape.evaluate import Evaluator
from dldna.landscape.scan.pool import Job, workers
from dldna.landscape.scan.store import thin

TIMING_SECONDS = 1.0
QUICK = 1.0  # seconds in all, which need no finer estimate
LEAST_SAMPLES = 512
TILE_SECONDS = 2.0
TILE_MOST = 4096
ROW_SECONDS = 30.0


def seconds_for_a_point(
    job: Job, evaluator: Evaluator, coords: np.ndarray, whole: bool
) -> float:
    """Measured on a part of the samples where all would take long.

    Args:
        job: what is evaluated.
        evaluator: all of it.
        coords: where.
        whole: whether batches must not be cut.
    """
    samples = sum(batching.size(b) for b in job.held)
    if samples > 4 * LEAST_SAMPLES:
        part = thin(job.held, LEAST_SAMPLES, whole)
        small = dataclasses.replace(job, held=part).evaluator()
        used = sum(batching.size(b) for b in part)
        seconds = timed(small, coords) * samples / used
        if seconds > 0.5:
            return seconds
    return timed(evaluator, coords)


def timed(evaluator: Evaluator, coords: np.ndarray) -> float:
    """Seconds for a point: one evaluation, or more if it is quick."""
    few, most = 1, min(len(coords), evaluator.chunk)
    evaluator(torch.from_numpy(coords[:1]))  # first calls are slow
    while True:
        some = torch.from_numpy(coords[:few])
        took = _clock(evaluator, some)
        whole = took / few * len(coords)
        if few >= most or 4 * took > TIMING_SECONDS or whole < QUICK:
            return took / few
        few = min(4 * few, most)


def _clock(evaluator: Evaluator, coords: torch.Tensor) -> float:
    start = time.perf_counter()
    evaluator(coords)
    return time.perf_counter() - start


def tile_size(scan: Any, seconds: float, n_jobs: int | None) -> int:
    """How many points are evaluated and kept together.

    Args:
        scan: the job.
        seconds: for a point.
        n_jobs: number of processes.
    """
    points = len(scan.coords)
    hands = workers(n_jobs)
    wish = TILE_SECONDS
    if scan.budget_s is not None:
        wish = min(wish, scan.budget_s / 20)
    size = max(1, min(TILE_MOST, int(wish / max(seconds, 1e-9))))
    if hands > 1:
        size = min(size, math.ceil(points / (4 * hands)))
    if scan.budget_points is not None:
        size = min(size, max(1, scan.budget_points // 8))
    # Fast ways share work along rows. Whole ones also keep the last
    # digits from depending on how fast the machine was just now.
    row = len(scan.axes[-1])
    if size < row and (scan.limited or row * seconds > ROW_SECONDS):
        return size
    return max(row, size - size % row)
