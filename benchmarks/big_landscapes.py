"""ResNet-50 and VGG-11 on CIFAR-10: trained, recorded, and their planes.

    python benchmarks/big_landscapes.py --plan       # what it would cost
    python benchmarks/big_landscapes.py              # all of it
    python benchmarks/big_landscapes.py vgg11        # one network
    python benchmarks/big_landscapes.py --store      # what is done by now

Each network is trained with Adam while a ``Recorder`` writes checkpoints;
then the loss is evaluated on 25 x 25 points of two planes through the end:
two random, filter-normalised directions, and the first two principal
components of the path. Trainings, checkpoints and tiles lie in ``--work``;
after a kill the same command goes on. What is finished is written to
``dldna/stored/big_landscapes.json`` (ResNet-50 and VGG-11) and
``skip_landscapes.json`` (residual networks with and without skips). Longer
trainings are those of ``benchmarks/studies``; their planes stay beside these.

``--data folder:PATH`` takes images of one's own.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dldna import data, init, landscape, models, training
from dldna.files import cache_folder, write_atomic
from dldna.progress import duration
from dldna.stored import processor, store, stored

SEED, TESTED = 0, 2_000


@dataclass(frozen=True)
class Setting:
    """One network's training and grid."""

    model: str
    images: int
    epochs: int
    batch: int
    lr: float
    every: int
    on_plane: int
    scheme: str = ""
    strategies: tuple[str, ...] = ("random", "pca")
    extent: float = 1.0
    grid: int = 25


SETTINGS = {
    "resnet50-short": Setting("resnet50", 10_000, 5, 64, 1e-3, 26, 256),
    "vgg11": Setting(
        "vgg11", 10_000, 3, 64, 1e-4, 18, 256, "kaiming_normal"
    ),
    "resnet20": Setting(
        "resnet20", 5_000, 6, 128, 3e-3, 26, 128, "", ("random",)
    ),
    "resnet20-noskip": Setting(
        "resnet20-noskip", 5_000, 6, 128, 3e-3, 26, 128, "", ("random",)
    ),
}  # fmt: skip
FILES = {
    "big_landscapes": ("resnet50-short", "vgg11"),
    "skip_landscapes": ("resnet20", "resnet20-noskip"),
}


class Limited:
    """The first batches of a loader, to time a few steps."""

    def __init__(self, loader: data.Loader, steps: int):
        self.loader, self.steps = loader, steps

    def __len__(self) -> int:
        return self.steps

    def __iter__(self):
        pairs = zip(range(self.steps), self.loader, strict=False)
        return (batch for _, batch in pairs)


def start(s: Setting, dataset: data.Dataset) -> nn.Module:
    """The network before training."""
    options = {"in_shape": dataset.shape, "num_classes": len(dataset.classes)}
    net = models.make(s.model, seed=SEED, **options)
    if s.scheme:
        init.initialize(net, s.scheme, seed=SEED)
    return net


def loader_of(s: Setting, dataset: data.Dataset) -> data.Loader:
    """Shuffled batches, shifted and mirrored at random."""
    return data.Loader(
        dataset.train_x, dataset.train_y, s.batch, True, SEED,
        transform=data.crop_and_flip, drop_last=True,
    )  # fmt: skip


class Folded(nn.Module):
    """VGG-11 on small images without its 49 equal columns.

    The adaptive pool copies one pixel 49 times, so of the first dense
    layer's 25,088 columns always 49 see the same number and get the same
    gradient. Only their sum matters, which Adam moves 49 times as far as
    each. Training the sum is the same training, at a third of the cost.
    """

    def __init__(self, net: nn.Module):
        super().__init__()
        self.features, self.classifier = net.features, net.classifier
        dense = net.classifier[0]
        wide, self.copies = dense.out_features, 49
        self.first = dense.weight.detach().clone()
        thin = nn.Linear(dense.in_features // self.copies, wide)
        with torch.no_grad():
            thin.weight.copy_(self.first.view(wide, -1, 49).sum(-1))
            thin.bias.copy_(dense.bias)
        self.began = thin.weight.detach().clone()
        self.classifier = nn.Sequential(thin, *net.classifier[1:])

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.classifier(self.features(x).flatten(1))

    def groups(self, lr: float) -> list[dict]:
        """Parameters for Adam: the sum moves as its 49 parts do."""
        thin = self.classifier[0].weight
        rest = [p for p in self.parameters() if p is not thin]
        return [{"params": rest}, {"params": [thin], "lr": self.copies * lr}]

    @torch.no_grad()
    def unfold(self, net: nn.Module) -> nn.Module:
        """Write the weights, all 49 columns of them, into VGG-11."""
        moved = (self.classifier[0].weight - self.began) / self.copies
        dense = net.classifier[0]
        wide = dense.out_features
        new = self.first.view(wide, -1, self.copies) + moved[..., None]
        dense.weight.copy_(new.view(wide, -1))
        dense.bias.copy_(self.classifier[0].bias)
        for mine, its in (
            (self.features, net.features),
            (self.classifier[1:], net.classifier[1:]),
        ):
            its.load_state_dict(mine.state_dict())
        return net


class Unfolded:
    """A callback: record the network that a folded one stands for."""

    def __init__(self, recorder: landscape.Recorder, net: nn.Module):
        self.recorder, self.net = recorder, net

    def on_start(self, state) -> None:
        """Record where training starts."""
        if state.step == 0:
            self.record(state)

    def on_step(self, state) -> None:
        """Record after every so many steps."""
        if state.step % self.recorder.every == 0:
            self.record(state)

    def record(self, state) -> None:
        """Write the whole network."""
        self.recorder.record(
            state.model.unfold(self.net), step=state.step, loss=state.loss
        )


def fit(s: Setting, net, loader, epochs: int, **options):
    """Train with Adam and one cycle of the rate, in bfloat16."""
    net.to(memory_format=torch.channels_last)
    folded = isinstance(net, Folded)
    optimizer = torch.optim.Adam(
        net.groups(s.lr) if folded else net.parameters(), s.lr, fused=True
    )
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, [g["lr"] for g in optimizer.param_groups],
        total_steps=epochs * len(loader), pct_start=0.25,
        cycle_momentum=False,
    )  # fmt: skip
    # The cache of cast weights would outlive the steps that change them.
    with torch.autocast("cpu", torch.bfloat16, cache_enabled=False):
        history = training.train(
            net, optimizer, loader, epochs=epochs, scheduler=cycle,
            scheduler_every="step", seed=SEED, **options,
        )  # fmt: skip
    net.to(memory_format=torch.contiguous_format)
    return history


def plan(s: Setting, dataset: data.Dataset) -> float:
    """Seconds that training and surfaces will take, from a few of each."""
    net = start(s, dataset)
    few = Limited(loader_of(s, dataset.take(s.images)), 3)
    trained = Folded(net) if s.model == "vgg11" else net
    fit(s, trained, few, 1, progress=False)
    began = time.perf_counter()
    fit(s, trained, few, 1, progress=False)
    step = (time.perf_counter() - began) / 3
    steps = s.epochs * (s.images // s.batch)
    held = (dataset.train_x[: s.on_plane], dataset.train_y[: s.on_plane])
    cost = landscape.cost(net, F.cross_entropy, held, resolution=s.grid)
    planes = len(s.strategies) * cost.seconds
    print(
        f"{s.model}: {steps} steps of {duration(step)}, "
        f"{duration(steps * step)}; {len(s.strategies)} x {cost}"
    )
    return steps * step + planes


def run(name: str, s: Setting, dataset: data.Dataset, work: Path) -> None:
    """Train (or go on), then the planes (or what is missing of them)."""
    folder = work / name
    folder.mkdir(parents=True, exist_ok=True)
    done = folder / "training.json"
    part = dataset.take(s.images, n_test=TESTED)
    net = start(s, dataset)
    if not done.exists():
        train(s, net, part, folder, done)
    path = landscape.Trajectory(folder / "path")
    net = path.final(net).eval()
    held = (part.train_x[: s.on_plane], part.train_y[: s.on_plane])
    for strategy in s.strategies:
        laid = strategy == "pca"
        record = landscape.surface(
            net, F.cross_entropy, held, strategy,
            extent="path" if laid else s.extent, resolution=s.grid,
            out=folder / strategy, seed=SEED, data_name=dataset.name,
            trajectory=path if laid else None, metrics="accuracy",
        )  # fmt: skip
        print(name, strategy, record.report(), flush=True)


def train(s: Setting, net, part: data.Dataset, folder: Path, done: Path):
    """Train while recording, and say how good the network became."""
    began = time.perf_counter()
    folded = Folded(net) if s.model == "vgg11" else None
    with landscape.Recorder(
        folder / "path", s.every, "float16", resume=True
    ) as recorder:
        watch = recorder if folded is None else Unfolded(recorder, net)
        history = fit(
            s, folded or net, loader_of(s, part), s.epochs,
            callbacks=[watch], checkpoint=folder / "state.pt",
            checkpoint_seconds=300,
        )  # fmt: skip
    if folded is not None:
        folded.unfold(net)
    loss, accuracy = training.evaluate(
        net, data.Loader(part.test_x, part.test_y, 250)
    )
    seen = slice(0, TESTED)
    own_loss, own = training.evaluate(
        net, data.Loader(part.train_x[seen], part.train_y[seen], 250)
    )
    found = {
        "train_loss": history.train_loss.tolist(),
        "train_accuracy": history.train_accuracy.tolist(),
        "test_loss": loss,
        "test_accuracy": accuracy,
        "tested": TESTED,
        "clean_train_loss": own_loss,
        "clean_train_accuracy": own,
        "seconds": float(history.seconds.sum()),
        "wall_with_this_start": time.perf_counter() - began,
    }
    text = json.dumps(found).encode()
    write_atomic(done, lambda f: f.write(text))
    print(done.parent.name, found, flush=True)


def result(name: str, work: Path) -> dict:
    """What is stored of a network."""
    from dldna.records import Surface

    folder, s = work / name, SETTINGS[name]
    found = {
        "setting": {k: v for k, v in asdict(s).items() if k not in PLANE},
        "training": json.loads((folder / "training.json").read_text()),
        "surfaces": {},
    }
    for strategy in s.strategies:
        if not (folder / strategy / "surface.npz").exists():
            continue
        r = Surface.load(folder / strategy / "surface.npz")
        kept = {k: getattr(r, k) for k in KEPT}
        notes = r.provenance.notes
        kept["n_params"] = r.provenance.n_params
        kept["samples"] = r.provenance.n_samples
        kept["statistics"] = notes["statistics"]
        kept["made"] = notes["directions"]
        kept["command"] = (
            f"python benchmarks/big_landscapes.py {name} --planes {strategy}"
            f" --grid {len(r.alphas)} --images {r.provenance.n_samples}"
        )
        kept["way"] = r.way
        kept["points_per_second"] = notes["points_per_second"]
        kept["seconds"] = r.provenance.seconds
        kept["created"] = r.provenance.created
        if "explained" in notes:
            kept["explained"] = notes["explained"]
            path = landscape.Trajectory(folder / "path")
            kept["steps"] = path.steps
            kept["step_lengths"] = path.step_lengths()
        found["surfaces"][strategy] = kept
    return found


PLANE = ("on_plane", "grid", "strategies", "extent")  # each has its own
KEPT = (
    "alphas", "betas", "losses", "centre_loss", "directions", "path_coords",
    "path_losses", "path_projected", "path_distance",
)  # fmt: skip


def write(dataset_name: str, work: Path) -> None:
    """Store what is finished."""
    for file, names in FILES.items():
        there = [n for n in names if (work / n / "training.json").exists()]
        parts = {n: result(n, work) for n in there}
        parts = {n: p for n, p in parts.items() if p["surfaces"]}
        if not parts:
            continue
        each = [s["seconds"] for p in parts.values()
                for s in p["surfaces"].values()]  # fmt: skip
        each += [p["training"]["seconds"] for p in parts.values()]
        store(
            file, {"networks": {**stored(file)["networks"], **parts}},
            command="python benchmarks/big_landscapes.py",
            made="networks trained on a subset, and planes through the end",
            seed=SEED,
            model=", ".join(parts),
            data=dataset_name,
            n_samples=max(SETTINGS[n].images for n in parts),
            loss="cross_entropy",
            seconds=round(sum(each)),
            notes={"hardware": f"{processor()}, 1 thread of 2 cores",
                   "training_dtype": "bfloat16 autocast",
                   "surface_dtype": "float32"},
        )  # fmt: skip
        print(file, ":", ", ".join(parts))


def main() -> None:
    """Plan, run or store."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("networks", nargs="*", metavar="NETWORK",
                        help=", ".join(SETTINGS))  # fmt: skip
    parser.add_argument("--data", default="CIFAR10")
    parser.add_argument("--work", type=Path, default=None)
    parser.add_argument("--grid", type=int, help="points along each axis")
    parser.add_argument("--images", type=int, help="on the planes")
    parser.add_argument("--planes", nargs="+", help="random, pca")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--store", action="store_true")
    given = parser.parse_args()
    work = given.work or cache_folder() / "big_landscapes"
    known = data.load(given.data)
    label = "CIFAR-10" if given.data == "CIFAR10" else Path(given.data).name
    if not given.store:
        names = given.networks or list(SETTINGS)
        for name in names:
            s = SETTINGS[name]
            s = replace(
                s,
                on_plane=given.images or s.on_plane,
                grid=given.grid or s.grid,
                strategies=tuple(given.planes or s.strategies),
            )
            if given.plan:
                print(name, duration(plan(s, known)), "in all")
            else:
                run(name, s, known, work)
    if not given.plan:
        write(label, work)


if __name__ == "__main__":
    main()
