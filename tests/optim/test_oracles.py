"""Every optimizer follows an independent implementation in float64."""

import importlib.util
from pathlib import Path

import pytest
import torch

from dldna import optim

FILE = Path(__file__).parents[2] / "benchmarks" / "optim_oracles.py"
spec = importlib.util.spec_from_file_location("optim_oracles", FILE)
oracles = importlib.util.module_from_spec(spec)
__import__("sys").modules["optim_oracles"] = oracles
spec.loader.exec_module(oracles)

CASES = {case.name: case for case in oracles.cases()}
RUNS = [(name, p) for name, case in CASES.items() for p in case.problems]


@pytest.mark.parametrize(("name", "problem"), RUNS)
def test_agrees_with_its_oracle(name, problem):
    case = CASES[name]
    if lacking := oracles.missing(case):
        pytest.skip(f"{lacking} is not here")
    assert oracles.deviation(case, problem) <= case.bound


def test_every_optimizer_and_every_rule_is_compared():
    """A rule counts where a compared optimizer steps by it."""
    compared = {type_of(case) for case in CASES.values()}
    alone = {
        "SophiaG",
        "ASAM",
        "EntropySGD",
        "ExactMARS",
        "PAL",
    }  # no package to ask
    rules = {
        optim.OPTIMIZERS[name].rule.name
        for name in compared
        if hasattr(optim.OPTIMIZERS[name], "rule")
    }
    missing = set(optim.OPTIMIZERS) - compared - alone
    missing |= set(optim.RULES) - rules
    assert not missing, (
        f"nothing is compared with {sorted(missing)}: add a case to "
        "benchmarks/optim_oracles.py, in cases()"
    )


def type_of(case):
    w = torch.nn.Parameter(torch.zeros(2, 2))
    return type(case.ours([w])).__name__
