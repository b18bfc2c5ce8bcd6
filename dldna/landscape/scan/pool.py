"""Tiles, here or on other processes and machines, through joblib.

There is no scheduler in this file. Tiles are independent; joblib hands
them to whatever backend the caller chose (processes of this machine, or a
dask cluster) and this file only tries again when a worker died. On a
Slurm cluster, with the packages ``distributed`` and ``dask-jobqueue``::

    from dask.distributed import Client
    from dask_jobqueue import SLURMCluster

    cluster = SLURMCluster(cores=4, processes=1, memory="8GB")
    cluster.scale(jobs=20)
    with Client(cluster), joblib.parallel_config("dask"):
        surface(model, loss_fn, data, out="tiles")

Only the calling process writes to the folder; workers need no shared
disk.
"""

import pickle
import sys
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from dldna.checks import need
from dldna.landscape.evaluate import Evaluator, Subspace, choose
from dldna.params import Params

TRIES = 3
Tile = tuple[int, np.ndarray]  # its number, (P, K) coordinates


@dataclass(eq=False)
class Job:
    """All that is needed to evaluate points, here or elsewhere.

    Args:
        model: the network.
        loss_fn: the loss.
        held: batches in memory.
        origin: weights at coordinates 0.
        directions: one point for each coordinate.
        options: keywords of :func:`dldna.landscape.evaluate.choose`.
    """

    model: nn.Module
    loss_fn: Callable
    held: list[Any]
    origin: Params
    directions: list[Params]
    options: dict[str, Any] = field(default_factory=dict)

    def evaluator(self) -> Evaluator:
        """Choose the way to evaluate."""
        return choose(
            self.model,
            self.loss_fn,
            self.held,
            self.origin,
            self.directions,
            **self.options,
        )

    def subspace(self) -> Subspace:
        """What is evaluated, whatever the way."""
        return Subspace.of(
            self.model,
            self.loss_fn,
            self.held,
            self.origin,
            self.directions,
            **{k: v for k, v in self.options.items() if k != "way"},
        )


def wants_workers(n_jobs: int | None) -> bool:
    """Whether the caller asked for joblib, by word or by context.

    Example:
        >>> wants_workers(None), wants_workers(2)
        (False, True)
    """
    if n_jobs is not None:
        return n_jobs != 1
    if "joblib" not in sys.modules:
        return False
    joblib = sys.modules["joblib"]
    backend, jobs = joblib.parallel.get_active_backend()
    return jobs not in (None, 1) or "Loky" not in type(backend).__name__


def workers(n_jobs: int | None) -> int:
    """How many tiles are worked on at once."""
    if not wants_workers(n_jobs):
        return 1
    joblib = need("joblib", "parallel", "work on several processes")
    if n_jobs is None:
        backend, asked = joblib.parallel.get_active_backend()
        return max(1, backend.effective_n_jobs(asked or -1))
    return max(1, joblib.effective_n_jobs(n_jobs))


def here(evaluator: Evaluator, tiles: Iterable[Tile]) -> Iterator:
    """Evaluate tiles one after another in this process."""
    for number, coords in tiles:
        yield number, evaluator(torch.from_numpy(coords))


def elsewhere(
    job: Job, tiles: list[Tile], n_jobs: int | None = None
) -> Iterator:
    """Evaluate tiles by joblib, in the order in which they finish.

    If a worker dies, what is missing is handed out again, up to three
    times in a row without a finished tile.

    Args:
        job: what is evaluated.
        tiles: number and coordinates of each.
        n_jobs: of ``joblib.Parallel``; None takes the active
            ``joblib.parallel_config``.

    Yields:
        The number of a tile and its values.

    Raises:
        RuntimeError: workers keep dying.
    """
    joblib = need("joblib", "parallel", "work on several processes")
    # Of joblib's releases some bring cloudpickle along, others need it.
    pickler = "joblib.externals.loky.cloudpickle_wrapper"
    text = need(pickler, "parallel", "work on several processes").dumps(job)
    home = str(torch.get_default_device())
    parcel = np.frombuffer(text, dtype=np.uint8)
    left, tries = dict(tiles), 0
    while left:
        parallel = joblib.Parallel(
            n_jobs=n_jobs, batch_size=1, return_as="generator_unordered"
        )
        work = [
            joblib.delayed(_work)(parcel, _key(text), number, coords, home)
            for number, coords in left.items()
        ]
        results = parallel(work)
        try:
            for number, values in results:
                del left[number]
                tries = 0
                yield number, values
        except _deaths() as error:
            tries += 1
            if tries >= TRIES:
                raise RuntimeError(
                    f"workers died {tries} times without finishing a tile; "
                    "is there too little memory for so many at once, or can "
                    "the model and the loss not be sent to them? Finished "
                    f"tiles are kept. ({type(error).__name__}: {error})"
                ) from error
            warnings.warn(
                f"a worker died ({type(error).__name__}); its tiles are "
                f"handed out again ({len(left)} left)",
                stacklevel=2,
            )
        finally:
            results.close()
            _HERE.update(key=None, evaluator=None)  # threads leave it here


def _deaths() -> tuple[type[BaseException], ...]:
    """What is raised when a worker died, or took results with it."""
    from concurrent.futures import BrokenExecutor, CancelledError

    kinds: list[type[BaseException]] = [BrokenExecutor, CancelledError]
    if "distributed" in sys.modules:
        distributed = sys.modules["distributed"]
        kinds.append(distributed.KilledWorker)
        kinds.append(distributed.client.FutureCancelledError)
    return tuple(kinds)


def _key(text: bytes) -> str:
    import hashlib

    return hashlib.blake2b(text, digest_size=16).hexdigest()


_ONE = threading.Lock()
_HERE: dict[str, Any] = {"key": None}  # the last job's evaluator


def _work(
    parcel: np.ndarray, key: str, number: int, coords: np.ndarray, home: str
):
    # One tile at a time in a process: torch has threads of its own, and
    # tracing a model changes nn.Module for all threads while it lasts. The
    # caller's default device, where a forward may make tensors, is that of
    # the caller's thread alone.
    with _ONE, nullcontext() if home == "cpu" else torch.device(home):
        if _HERE["key"] != key:
            _HERE["evaluator"] = _unpack(parcel).evaluator()
            _HERE["key"] = key
        return number, _HERE["evaluator"](torch.from_numpy(coords))


def _unpack(parcel: np.ndarray) -> Job:
    """The job again, from bytes that the calling process made."""
    with warnings.catch_warnings():
        # torch 2.4.0 reads every pickled tensor by its own torch.load, and
        # warns of the default that it uses there itself.
        warnings.filterwarnings(
            "ignore",
            "You are using `torch.load` with `weights_only=False`",
            FutureWarning,
        )
        return pickle.loads(parcel.tobytes())
