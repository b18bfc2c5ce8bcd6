"""Networks of other libraries beside a loop that writes the weights.

    PYTHONPATH=.libraries python benchmarks/library_models.py [--only timm]

The small networks that `make test-libraries` runs, each given as its library
makes it. The table says how many lines the user writes beyond the one call;
the way taken on a surface of 21 x 21 points; its largest relative difference
to a loop that writes the weights, calls the model and reads the loss; its
processor time over the loop's, for a point and for the whole call, set-up and
checks included; and how far the Hessian's top eigenvalue lies from ARPACK's on
double backward products. Network by network, both are timed in turns on one
thread, and medians taken.
"""

import argparse
import os
import sys
import time
import warnings
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
from _report import write_section

os.environ.setdefault("DLDNA_PROGRESS", "0")
sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from libraries.models import CASES, made
from libraries.plain import (
    directions,
    surface,
    top_eigenvalue,
)

from dldna import landscape
from dldna.data import torchvision

SIDE, FEW, ROUNDS = 21, 3, 3
HEAD = (
    "| network | lines | way | error | loop, ms a point | a point, ratio | "
    "with set-up, ratio | top eigenvalue, error |\n"
    "|---|---|---|---|---|---|---|---|"
)


def row(name: str) -> tuple[str, float]:
    """One line of the table, and the error of the surface."""
    case, twin = made(name), made(name)
    d, e = directions(twin.model)
    before = {k: v.clone() for k, v in case.model.state_dict().items()}
    whole, few, loop = [], [], []
    for _ in range(ROUNDS):
        for side, kept in ((FEW, few), (SIDE, whole)):
            at = time.process_time()
            found = landscape.surface(
                case.model, case.loss_fn, [case.batch], [d, e],
                resolution=side, **case.options,
            )  # fmt: skip
            kept.append(time.process_time() - at)
        at = time.process_time()
        right = surface(twin, d, e, found.alphas, found.betas)
        loop.append(time.process_time() - at)
    ours, first, theirs = map(np.median, (whole, few, loop))
    each = theirs / SIDE**2
    point = max(ours - first, 0) / (SIDE**2 - FEW**2) / each
    error = float(np.max(np.abs(found.losses / right - 1)))
    apart = f"{eigenvalue_error(name):.0e}" if case.curved else "not asked"
    after = case.model.state_dict()
    assert all(torch.equal(v, after[k]) for k, v in before.items()), name
    line = (
        f"| {name} | {case.lines} | {found.way} | {error:.0e} | "
        f"{1e3 * each:.2f} | {point:.2f} | {ours / theirs:.2f} | {apart} |"
    )
    return line, error


def eigenvalue_error(name: str) -> float:
    """Relative, in size: before training both ends may be equally far."""
    case = made(name)
    top = landscape.top_eigenpairs(
        case.model, case.loss_fn, [case.batch], k=1, dtype="float64",
        tol=1e-4, **case.options,
    ).eigenvalues[0]  # fmt: skip
    return abs(abs(top / top_eigenvalue(made(name))) - 1)


def main() -> None:
    """Measure, print and write the section."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--only", nargs="*", help="libraries; nothing is written"
    )
    given = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    torchvision()
    names = [x for x in CASES if x.split(":")[0] in (given.only or x)]
    rows, errors = [], []
    for name in names:
        line, error = row(name)
        print(line, flush=True)
        rows.append(line)
        errors.append(error)
    if given.only:
        return
    libraries = sorted({name.split(":")[0] for name in CASES})
    versions = ", ".join(f"{x} {metadata.version(x)}" for x in libraries)
    plain = sum(made(name).lines == 0 for name in CASES)
    text = (
        "## Networks of other libraries\n\n"
        f"{len(rows)} networks of {len(libraries)} libraries, {plain} of them "
        f"without a line beyond the call; largest error {max(errors):.0e}. "
        f"Surfaces of {SIDE} x {SIDE} points in float32 beside a loop that "
        f"writes the weights; processor time of one thread, medians of "
        f"{ROUNDS} rounds in turns; a point: what {SIDE} x {SIDE} take beyond "
        f"{FEW} x {FEW}. The loop calls what dldna is told to call: a "
        f"module's own step, with the metrics that it works out. "
        f"torch {torch.__version__}, {versions}.\n\n{HEAD}\n"
    )
    write_section("libraries", text + "\n".join(rows))


if __name__ == "__main__":
    main()
