"""Every optimizer beside an independent implementation, in float64.

``python benchmarks/optim_oracles.py`` writes ``optim_oracles.csv`` beside
this file: for each optimizer and each problem the largest deviation of the
weights over all steps. The tests run the same comparisons.
"""

import contextlib
import csv
import importlib.util
import io
import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from dldna import optim

STEPS = 12


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes:
        name: optimizer and settings.
        ours: ``ours(groups) -> optimizer``.
        oracle: ``oracle(groups) -> optimizer``.
        source: the package the oracle comes from.
        problems: which of :data:`PROBLEMS` to run.
        bound: largest deviation allowed.
        floor: added to the size of a weight where deviations are relative.
        second: settings of the second parameter group of the network.
        theirs: the class of ``torch.optim`` that the oracle takes, if any.
    """

    name: str
    ours: Callable
    oracle: Callable
    source: str = "torch"
    problems: tuple[str, ...] = ("P1", "P2", "network")
    bound: float = 1e-12
    floor: float = 1e-2
    second: dict | None = None
    theirs: str = ""


class Problem:
    """Parameter groups and a loss."""

    def groups(self, second: dict) -> list[dict]:
        """The parameters as one group, or as two."""
        return [{"params": self.params}]


class P1(Problem):
    """``0.5 (w0^2 + 10 w1^2)`` from (1, -2)."""

    def __init__(self) -> None:
        self.params = [nn.Parameter(torch.tensor([1.0, -2.0]).double())]
        self.scale = torch.tensor([1.0, 10.0]).double()

    def loss(self) -> Tensor:
        return 0.5 * (self.scale * self.params[0] ** 2).sum()


class P2(P1):
    """``0.5 sum(A W^2)`` for a matrix W."""

    def __init__(self) -> None:
        start = torch.tensor([[1.0, -2.0], [3.0, 0.5]]).double()
        self.params = [nn.Parameter(start)]
        self.scale = torch.tensor([[1.0, 10.0], [2.0, 5.0]]).double()


class Network(Problem):
    """A 4-6-3 network on 16 points; matrices and biases in two groups."""

    def __init__(self) -> None:
        draw = torch.Generator().manual_seed(0)
        shapes = [(6, 4), (6,), (3, 6), (3,)]
        self.params = [
            nn.Parameter(torch.randn(s, generator=draw).double() / 2)
            for s in shapes
        ]
        self.x = torch.randn(16, 4, generator=draw).double()
        self.y = torch.randint(3, (16,), generator=draw)

    def loss(self) -> Tensor:
        a, b, c, d = self.params
        logits = F.linear(torch.tanh(F.linear(self.x, a, b)), c, d)
        return F.cross_entropy(logits, self.y)

    def groups(self, second: dict) -> list[dict]:
        matrices, biases = self.params[::2], self.params[1::2]
        return [{"params": matrices}, {"params": biases, **second}]


class Matrices(Network):
    """The same network; its biases stay as they are."""

    def groups(self, second: dict) -> list[dict]:
        first, last = self.params[::2]
        return [{"params": [first]}, {"params": [last], **second}]


PROBLEMS = {"P1": P1, "P2": P2, "network": Network, "matrices": Matrices}


def path(build: Callable, problem: str, second: dict | None = None) -> Tensor:
    """The weights after each step, shape (STEPS, parameters)."""
    with _double(), _quiet():
        task = PROBLEMS[problem]()
        two = {"lr": 3e-3} if second is None else second
        optimizer = build(task.groups(two))
        if hasattr(optimizer, "train"):
            optimizer.train()
        points = []
        for _ in range(STEPS):

            def closure(task=task, optimizer=optimizer) -> Tensor:
                optimizer.zero_grad()
                loss = task.loss()
                loss.backward(create_graph=_wants_graph(optimizer))
                return loss

            _step(optimizer, closure, task)
            if hasattr(optimizer, "eval"):
                optimizer.eval()
            points.append(nn.utils.parameters_to_vector(task.params).detach())
            if hasattr(optimizer, "train"):
                optimizer.train()
        for p in task.params:
            p.grad = None
        return torch.stack(points)


def _wants_graph(optimizer: torch.optim.Optimizer) -> bool:
    theirs = type(optimizer).__module__.startswith("pytorch_optimizer")
    return theirs and type(optimizer).__name__ == "SophiaH"


def _step(optimizer, closure: Callable, task: Problem) -> None:
    theirs = type(optimizer).__module__.startswith("pytorch_optimizer")
    if isinstance(optimizer, optim.RuleOptimizer) and hasattr(
        optimizer, "needs_curvature"
    ):
        optimizer.step(closure, curvature=task.loss)
    elif theirs and type(optimizer).__name__ == "SAM":
        closure()
        optimizer.step(closure)
    elif getattr(optimizer, "needs_closure", False):
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()


def deviation(case: Case, problem: str) -> float:
    """Largest ``|ours - oracle| / (|oracle| + floor)`` over all steps.

    With the usual floor of 0.01 a deviation of 1e-12 means: relative
    1e-12, or absolute 1e-14.
    """
    ours = path(case.ours, problem, case.second)
    oracle = path(case.oracle, problem, case.second)
    return float(((ours - oracle).abs() / (oracle.abs() + case.floor)).max())


@contextlib.contextmanager
def _double():
    """torch keeps some of its scalars in the default type."""
    kept = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        yield
    finally:
        torch.set_default_dtype(kept)


@contextlib.contextmanager
def _quiet():
    """Some oracles print, and some use what torch has deprecated."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


# torch before 2.9 has no Muon; there this is never made (see `missing`).
class Unrounded(getattr(torch.optim, "Muon", torch.optim.Optimizer)):
    """torch's own Muon with its rounding to bfloat16 switched off."""

    def step(self, closure: Callable | None = None):
        kept = Tensor.bfloat16
        Tensor.bfloat16 = Tensor.clone
        try:
            return super().step(closure)
        finally:
            Tensor.bfloat16 = kept


class HandSAM(torch.optim.SGD):
    """SAM written out around torch's SGD, one gradient vector at a time."""

    needs_closure = True

    def step(self, closure: Callable) -> None:
        params = [p for group in self.param_groups for p in group["params"]]
        closure()
        w = nn.utils.parameters_to_vector(params).detach()
        g = nn.utils.parameters_to_vector([p.grad for p in params])
        nn.utils.vector_to_parameters(w + 0.05 * g / (g @ g) ** 0.5, params)
        closure()
        nn.utils.vector_to_parameters(w, params)
        super().step()


class HandCautiousAdamW(torch.optim.AdamW):
    """torch's AdamW, its steps masked weight by weight in a plain loop."""

    def step(self, closure: Callable | None = None) -> None:
        params = [p for group in self.param_groups for p in group["params"]]
        decays = [
            g["lr"] * g["weight_decay"]
            for g in self.param_groups
            for _ in g["params"]
        ]
        before = [p.detach().clone() for p in params]
        super().step()
        for p, old, shrink in zip(params, before, decays, strict=True):
            start = (old * (1 - shrink)).flatten()
            moves = p.detach().flatten() - start
            agree = [
                float(u) * float(g) < 0
                for u, g in zip(moves, p.grad.flatten(), strict=True)
            ]
            factor = len(agree) / (sum(agree) + 1)
            new = [
                w + factor * u if a else w
                for w, u, a in zip(start, moves, agree, strict=True)
            ]
            p.data.copy_(torch.stack(new).view_as(p))


def missing(case: Case) -> str:
    """What is not installed here for a case to be run; "" if all is."""
    if case.theirs and not hasattr(torch.optim, case.theirs):
        return f"torch.optim.{case.theirs}"
    package = case.source.partition(",")[0]
    here = package == "by hand" or importlib.util.find_spec(package)
    return "" if here else package


def torch_case(label: str, name: str, second=None, **hyper) -> Case:
    """The class of the same name in ``torch.optim``, same arguments."""
    return Case(
        label,
        lambda params: optim.make(name, params, **hyper),
        lambda params: getattr(torch.optim, name)(params, **hyper),
        second=second,
        theirs=name,
    )


def other(package: str, label: str, name: str, theirs: str, **both) -> Case:
    """A class of another package; ``theirs`` and ``ours`` name what differs.

    Args:
        package: module of the oracle.
        label: the case's name.
        name: our optimizer.
        theirs: the oracle's class.
        **both: ``ours=`` and ``oracle=`` dicts of single-sided settings,
            the fields of :class:`Case`; the rest is shared.
    """
    own, alien = both.pop("ours", {}), both.pop("oracle", {})
    fields = ("problems", "bound", "floor", "second")
    case = {k: both.pop(k) for k in fields if k in both}

    def oracle(params: list) -> torch.optim.Optimizer:
        cls = getattr(importlib.import_module(package), theirs)
        if theirs == "Muon":
            params = [group | {"use_muon": True} for group in params]
        return cls(params, **both, **alien)

    return Case(
        label,
        lambda params: optim.make(name, params, **both, **own),
        oracle,
        package,
        **case,
    )


def cases() -> list[Case]:
    """Every comparison."""
    return [*torch_cases(), *other_cases(), *younger_cases()]


def other_cases() -> list[Case]:
    """The optimizers that torch has not, or has in low precision."""
    many = "pytorch_optimizer"
    matrix = {"problems": ("P2", "matrices")}
    coarse = {"bound": 2e-3, "floor": 1.0, **matrix}  # bfloat16 inside
    one = {"second": {"weight_decay": 0.05}}
    plain = {"second": {}}
    return [
        torch_case("Adafactor", "Adafactor"),
        torch_case("Adafactor, decay", "Adafactor", weight_decay=0.1, lr=0.9),
        replace(
            torch_case("Muon", "Muon", lr=0.02, weight_decay=0.1),
            **coarse,
        ),
        replace(
            torch_case(
                "Muon, AdamW's rate",
                "Muon",
                lr=0.02,
                nesterov=False,
                adjust_lr_fn="match_rms_adamw",
            ),
            **coarse,
        ),
        other("lion_pytorch", "Lion", "Lion", "Lion", lr=0.1),
        other(
            "lion_pytorch",
            "Lion, decay",
            "Lion",
            "Lion",
            lr=0.1,
            weight_decay=0.1,
        ),
        other(many, "Lion again", "Lion", "Lion", lr=0.4, betas=(0.7, 0.95)),
        other(
            many,
            "Sophia-H",
            "SophiaH",
            "SophiaH",
            betas=(0.9, 0.5),
            weight_decay=0.1,
            ours={"lr": 0.1, "gamma": 1.0, "k": 1},
            oracle={
                "lr": 0.1,
                "p": 1.0,
                "update_period": 1,
                "hessian_distribution": "rademacher",
            },
            problems=("P1", "P2"),
        ),
        other(
            many,
            "Sophia-H, gamma",
            "SophiaH",
            "SophiaH",
            betas=(0.9, 0.5),
            weight_decay=0.0,
            ours={"lr": 0.1, "gamma": 0.5, "k": 1},
            oracle={
                "lr": 0.2,
                "p": 0.5,
                "update_period": 1,
                "hessian_distribution": "rademacher",
            },
            problems=("P1", "P2"),
        ),
        other(
            many,
            "LAMB, uncorrected",
            "LAMB",
            "Lamb",
            lr=0.1,
            weight_decay=0.01,
            ours={"bias_correction": False},
            oracle={"adam_debias": True, "weight_decouple": False},
            bound=1e-4,  # it adds its eps to the ratio once more
        ),
        other(many, "LARS", "LARS", "LARS", lr=0.1, weight_decay=1e-4),
        other(
            many,
            "LARS, no momentum",
            "LARS",
            "LARS",
            lr=0.1,
            weight_decay=1e-2,
            momentum=0.0,
        ),
        other(
            many,
            "AdaBelief",
            "AdaBelief",
            "AdaBelief",
            lr=0.1,
            oracle={"weight_decouple": True, "rectify": False},
        ),
        other(
            "adabelief_pytorch",
            "AdaBelief, decay",
            "AdaBelief",
            "AdaBelief",
            lr=0.1,
            eps=1e-8,
            weight_decay=0.1,
            oracle={"rectify": False, "print_change_log": False},
        ),
        other(
            many,
            "Muon again",
            "Muon",
            "Muon",
            lr=0.02,
            weight_decay=0.1,
            **coarse,
        ),
        Case(
            "Muon in float64",
            lambda params: optim.Muon(params, lr=0.02),
            lambda params: Unrounded(params, lr=0.02),
            "torch, bfloat16 off",
            **matrix,
            theirs="Muon",
        ),
        other(
            many,
            "Shampoo",
            "Shampoo",
            "Shampoo",
            lr=0.1,
            ours={"eps": 1e-6},
            oracle={"matrix_eps": 1e-6},
            problems=("P1", "P2"),
        ),
        other(
            many,
            "Shampoo, L2",
            "Shampoo",
            "Shampoo",
            lr=0.1,
            weight_decay=0.1,
            ours={"eps": 1e-2},
            oracle={"matrix_eps": 1e-2},
        ),
        other(
            many,
            "SOAP",
            "SOAP",
            "SOAP",
            lr=0.1,
            precondition_frequency=100,
            problems=("P1", "P2"),
        ),
        other(
            many,
            "SOAP, large eps",  # or it divides rounding by rounding
            "SOAP",
            "SOAP",
            lr=0.1,
            eps=1e-2,
            precondition_frequency=100,
        ),
        other(
            many,
            "SOAP, refreshed",
            "SOAP",
            "SOAP",
            lr=0.1,
            eps=1e-2,
            precondition_frequency=3,
            bound=1e-4,  # its QR runs in float32
        ),
        other(
            "schedulefree",
            "Schedule-Free SGD",
            "ScheduleFreeSGD",
            "SGDScheduleFree",
            lr=0.05,
            weight_decay=0.1,
        ),
        other(
            "schedulefree",
            "Schedule-Free AdamW",
            "ScheduleFreeAdamW",
            "AdamWScheduleFree",
            lr=0.1,
            weight_decay=0.1,
        ),
        other(
            "prodigyopt",
            "Prodigy",
            "Prodigy",
            "Prodigy",
            d0=0.01,
            bound=1e-9,
            **plain,
        ),
        other(
            "prodigyopt",
            "Prodigy, decay",
            "Prodigy",
            "Prodigy",
            d0=0.01,
            weight_decay=0.1,
            bound=1e-9,
            **one,
        ),
        other(
            "dadaptation",
            "D-Adapt Adam",
            "DAdaptAdam",
            "DAdaptAdam",
            d0=1e-3,
            **plain,
        ),
        other(
            "dadaptation",
            "D-Adapt Adam, L2",
            "DAdaptAdam",
            "DAdaptAdam",
            weight_decay=0.1,
            **one,
        ),
        other(
            many,
            "SAM",
            "SAM",
            "SAM",
            lr=0.05,
            rho=0.05,
            oracle={"base_optimizer": torch.optim.SGD, "perturb_eps": 0.0},
            bound=1e-6,  # its norm is a float32
        ),
        Case(
            "SAM, momentum",
            lambda params: optim.SAM(params, lr=0.05, momentum=0.9),
            lambda params: HandSAM(params, lr=0.05, momentum=0.9),
            "by hand",
        ),
        other(
            many,
            "SAM around Adam",
            "SAM",
            "SAM",
            lr=0.05,
            rho=0.05,
            ours={"base": "Adam"},
            oracle={"base_optimizer": torch.optim.Adam, "perturb_eps": 0.0},
            bound=1e-6,
        ),
    ]


def younger_cases() -> list[Case]:
    """The optimizers of 2024 and 2025."""
    many = "pytorch_optimizer"
    both = {"lr": 0.1, "weight_decay": 0.1}
    matrix = {"problems": ("P2", "matrices")}
    norms = {"sign": 4, "column": 6, "row": 7}
    later = {"clip_lambda": lambda t: (t - 1) ** 0.25}  # it counts from 2
    apart = {"weight_decouple": True}
    return [
        other(
            many,
            "AdEMAMix",
            "AdEMAMix",
            "AdEMAMix",
            alpha=5.0,
            oracle=apart,
            **both,
        ),
        other(
            many,
            "AdEMAMix, warmed up",
            "AdEMAMix",
            "AdEMAMix",
            lr=0.1,
            alpha=5.0,
            ours={"alpha_warmup": 8, "beta3_warmup": 8},
            oracle={"t_alpha_beta3": 8},
        ),
        other(many, "ADOPT", "ADOPT", "ADOPT", oracle=later, **both),
        other(
            many,
            "ADOPT, decoupled",
            "ADOPT",
            "ADOPT",
            ours={"decoupled_weight_decay": True, "clip": False},
            oracle={"clip_lambda": None, **apart},
            **both,
        ),
        other(
            many,
            "MARS",
            "MARS",
            "MARS",
            eps=0.0,  # it stands elsewhere there, and 1e-15 in the root
            oracle={"optimize_1d": True},
            bound=1e-7,
            **both,
        ),
        replace(
            other(many, "", "Lion", "Lion", oracle={"cautious": True}, **both),
            name="Cautious Lion",
            ours=lambda params: optim.cautious(optim.Lion)(params, **both),
        ),
        Case(
            "Cautious AdamW",
            lambda params: optim.CautiousAdamW(params, **both),
            lambda params: HandCautiousAdamW(params, **both),
            "by hand",
        ),
        other(
            many,
            "Scion, vectors",
            "Scion",
            "SCION",
            lr=0.1,
            oracle={"constraint": True},
            problems=("P1",),
        ),
        *(
            other(
                many,
                f"Scion, {name}",
                "Scion",
                "SCION",
                lr=0.1,
                scale=2.0,
                ours={"norm": name},
                oracle={"norm_type": number, "constraint": True},
                **matrix,
            )
            for name, number in norms.items()
        ),
        other(
            many,
            "Scion, spectral",
            "Scion",
            "SCION",
            lr=0.02,
            ours={"unconstrained": True},
            bound=1e-2,  # bfloat16 inside
            floor=1.0,
            **matrix,
        ),
    ]


def torch_cases() -> list[Case]:
    """The optimizers that torch has."""
    both = {"lr": 3e-3, "weight_decay": 0.05}
    flat = dict(weight_decay=0.1, second=both)
    return [
        torch_case("SGD", "SGD", lr=0.05),
        torch_case("SGD, L2", "SGD", lr=0.05, **flat),
        torch_case("SGD, momentum", "SGD", lr=0.05, momentum=0.9, **flat),
        torch_case(
            "SGD, Nesterov", "SGD", lr=0.05, momentum=0.9, nesterov=True
        ),
        torch_case(
            "SGD, dampening", "SGD", lr=0.05, momentum=0.9, dampening=0.9
        ),
        torch_case("Adagrad", "Adagrad", lr=0.5),
        torch_case("Adagrad, decay", "Adagrad", lr=0.5, lr_decay=0.1, **flat),
        torch_case(
            "Adagrad, start", "Adagrad", lr=0.5, initial_accumulator_value=0.1
        ),
        torch_case("RMSprop", "RMSprop"),
        torch_case("RMSprop, L2", "RMSprop", alpha=0.9, **flat),
        torch_case("RMSprop, momentum", "RMSprop", momentum=0.9),
        torch_case(
            "RMSprop, centered",
            "RMSprop",
            momentum=0.9,
            centered=True,
            **flat,
        ),
        torch_case("Adam", "Adam", lr=0.1),
        torch_case("Adam, large eps", "Adam", lr=0.1, eps=1e-2),
        torch_case("Adam, L2", "Adam", lr=0.1, **flat),
        torch_case("AMSGrad", "Adam", lr=0.1, betas=(0.9, 0.9), amsgrad=True),
        torch_case("AdamW", "AdamW", lr=0.1, **flat),
        torch_case("AdamW, AMSGrad", "AdamW", amsgrad=True, **flat),
        torch_case("NAdam", "NAdam"),
        torch_case("NAdam, L2", "NAdam", lr=0.1, **flat),
        torch_case(
            "NAdam, decoupled", "NAdam", decoupled_weight_decay=True, **flat
        ),
        torch_case("RAdam", "RAdam", lr=0.1),
        torch_case("RAdam, L2", "RAdam", lr=0.1, **flat),
        torch_case(
            "RAdam, decoupled", "RAdam", decoupled_weight_decay=True, **flat
        ),
    ]


def main() -> None:
    """Write the table."""
    target = Path(__file__).with_suffix(".csv")
    with target.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["optimizer", "oracle", "problem", "deviation", "bound"])
        for case in cases():
            for problem in case.problems:
                found = deviation(case, problem)
                if math.isnan(found) or found > case.bound:
                    print("above its bound:", case.name, problem, found)
                size, bound = f"{found:.1e}", f"{case.bound:.0e}"
                rows.writerow([case.name, case.source, problem, size, bound])
    print(target.read_text())


if __name__ == "__main__":
    sys.exit(main())
