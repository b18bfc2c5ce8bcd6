"""Surfaces beside what a user would pick instead.

    python benchmarks/landscape.py [--only mlp cnn] [--rounds 5] [--seconds 1]

For each network: points of a plane per second by the package
``loss-landscapes`` (its own loop with its own classes), by a loop in the
style of the code of Li et al. (set the weights, evaluate), by a plain loop
over ``load_state_dict``, and by ``dldna``. All evaluate the same points on
the same images. Ways are run in turns, and medians are given, so that a
change in the machine's speed meets all of them; the ratio is the median of
the rounds' ratios to the best peer. The machine's matrix-product peak is
measured in the same rounds. The section ``surfaces`` of
``benchmarks/RESULTS.md`` is written anew.
"""

import argparse
import copy
import importlib.util
import itertools
import math
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from _report import write_section
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

import dldna
from dldna import params
from dldna.data import book_dataset
from dldna.landscape import filter_normalise
from dldna.landscape.evaluate import choose
from dldna.models import make
from dldna.torch_internals import onednn_linear

LOSS = nn.CrossEntropyLoss()


@dataclass
class Case:
    """A network, images and a square grid."""

    title: str
    make: Callable[[], nn.Module]
    images: int = 256
    grid: int = 40
    small: bool = False  # 3x32x32 images instead of 1x28x28


def perceptron(*widths: int) -> nn.Module:
    """Linear layers with ReLU between them."""
    layers: list[nn.Module] = [nn.Flatten()]
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def coloured(name: str) -> Callable[[], nn.Module]:
    """A network of the package for images of 3x32x32."""
    return lambda: make(name, in_shape=(3, 32, 32))


SMALL_MLP = (784, 512, 64, 10)
CASES = {
    "mlp": Case("784-512-64-10, 40x40", lambda: perceptron(*SMALL_MLP)),
    "mlp-100": Case(
        "784-512-64-10, 100x100", lambda: perceptron(*SMALL_MLP), grid=100
    ),
    "mlp-10k": Case(
        "784-512-64-10, 40x40", lambda: perceptron(*SMALL_MLP), 10_000
    ),
    "mlp-10k-100": Case(
        "784-512-64-10, 100x100", lambda: perceptron(*SMALL_MLP), 10_000, 100
    ),
    "deep": Case("784-256-192-128-64-10", lambda: make("mlp")),
    "cnn": Case("small CNN", lambda: make("cnn")),
    "lenet": Case("LeNet-5", lambda: make("lenet")),
    "transformer": Case(
        "transformer, 49 patches", lambda: make("transformer")
    ),
    "resnet20": Case("ResNet-20", coloured("resnet20"), small=True),
    "resnet50": Case("ResNet-50", coloured("resnet50"), small=True, grid=25),
    "vgg11": Case("VGG-11", coloured("vgg11"), small=True, grid=25),
}


class Setting:
    """A case with its tensors."""

    def __init__(self, case: Case):
        self.case = case
        data = book_dataset()
        x = data.train_x[: case.images]
        x = x.repeat(-(-case.images // len(x)), 1, 1, 1)[: case.images]
        if case.small:
            x = F.pad(x, (2, 2, 2, 2), value=-1).repeat(1, 3, 1, 1)
        y = data.train_y[: case.images]
        y = y.repeat(-(-case.images // len(y)))[: case.images]
        self.x, self.y = x.contiguous(), y
        self.source = data.name
        torch.manual_seed(0)
        self.model = case.make()
        with torch.no_grad():  # running statistics of these images
            for _ in range(10 if case.small else 0):
                self.model.train()(self.x[:64])
        self.model.eval()
        self.origin = params.copy(params.of(self.model))
        generator = torch.Generator().manual_seed(0)
        self.directions = [
            filter_normalise(
                params.randn_like(self.origin, generator), self.origin
            )
            for _ in range(2)
        ]
        axis = torch.linspace(-1, 1, case.grid, dtype=torch.float64)
        self.points = torch.cartesian_prod(axis, axis)

    def ours(self, **options):
        """The evaluator and the seconds it took to set it up."""
        start = time.perf_counter()
        found = choose(
            self.model,
            LOSS,
            [(self.x, self.y)],
            self.origin,
            self.directions,
            **options,
        )
        found(self.points[:2])
        return found, time.perf_counter() - start

    def operations(self) -> float:
        """Operations of one point, the plain way."""
        counter = FlopCounterMode(display=False)
        fused = torch.backends.mha.get_fastpath_enabled()
        torch.backends.mha.set_fastpath_enabled(False)  # it counts nothing
        try:
            with counter, torch.no_grad():
                self.model(self.x[:8])
        finally:
            torch.backends.mha.set_fastpath_enabled(fused)
        return counter.get_total_flops() * len(self.x) / 8


# -- the peers --------------------------------------------------------------


def loss_landscapes(s: Setting) -> Callable[[int], None]:
    """The loop of ``loss_landscapes.random_plane``, with its classes."""
    import copy

    from loss_landscapes import metrics
    from loss_landscapes.model_interface.model_parameters import rand_u_like
    from loss_landscapes.model_interface.model_wrapper import wrap_model

    wrapper = wrap_model(copy.deepcopy(s.model))
    metric = metrics.Loss(LOSS, s.x, s.y)
    point = wrapper.get_module_parameters()
    step = rand_u_like(point)
    step.mul_(1e-6)

    def run(n: int) -> None:
        for _ in range(n):
            point.add_(step)
            metric(wrapper)

    return run


def set_weights(s: Setting) -> Callable[[int], None]:
    """Li et al.'s way: w + d into the parameters, then an evaluation."""
    model = s.case.make().eval()
    model.load_state_dict(s.model.state_dict())
    weights = [s.origin[k] for k, _ in model.named_parameters()]
    dx, dy = (
        [d[k] for k, _ in model.named_parameters()] for d in s.directions
    )

    def run(n: int) -> None:
        for a, b in s.points[:n].tolist():
            changes = [u * a + v * b for u, v in zip(dx, dy, strict=True)]
            moved = zip(model.parameters(), weights, changes, strict=True)
            for p, w, d in moved:
                p.data = w + d
            with torch.no_grad():
                output = model(s.x)
                LOSS(output, s.y).item()

    return run


def state_dicts(s: Setting) -> Callable[[int], None]:
    """A plain loop: build a state dict, load it, evaluate."""
    model = s.case.make().eval()
    state = s.model.state_dict()

    def run(n: int) -> None:
        for a, b in s.points[:n].tolist():
            moved = dict(state)
            for k, w in s.origin.items():
                moved[k] = w + a * s.directions[0][k] + b * s.directions[1][k]
            model.load_state_dict(moved)
            with torch.no_grad():
                LOSS(model(s.x), s.y).item()

    return run


PEERS = {
    "loss-landscapes": loss_landscapes,
    "set weights": set_weights,
    "state dicts": state_dicts,
}


# -- measuring --------------------------------------------------------------


def peak(dtype: torch.dtype, n: int = 2048) -> float:
    """Operations per second of a large matrix product."""
    a = torch.randn(n, n).to(dtype)
    best = min(timed(lambda: a @ a) for _ in range(5))
    return 2 * n**3 / best


def timed(call: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def measure(case: Case, rounds: int, seconds: float) -> list[list[str]]:
    """Rows of the table for one case."""
    s = Setting(case)
    ways: dict[str, Callable[[int], object]] = {}
    for name, peer in PEERS.items():
        if name != "loss-landscapes" or installed("loss_landscapes"):
            ways[name] = peer(s)
    found, setup = {}, {}
    for word in ("float32", "bfloat16"):
        found[word], setup[word] = s.ours(dtype=word)
        ways[f"dldna {word}"] = _ours(found[word], s)
    if getattr(found["float32"], "outputs", 0):  # and its plain twin
        word = "float32, no crossings"
        found[word] = copy.copy(found["float32"])
        found[word].outputs = 0
        setup[word] = setup["float32"]
        ways[f"dldna {word}"] = _ours(found[word], s)
    counts = {
        name: _count(run, s, seconds, 1 if name in PEERS else case.grid)
        for name, run in ways.items()
    }
    rates: dict[str, list[float]] = {name: [] for name in ways}
    peaks: dict[str, list[float]] = {"float32": [], "bfloat16": []}
    for r in range(rounds):
        names = list(ways)
        for name in names[r % len(names) :] + names[: r % len(names)]:
            spent = timed(lambda n=name: ways[n](counts[n]))
            rates[name].append(counts[name] / spent)
        for word, values in peaks.items():
            values.append(peak(getattr(torch, word)))
    best = max(
        (n for n in ways if n in PEERS),
        key=lambda n: statistics.median(rates[n]),
    )
    flops = s.operations()
    errors = {w: error(s, e) for w, e in found.items()}
    rows = []
    for name, values in rates.items():
        rate = statistics.median(values)
        ratio = statistics.median(
            v / b for v, b in zip(values, rates[best], strict=True)
        )
        top = statistics.median(peaks["float32"])
        row = [
            f"{case.title}, {case.images:,} images",
            name,
            number(rate),
            f"{ratio:.2f}",
            f"{flops * rate / top:.2f}",
            "",
            "",
            "",
        ]
        word = name.removeprefix("dldna ")
        if word in found:
            row[1] = f"dldna, `{found[word].name}`, {word}"
            own = arithmetic(found[word], s)
            of = statistics.median(peaks[word.partition(",")[0]])
            row[5] = f"{own * rate / of:.2f}"
            row[6] = f"{errors[word]:.1e}"
            row[7] = f"{setup[word]:.2f}"
        rows.append(row)
    gflops = {k: statistics.median(v) / 1e9 for k, v in peaks.items()}
    print(f"{case.title}: peak {gflops} GFLOP/s, {s.source}", flush=True)
    for row in rows:
        print("   ", " | ".join(row), flush=True)
    return rows


def _ours(evaluator, s: Setting) -> Callable[[int], object]:
    return lambda n: evaluator(s.points[:n])


def _count(
    run: Callable[[int], object], s: Setting, seconds: float, least: int
) -> int:
    """How many points fill the time: whole rows of the grid for ours."""
    run(1)
    n = least
    while n < len(s.points):
        if timed(lambda k=n: run(k)) > seconds / 4:
            break
        n = min(4 * n, len(s.points))
    n = max(1, int(n * seconds / max(timed(lambda: run(n)), 1e-9)))
    return min(max(n - n % least, least), len(s.points))


def arithmetic(evaluator, s: Setting) -> float:
    """Operations per point that our way really does, on rows of the grid."""
    n = s.case.grid if evaluator.name == "mlp" else min(s.case.grid, 10)
    evaluator(s.points[:n])
    bags = torch.ops.aten._embedding_bag_forward_only
    counted = {bags: _bag_operations}
    if onednn_linear is not None:
        counted[onednn_linear] = _product_operations
    counter = FlopCounterMode(display=False, custom_mapping=counted)
    with counter, torch.no_grad():
        evaluator(s.points[:n])
    return counter.get_total_flops() / n


def _bag_operations(table, indices, *_args, **_kwargs) -> int:
    """A weighted sum of rows: one product and one sum for each number."""
    return 2 * indices[0] * table[1]


def _product_operations(x, weight, *_args, **_kwargs) -> int:
    """A linear layer on the last axis of its input."""
    return 2 * math.prod(x) * weight[0]


def error(s: Setting, evaluator) -> float:
    """Largest relative error of the loss against float64, in whole rows."""
    exact, _ = s.ours(way="slow", dtype="float64")
    large = sum(v.numel() for v in s.origin.values()) > 1e6
    grid, first = s.case.grid, s.points[: s.case.grid]
    if large:
        points = first[[0, grid // 3]]
        chosen = [0, 1]
    elif s.case.images > 256:
        points = first
        chosen = [0, grid // 3, grid - 1]
    else:
        middle = s.points[grid // 3 * grid :][:grid]
        points = torch.cat([first, middle])
        chosen = list(range(0, 2 * grid, max(1, grid // 8)))
    true = exact(points[chosen])["loss"]
    got = evaluator(points)["loss"][chosen]
    return float(np.abs((got - true) / true).max())


def installed(module: str) -> bool:
    """Whether a peer is there; says so if not."""
    there = importlib.util.find_spec(module) is not None
    if not there:
        print(f"{module} is not installed: left out")
    return there


def number(value: float) -> str:
    """Three figures or whole numbers."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


# -- writing ----------------------------------------------------------------

HEAD = [
    "network",
    "way",
    "points/s",
    "x best peer",
    "share of fp32 peak, plain arithmetic",
    "share of peak, own arithmetic",
    "largest rel. error against float64",
    "set-up, s",
]


def main() -> None:
    """Measure and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--only", nargs="*", choices=list(CASES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.0)
    args = parser.parse_args()
    rows = []
    for name in args.only or CASES:
        rows += measure(CASES[name], args.rounds, args.seconds)
    peaks = [peak(torch.float32) / 1e9, peak(torch.bfloat16) / 1e9]
    text = "\n".join(
        [
            "## Surfaces",
            "",
            f"{time.strftime('%Y-%m-%d')}, dldna {dldna.__version__}, torch "
            f"{torch.__version__}, Python {platform.python_version()}, "
            f"{torch.get_num_threads()} threads; matrix-product peak "
            f"{peaks[0]:.0f} GFLOP/s in fp32, {peaks[1]:.0f} in bf16; "
            f"medians of {args.rounds} rounds in turns. "
            "Plain arithmetic is what one evaluation by the model's own "
            "forward takes; own arithmetic what the way really does, "
            "products and the sums over crossings; *no crossings* is the "
            "plain twin of the way before it.",
            "",
            "| " + " | ".join(HEAD) + " |",
            "|" + "---|" * len(HEAD),
            *("| " + " | ".join(row) + " |" for row in rows),
        ]
    )
    print(text)
    if not args.only:
        write_section("surfaces", text)


if __name__ == "__main__":
    main()
