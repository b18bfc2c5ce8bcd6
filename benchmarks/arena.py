"""Seven optimizers at equal budgets: perceptron, CNN, transformer.

    python benchmarks/arena.py                    # all three, reduced
    python benchmarks/arena.py mlp                # one of them
    python benchmarks/arena.py --scale full       # the published sizes
    python benchmarks/arena.py cnn --data folder:PATH

``mlp`` and ``cnn`` are tournaments (``dldna.training.arena``): every
optimizer gets as many trials, and the chosen rate is run on fresh seeds.
Each finished piece is kept in ``--work``; after a kill the same command
goes on. The 62.1 M transformer is too large to train without a GPU: at the
reduced scale only the memory and the time of its steps are measured, each
optimizer in a process of its own.

Results go to ``dldna/stored/arena_*.json`` and the raw ones beside them as
CSV. ``--scale full`` (or DLDNA_SCALE=full) trains the published networks on
whole data sets, on a GPU where there is one, and writes files of its own.
"""

import argparse
import csv
import io
import json
import multiprocessing
import os
import resource
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from dldna import data, models, stored
from dldna.files import cache_folder, write_atomic
from dldna.training import tournament

STORED = Path(stored.__file__).parent


@dataclass(frozen=True)
class Setting:
    """One tournament."""

    model: str
    data: str
    images: int
    test: int
    budget: int
    seeds: int
    epochs: int
    batch: int
    marks: int = 20


SCALES = {
    "tiny": {
        "mlp": Setting("mlp", "digits", 120, 60, 2, 2, 1, 64, 2),
        "cnn": Setting("arena-cnn", "CIFAR10", 60, 40, 2, 2, 1, 32, 2),
    },
    "reduced": {
        "mlp": Setting("mlp", "FashionMNIST", 12_000, 5_000, 8, 10, 5, 128),
        "cnn": Setting("arena-cnn", "CIFAR10", 2_000, 1_000, 3, 5, 1, 32, 10),
    },
    "full": {
        "mlp": Setting("mlp", "FashionMNIST", 0, 0, 16, 10, 10, 128),
        "cnn": Setting("arena-cnn", "CIFAR100", 0, 0, 12, 10, 20, 128),
        "transformer": Setting(
            "arena-transformer", "CIFAR100", 0, 0, 8, 5, 10, 128
        ),
    },
}  # fmt: skip
COSTS = {"tiny": ("transformer", 4, 2), "reduced": ("arena-transformer", 4, 3)}


def device() -> str | None:
    """A GPU where there is one."""
    return "cuda" if torch.cuda.is_available() else None


def hardware() -> str:
    """The processor's or the GPU's name."""
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{stored.processor()}, {torch.get_num_threads()} thread(s)"


def play(
    part: str, scale: str, source: str | None, work: Path, label: str = ""
) -> None:
    """One tournament, and what is stored of it."""
    s = SCALES[scale][part]
    known = data.load(source or s.data)
    name = label or Path((source or s.data).removeprefix("folder:")).name
    if s.images:
        images = min(s.images, len(known.train_x))
        known = known.take(images, n_test=min(s.test, len(known.test_x)))
    began = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    found = tournament.arena(
        s.model,
        known,
        budget=s.budget,
        seeds=s.seeds,
        epochs=s.epochs,
        batch_size=s.batch,
        marks=s.marks,
        out=work / f"{scale}-{part}",
        device=device(),
    )
    spent = resource.getrusage(resource.RUSAGE_SELF).ru_utime - began
    file = f"arena_{part}" + ("" if scale == "reduced" else f"_{scale}")
    about = found.provenance
    stored.store(
        file,
        found.to_dict(),
        command=command(part, scale),
        made=about.made,
        seed=about.seed,
        model=about.model,
        n_params=about.n_params,
        data=name,
        n_samples=about.n_samples,
        loss=about.loss,
        device=about.device,
        seconds=round(about.seconds, 1),
        notes={
            **about.notes,
            "hardware": hardware(),
            "setting": asdict(s),
        },
    )
    found.to_csv(STORED / f"{file}.csv")
    for row in found.ranking():
        print(
            f"{row.optimizer:10s} {row.lr:9.2g} {100 * row.mean:6.2f} +- "
            f"{100 * row.sd:.2f} %  {row.letters}"
        )
    print(file, f"{about.seconds:.0f} s of runs, {spent:.0f} s user now")


def command(part: str, scale: str) -> str:
    """What makes a part again."""
    extra = "" if scale == "reduced" else f" --scale {scale}"
    return f"python benchmarks/arena.py {part}{extra}"


def measure(model: str, batch: int, steps: int, name: str, pipe) -> None:
    """In a process of its own: one optimizer's steps."""
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(batch, 3, 32, 32, generator=draw)
    y = torch.randint(0, 100, (batch,), generator=draw)

    def make():
        return models.make(model, in_shape=(3, 32, 32), num_classes=100)

    # What is loaded with a process's first step is no cost of the step.
    def small():
        return models.make("mlp", in_shape=(3, 32, 32), num_classes=100)

    tournament.step_cost(small, (x, y), name, steps=2, device=device())
    cost = tournament.step_cost(
        make, (x, y), name, steps=steps, device=device()
    )
    n = sum(p.numel() for p in make().parameters())
    pipe.send((n, *cost))


def costs(scale: str, work: Path) -> None:
    """Memory and time of the large network's steps."""
    model, batch, steps = COSTS[scale]
    spawn = multiprocessing.get_context("spawn")
    rows, n_params = {}, 0
    for name in tournament.CONTESTANTS:
        file = work / f"{scale}-cost-{name}.json"
        if not file.exists():
            here, there = spawn.Pipe()
            process = spawn.Process(
                target=measure, args=(model, batch, steps, name, there)
            )
            process.start()
            n, seconds, weights, state, peak = here.recv()
            process.join()
            row = {
                "n_params": n,
                "weights": weights,
                "seconds": seconds.tolist(),
                "state": state.tolist(),
                "peak": peak.tolist(),
            }
            text = json.dumps(row).encode()
            write_atomic(file, lambda f, text=text: f.write(text))
        rows[name] = json.loads(file.read_text())
        n_params = rows[name].pop("n_params")
        print(name, rows[name], flush=True)
    end = "transformer" + ("" if scale == "reduced" else f"_{scale}")
    stored.store(
        f"arena_{end}",
        {"batch": batch, "steps": steps, "costs": rows},
        command=command("transformer", scale),
        made="memory and time of single steps; nothing was trained",
        seed=0,
        model=model,
        n_params=n_params,
        data="noise of CIFAR-100's shape",
        n_samples=batch,
        loss="cross_entropy",
        device=device() or "cpu",
        seconds=round(float(sum(sum(r["seconds"]) for r in rows.values())), 1),
        notes={"hardware": hardware()},
    )
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    kinds = ("weights", "state", "peak", "seconds")
    writer.writerow(["optimizer", "step", *kinds])
    for name, row in rows.items():
        for t in range(steps):
            line = [row["weights"], *(row[k][t] for k in kinds[1:])]
            writer.writerow([name, t + 1, *line])
    path = STORED / f"arena_{end}.csv"
    write_atomic(path, lambda f: f.write(out.getvalue().encode()))


def main() -> None:
    """Play what is asked for, at the scale that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "parts", nargs="*", metavar="PART", help="mlp, cnn, transformer"
    )
    parser.add_argument(
        "--scale",
        choices=SCALES,
        default=os.environ.get("DLDNA_SCALE", "reduced"),
    )
    parser.add_argument("--data", help="another data set for the CNN")
    parser.add_argument("--label", default="", help="what to call it")
    parser.add_argument("--work", type=Path, default=None)
    given = parser.parse_args()
    work = given.work or cache_folder() / "arena"
    for part in given.parts or ["mlp", "cnn", "transformer"]:
        if part in SCALES[given.scale]:
            source = given.data if part == "cnn" else None
            label = given.label if source else ""
            play(part, given.scale, source, work, label)
        else:
            costs(given.scale, work)


if __name__ == "__main__":
    main()
