"""One job: a training with its path, or a search of its rate."""

import dataclasses
import math

import torch
from torch import nn

from benchmarks.studies import networks
from benchmarks.studies.desk import Desk, log, precision
from benchmarks.studies.jobs import Search, Training
from benchmarks.studies.watch import FellBack, Watch
from dldna import data, training
from dldna.data.stretched import Stretched
from dldna.files import write_atomic
from dldna.records import History

COLUMNS = (
    "train_loss", "train_accuracy", "test_loss", "test_accuracy", "seconds",
)  # fmt: skip


def train(
    desk: Desk, job: Training, test: bool, give_up: bool = False
) -> tuple[nn.Module, History, Watch]:
    """Train a network, from where it was left.

    Args:
        desk: the data, and whom to ask whether to stop.
        job: what to train.
        test: whether to test after each epoch.
        give_up: see :class:`Watch`.

    Returns:
        The network, its history, and the callback that watched.

    Raises:
        Paused: someone asked for it; the checkpoint is on disk.
        FellBack: it guesses again, and is to be given up then.
    """
    d = desk.dataset
    net = networks.build(
        job.model, d.shape, len(d.classes), job.seed, **dict(job.options)
    )
    net.to(desk.device, memory_format=torch.channels_last)
    chosen = desk.chosen(job.images)
    loader = data.Loader(
        d.train_x[chosen], d.train_y[chosen], job.batch, True, job.seed,
        transform=data.crop_and_flip if job.augment else None,
        drop_last=True,
    )  # fmt: skip
    if job.stretch:
        loader = Stretched(loader, job.stretch)
    optimizer = networks.optimizer(job.optimizer, net, job.rate, job.decay)
    watch = Watch(desk, job, len(loader), give_up)
    tested = data.Loader(d.test_x, d.test_y, 500) if test else None
    try:
        with precision(desk.device):
            history = training.train(
                net, optimizer, loader, tested, epochs=job.epochs,
                scheduler=scheduler(job, optimizer, len(loader)),
                scheduler_every="step", seed=job.seed,
                callbacks=[watch], checkpoint=desk.state.part(job.name),
                checkpoint_seconds=desk.save_seconds, progress=False,
                on_divergence="record",
            )  # fmt: skip
    finally:
        watch.close()
    if give_up and history.provenance.notes.get("diverged"):
        raise FellBack(history.train_loss.tolist())
    return net, history, watch


def scheduler(job: Training, optimizer, steps: int):
    """The rate at each step, as a share of its largest.

    Raises:
        ValueError: no such schedule.
    """
    steps = job.epochs * steps
    if job.schedule == "cycle":
        return torch.optim.lr_scheduler.OneCycleLR(
            optimizer, [g["lr"] for g in optimizer.param_groups],
            total_steps=steps, pct_start=0.25, cycle_momentum=False,
        )  # fmt: skip
    if job.schedule == "constant":
        rise = max(1, steps // 20)
        return torch.optim.lr_scheduler.LambdaLR(
            optimizer, lambda k: min(1.0, (k + 1) / rise)
        )
    raise ValueError(
        f"schedule must be 'cycle' or 'constant', not {job.schedule!r}"
    )


def candidates(desk: Desk, job: Training) -> list[Training]:
    """The job at the rate that validation chose, then at smaller ones.

    A search is short. A rate that is right for it may be too large for the
    whole schedule: then the next smaller one of the search is taken.

    Raises:
        LookupError: a search is not finished.
    """
    if not isinstance(job.rate, tuple):
        return [job]
    best = None
    for name in job.rate:
        found = desk.state.result(name)
        if found is None:
            raise LookupError(f"{job.name} waits for the search {name}")
        if best is None or found["validation_loss"] < best["validation_loss"]:
            best = found
    kind = best["job"]["of"]["optimizer"]
    rates = sorted(r for r in best["rates"] if r <= best["chosen"])
    return [
        dataclasses.replace(job, rate=r, optimizer=kind) for r in rates[::-1]
    ]


def settled(
    desk: Desk, job: Training
) -> tuple[Training, list[dict], tuple[nn.Module, History, Watch]]:
    """Train at the largest candidate that lasts.

    Returns:
        The job with its rate, what became of larger ones, and what
        :func:`train` returned.
    """
    fell: list[dict] = []
    *tries, last = candidates(desk, job)
    for one in tries:
        name = f"{job.name}/{one.rate:.3g}"
        known = desk.state.result(name)
        if known is None:
            try:
                return one, fell, train(desk, one, test=True, give_up=True)
            except FellBack as error:
                known = {"rate": one.rate, "train_loss": error.losses}
                log(f"{name}: {error}")
                desk.state.part(job.name).unlink(missing_ok=True)
                desk.state.finish(name, known)
        fell.append(known)
    return last, fell, train(desk, last, test=True)


def run_training(desk: Desk, job: Training) -> dict:
    """Train a network to its end, and say how good it became."""
    job, fell, (net, history, watch) = settled(desk, job)
    d = desk.dataset
    net.to(memory_format=torch.contiguous_format)
    loss, accuracy = training.evaluate(
        net, data.Loader(d.test_x, d.test_y, 500)
    )
    kept = {k: v.cpu() for k, v in net.state_dict().items()}
    write_atomic(
        desk.state.weights(job.name), lambda file: torch.save(kept, file)
    )
    return {
        "rate": job.rate,
        "fell_back": fell,
        "optimizer": job.optimizer,
        "parameters": sum(p.numel() for p in net.parameters()),
        "test_loss": loss,
        "test_accuracy": accuracy,
        "steps": len(history.step_loss),
        "epochs": {n: getattr(history, n).tolist() for n in COLUMNS},
        "diverged": history.provenance.notes.get("diverged"),
        "points": len(watch.wanted) - watch.left_out,
        "points_left_out": watch.left_out,
        "seconds": float(history.seconds.sum()),
    }


def run_search(desk: Desk, search: Search) -> dict:
    """Try rates until the best is not at an edge; validation chooses.

    Of rates that all diverge the smallest counts as the best.

    Raises:
        RuntimeError: every rate diverged.
    """
    rates, beyond = sorted(search.rates), 0
    found: dict[float, dict] = {}
    while True:
        for rate in rates:
            if rate not in found:
                found[rate] = trial(desk, search, rate)
        best = min(found, key=lambda r: (_loss(found[r]), r))
        at_edge = len(rates) > 1 and best in (rates[0], rates[-1])
        if not at_edge or beyond == search.more:
            break
        beyond += 1
        if best == rates[-1]:
            rates.append(_short(best * best / rates[-2]))
        else:
            rates.insert(0, _short(best * best / rates[1]))
    if _loss(found[best]) == math.inf:
        raise RuntimeError(f"{search.name}: all rates diverged, {rates}")
    return {
        "chosen": best,
        "validation_loss": _loss(found[best]),
        "validation_accuracy": found[best]["validation_accuracy"],
        "at_edge": at_edge,
        "tried_beyond": beyond,
        "rates": rates,
        "trials": [found[r] for r in rates],
        "seconds": sum(found[r]["seconds"] for r in rates),
    }


def _loss(trial: dict) -> float:
    """What a trial is judged by; one that diverged is the worst."""
    loss = trial["validation_loss"]
    return math.inf if loss is None else loss


def _short(rate: float) -> float:
    return float(f"{rate:.2g}")


def trial(desk: Desk, search: Search, rate: float) -> dict:
    """One rate: its loss on images that it was not trained on."""
    job = search.trial(rate)
    known = desk.state.result(job.name)
    if known is not None:
        return known
    net, history, _ = train(desk, job, test=False)
    loss, accuracy = desk.validate(net)
    broken = history.provenance.notes.get("diverged")
    found = {
        "rate": rate,
        "validation_loss": None if broken or not math.isfinite(loss) else loss,
        "validation_accuracy": accuracy,
        "train_loss": history.train_loss.tolist(),
        "diverged": broken,
        "seconds": float(history.seconds.sum()),
    }
    desk.state.finish(job.name, found)
    log(f"{job.name}: validation {loss:.3f}, {100 * accuracy:.1f} %")
    return found
