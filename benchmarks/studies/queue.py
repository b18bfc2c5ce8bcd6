"""The queue: one job after the other, and what is left of them."""

import shutil
import traceback

from benchmarks.studies import fit, tables
from benchmarks.studies.desk import Desk, Paused, log
from benchmarks.studies.jobs import (
    Job,
    Search,
    Table,
    Training,
    asked,
    changed,
)
from benchmarks.studies.state import State
from benchmarks.studies.watch import kind_of

FREE = 5 << 30  # bytes that a disk must have left before a job begins
# Images a second on one thread of an AMD EPYC (Zen 4), bfloat16, channels
# last, batch 128: for estimates, until a network has run here itself.
SPEEDS = {
    "resnet50": 147, "vgg11": 163, "resnet20": 485, "resnet56": 166,
    "cnn": 3000,
}  # fmt: skip


def run(desk: Desk, job: Job, source: str = "CIFAR10") -> dict:
    """One job, from where it was left; its result is kept.

    Raises:
        Paused: someone asked for it.
        OSError: the disk is nearly full.
    """
    desk.state.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(desk.state.folder).free
    if free < FREE:
        raise OSError(
            f"{desk.state.folder} has {free / 2**30:.1f} GiB left; {job.name}"
            f" begins when there are {FREE >> 30}"
        )
    if isinstance(job, Search):
        found = fit.run_search(desk, job)
    elif isinstance(job, Training):
        found = fit.run_training(desk, job)
    else:
        found = tables.run_table(desk, job, source)
    whole = {
        "kind": type(job).__name__.lower(),
        "job": asked(job),
        **found,
        "command": f"python -m benchmarks.studies {job.name}",
        "about": desk.about(),
    }
    desk.state.finish(job.name, whole)
    return whole


def done(state: State, job: Job) -> bool:
    """Whether a job's result is there.

    Raises:
        ValueError: it is there, but of other settings.
    """
    found = state.result(job.name)
    if found is None:
        return False
    other = changed(job, found["job"])
    if other is not None:
        raise ValueError(
            f"results/{job.name}.json in {state.folder} was made with "
            f"{other}; move it away to have the job done anew"
        )
    return True


def work(desk: Desk, jobs: list[Job], source: str = "CIFAR10") -> list[str]:
    """All jobs that are left, until the end or until asked to leave.

    A job that fails is reported and left for the next start.

    Returns:
        The names of jobs that failed.
    """
    failed = []
    with desk.state.running():
        for job in jobs:
            try:
                _one(desk, job, source)
            except Exception as error:  # the others can still be done
                failed.append(job.name)
                log(f"{job.name}: failed\n{traceback.format_exc()}")
                log(f"{job.name}: {error}")
            if desk.leaving():
                log("leaves; the same command goes on")
                break
    return failed


def _one(desk: Desk, job: Job, source: str) -> None:
    """A job to its end, through all pauses."""
    while not done(desk.state, job) and not desk.leaving():
        try:
            if desk.state.paused():
                log("paused")
                desk.state.wait(desk.leaving)
                continue
            log(f"{job.name}: begins, or goes on")
            log(f"{job.name}: {summary(run(desk, job, source))}")
        except Paused:
            log(f"{job.name}: its checkpoint is written")


def summary(found: dict) -> str:
    """What a result says, in a line."""
    if found["kind"] == "search":
        edge = ", at the edge" if found["at_edge"] else ""
        return f"rate {found['chosen']:g} chosen{edge}"
    minutes = f"{found['seconds'] / 60:.0f} min"
    if found["kind"] == "training":
        return f"test accuracy {100 * found['test_accuracy']:.2f} %, {minutes}"
    return minutes


def hours_left(state: State, job: Job, device: str) -> float:
    """About how long a job will still take."""
    if isinstance(job, Table):
        return job.hours
    of = job.trial(job.rates[0]) if isinstance(job, Search) else job
    known = state.speeds()
    guess = SPEEDS.get(of.model, SPEEDS.get(of.model.split("-")[0]))
    if guess is None and of.model.startswith("resnet"):
        depth = int(of.model.removeprefix("resnet").split("-")[0])
        guess = SPEEDS["resnet20"] * 18 / (depth - 2)
    guess = (guess or 500) / (3 if of.batch < 32 else 1)
    each = known.get(kind_of(of, device), guess)
    left = job.seen() - seen(state, job)
    return max(0, left) / each / 3600


def seen(state: State, job: Search | Training) -> int:
    """Images that the finished part of a job has seen."""
    from dldna.training import load_checkpoint

    if isinstance(job, Search):
        there = [job.trial(r) for r in job.rates]
        return sum(
            t.seen() if state.result(t.name) else seen(state, t) for t in there
        )
    if not state.part(job.name).exists():
        return 0
    return len(load_checkpoint(state.part(job.name))["step_loss"]) * job.batch


def listing(state: State, jobs: list[Job], device: str = "cpu") -> str:
    """What is done, what is left, and about how long it will take."""
    lines, total = [], {}
    for job in jobs:
        found = state.result(job.name)
        if found is not None:
            try:
                done(state, job)
                what = summary(found)
            except ValueError:
                what = "made with other settings"
        else:
            hours = hours_left(state, job, device)
            total[job.tier] = total.get(job.tier, 0) + hours
            begun = state.part(job.name).exists()
            what = f"{hours:.2f} h left" + (", begun" if begun else "")
        lines.append(f"{job.tier}  {job.name:32s} {what}")
    lines += [f"tier {t}: about {h:.1f} h left" for t, h in total.items()]
    lines.append(f"in all: about {sum(total.values()):.1f} h left")
    return "\n".join(lines)
