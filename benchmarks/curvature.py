"""Curvature beside what a user would pick instead.

    python benchmarks/curvature.py [--images NAME] [--quick]

Prints markdown tables, and puts them between the markers ``curvature`` of
``benchmarks/RESULTS.md``. Ways are run in turns, and medians are compared,
so that a change in the machine's speed meets all of them. Peers that are
not installed are left out, with a line that says so.
"""

import argparse
import contextlib
import importlib
import io
import os
import platform
import statistics
import time
import warnings

import numpy as np
import torch
from _report import write_section
from torch import nn
from torch.func import functional_call, jacrev

import dldna
from dldna import data, params
from dldna.landscape import Operator, spectral_density, top_eigenpairs, trace
from dldna.models import LeNet, SimpleNetwork

CE = nn.functional.cross_entropy
TOL = 1e-3


def main() -> None:
    """Run all parts and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--images", help="data for the LeNet: CIFAR10, folder:PATH, ..."
    )
    parser.add_argument("--quick", action="store_true", help="one repeat")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    os.environ["DLDNA_PROGRESS"] = "0"
    repeats = 1 if args.quick else 3
    lines = machine()
    for part in (
        lambda: eigenpairs(repeats),
        dense_oracle,
        density,
        traces,
        lambda: published_task(args.images, repeats),
    ):
        more = part()
        print("\n".join(more), flush=True)
        lines += more
    write_section("curvature", "\n".join(lines))


def machine() -> list[str]:
    """Versions and the matrix-product peak in this run."""
    a = torch.randn(2048, 2048)
    best = min(timed(lambda: a @ a)[0] for _ in range(10))
    peak = 2 * 2048**3 / best / 1e9
    return [
        "## Curvature",
        "",
        f"{time.strftime('%Y-%m-%d')}, dldna {dldna.__version__}, torch "
        f"{torch.__version__}, Python {platform.python_version()}, "
        f"{torch.get_num_threads()} threads, "
        f"matrix-product peak {peak:.0f} GFLOP/s (fp32).",
        "",
    ]


# -- top eigenpairs ---------------------------------------------------------


def eigenpairs(repeats: int) -> list[str]:
    """Products and time at equal residual, beside PyHessian and ARPACK."""
    model, x, y, name = perceptron()
    out = [
        "### Top eigenpairs at residual 1e-3",
        "",
        f"Perceptron 784-256-192-128-64-10 (283,914 parameters), 256 images "
        f"of {name}. Each way goes on until all its residuals "
        "`||Hv - lambda v|| / |lambda|` are at most 1e-3: PyHessian and "
        "ARPACK with the loosest of their tolerances 1e-3, 1e-3.5, ... that "
        "gets there. Our products include the search for copies of multiple "
        "eigenvalues and one that verifies the residuals; our first time "
        "includes error bars, which the peers do not give.",
        "",
        "| k | way | products | s | largest residual | products, ratio | "
        "time, ratio |",
        "|---|---|---|---|---|---|---|",
    ]
    from_tol = {pyhessian: 3.0, arpack: 3.0}
    for k in (2, 4, 10):
        ways = {
            "dldna": lambda s, k=k: ours(model, x, y, k, s, 8),
            "dldna, no error bars": lambda s, k=k: ours(model, x, y, k, s, 0),
        }
        for peer, find in (("PyHessian", pyhessian), ("ARPACK", arpack)):
            try:
                setting = loosest(find, model, x, y, k, from_tol)
            except ImportError as error:
                print(f"left out: {error}")
                continue
            if setting is None:
                ways[f"{peer} (does not get there)"] = lambda s, f=find, k=k: (
                    f(model, x, y, k, s, 1e-7)
                )
                continue
            ways[peer] = lambda s, f=find, k=k, tol=setting: f(
                model, x, y, k, s, tol
            )
        found = {way: [] for way in ways}
        for seed in range(repeats):
            for way, run in ways.items():
                seconds, (spent, residual) = timed(run, seed)
                found[way].append((spent, seconds, residual))
        base = np.median(found["dldna"], axis=0)
        for way, rows in found.items():
            spent, seconds, residual = np.median(rows, axis=0)
            out.append(
                f"| {k} | {way} | {spent:.0f} | {seconds:.2f} | "
                f"{residual:.1e} | {spent / base[0]:.1f} | "
                f"{seconds / base[1]:.1f} |"
            )
    return [*out, ""]


def ours(model, x, y, k, seed, parts):
    """Products and largest residual of this package."""
    found = top_eigenpairs(model, CE, (x, y), k, TOL, seed=seed, parts=parts)
    return found.products, float(found.residuals.max())


def pyhessian(model, x, y, k, seed, tol):
    """The same of PyHessian's power iteration."""
    peer = importlib.import_module("pyhessian.hessian")
    spent, product = 0, peer.hessian_vector_product

    def counted(*args):
        nonlocal spent
        spent += 1
        return product(*args)

    torch.manual_seed(seed)
    peer.hessian_vector_product = counted
    try:
        h = peer.hessian(model, CE, data=(x, y), cuda=False)
        _, vectors = h.eigenvalues(maxIter=2000, tol=tol, top_n=k)
    finally:
        peer.hessian_vector_product = product
        model.zero_grad()
    rows = [torch.cat([p.detach().flatten() for p in v]) for v in vectors]
    return spent, lambda: worst(model, x, y, torch.stack(rows))


def arpack(model, x, y, k, seed, tol):
    """The same of SciPy's eigsh over our products."""
    from scipy.sparse.linalg import LinearOperator, eigsh

    op = Operator(model, CE, (x, y))
    linear = LinearOperator(
        op.shape,
        matvec=lambda v: (op @ torch.from_numpy(v.ravel())).numpy(),
        dtype=np.float32,
    )
    start = np.random.default_rng(seed).standard_normal(op.n)
    _, v = eigsh(linear, k, v0=start.astype(np.float32), tol=tol)
    rows = torch.from_numpy(np.ascontiguousarray(v.T))
    return op.products, lambda: worst(model, x, y, rows)


def worst(model, x, y, rows) -> float:
    """Largest relative residual of given vectors."""
    op = Operator(model, CE, (x, y))
    rows = rows / rows.norm(dim=1, keepdim=True)
    hv = (op @ rows.T).T.double()
    values = (hv * rows).sum(1, keepdim=True)
    gaps = (hv - values * rows).norm(dim=1)
    return float((gaps / values[:, 0].abs()).max())


def loosest(find, model, x, y, k, begin):
    """The loosest tolerance with which a peer reaches the residual."""
    for exponent in np.arange(begin[find], 7.5, 0.5):
        _, residual = find(model, x, y, k, 0, 10.0**-exponent)
        if residual() <= TOL:
            begin[find] = exponent
            return 10.0**-exponent
    return None


# -- against the dense Hessian ----------------------------------------------


def dense_oracle() -> list[str]:
    """Largest angle to the eigenvectors of the whole matrix."""
    out = [
        "### Angle to the dense eigenvectors",
        "",
        "Perceptron 64-12-10 on 256 digits (8x8), trained; the oracle is the "
        "whole Hessian in float64. Largest over the top 10.",
        "",
        "| dtype | tolerance | products | eigenvalue, rel. error | angle |",
        "|---|---|---|---|---|",
    ]
    model, x, y, h = small()
    values, vectors = torch.linalg.eigh(h)
    order = values.abs().argsort(descending=True)[:10]
    values, vectors = values[order], vectors[:, order].T
    for dtype, tol in (
        (torch.float32, 1e-3),
        (torch.float32, 1e-5),
        (torch.float64, 1e-9),
    ):
        found = top_eigenpairs(model, CE, (x, y), 10, tol, dtype=dtype)
        v = torch.from_numpy(found.eigenvectors).double()
        cosine = (v * vectors).sum(1, keepdim=True)
        sine = (v - cosine * vectors).norm(dim=1).max()
        error = (torch.from_numpy(found.eigenvalues) / values - 1).abs().max()
        out.append(
            f"| {str(dtype)[6:]} | {tol:g} | {found.products} | "
            f"{error:.1e} | {torch.rad2deg(torch.arcsin(sine)):.2g} degrees |"
        )
    return [*out, ""]


def density() -> list[str]:
    """SLQ against the exact spectrum."""
    model, x, y, h = small()
    exact = torch.linalg.eigvalsh(h).numpy()
    out = [
        "### Spectral density against the exact spectrum",
        "",
        f"The same network, all {len(exact)} eigenvalues; bumps 1 % of the "
        "range wide. Distance: integral of the absolute difference "
        "(0: equal, 2: apart).",
        "",
        "| probes | steps | products | s | distance |",
        "|---|---|---|---|---|",
    ]
    sigma = 0.01 * np.ptp(exact)
    for probes, steps in ((4, 32), (8, 64), (32, 64), (128, 64)):
        seconds, found = timed(
            spectral_density,
            model,
            CE,
            (x, y),
            probes=probes,
            steps=steps,
            sigma=sigma,
            points=2000,
        )
        grid = found.grid
        bumps = np.exp(-0.5 * ((grid[:, None] - exact) / sigma) ** 2)
        true = bumps.mean(1) / (sigma * np.sqrt(2 * np.pi))
        gap = np.abs(true - found.density).sum() * (grid[1] - grid[0])
        out.append(
            f"| {probes} | {steps} | {found.products} | {seconds:.2f} | "
            f"{gap:.3f} |"
        )
    return [*out, ""]


def traces() -> list[str]:
    """Cost of a trace within 1 %."""
    model, x, y, h = small()
    exact = float(h.trace())
    out = [
        "### Trace",
        "",
        "Root mean square error over 20 seeds, as a fraction of the exact "
        "trace of the same network.",
        "",
        "| products | Hutchinson | Hutch++ |",
        "|---|---|---|",
    ]
    for spent in (30, 60, 99, 150, 240):
        errors = []
        for method in ("hutchinson", "hutch++"):
            values = [
                float(
                    trace(
                        model,
                        CE,
                        (x, y),
                        products=spent,
                        method=method,
                        seed=seed,
                    ).value
                )
                for seed in range(20)
            ]
            off = np.array(values) / exact - 1
            errors.append(np.sqrt(np.mean(off**2)))
        out.append(f"| {spent} | {errors[0]:.2%} | {errors[1]:.2%} |")
    out += ["", "The perceptron above, until the standard error is 1 %:", ""]
    out += [
        "| method | trace | error | products | s |",
        "|---|---|---|---|---|",
    ]
    model, x, y, _ = perceptron()
    for method, budget in (("hutchinson", 3000), ("hutch++", 600)):
        seconds, found = timed(
            trace,
            model,
            CE,
            (x, y),
            products=budget,
            tol=0.01,
            method=method,
        )
        out.append(
            f"| {method} | {float(found.value):.2f} | "
            f"{float(found.error):.2f} | {found.products} | {seconds:.1f} |"
        )
    return [*out, ""]


# -- a published task -------------------------------------------------------


def published_task(images: str | None, repeats: int) -> list[str]:
    """Top-3 directions and a 41x41 grid, beside Landscaper's tutorial."""
    model, x, y, name = lenet(images)
    batches = [(x[i : i + 4], y[i : i + 4]) for i in range(0, 28, 4)]
    out = [
        "### A published task: LeNet on images of 32x32",
        "",
        f"LeNet (62,006 parameters) trained on {name}; the data of "
        "Landscaper's notebook `cnn.ipynb`: 7 batches of 4 test images. "
        "Both find the top 3 directions and evaluate 41x41 points of the "
        "plane of the first two; ours in one call of `surface`. Landscaper "
        "adds random noise to the largest value of its grid, so the two "
        "grids differ there.",
        "",
        "| way | products | largest residual | s | ratio |",
        "|---|---|---|---|---|",
    ]
    ways = {"dldna": lambda: our_task(model, batches)}
    try:
        import landscaper  # noqa: F401

        ways["Landscaper"] = lambda: landscaper_task(model, batches)
    except ImportError as error:
        print(f"left out: Landscaper ({error})")
    rows = {way: [] for way in ways}
    for _ in range(repeats):
        for way, run in ways.items():
            rows[way].append(run())
    base = None
    for way, runs in rows.items():
        spent = statistics.median(r[1] for r in runs)
        base = base or spent
        out.append(
            f"| {way} | {runs[0][0]} | {runs[0][2]:.1e} | {spent:.2f} | "
            f"{spent / base:.1f} |"
        )
    big = (x[:256], y[:256])
    seconds, found = timed(
        lambda: top_eigenpairs(model, CE, big, 3, TOL, starts=3)
    )
    notes = found.provenance.notes
    out += [
        "",
        "Done right, with 256 images (28 say little about the network), "
        f"3 starting vectors and error bars over 8 slices: {seconds:.1f} s.",
        "",
        "| pair | eigenvalue | standard error over images | spread over "
        "starts | angle over starts | residual |",
        "|---|---|---|---|---|---|",
    ]
    for i in range(3):
        out.append(
            f"| {i + 1} | {found.eigenvalues[i]:.3f} | {found.errors[i]:.3f} "
            f"| {notes['start_spread'][i]:.1e} | "
            f"{notes['start_angle'][i]:.1e} degrees | "
            f"{found.residuals[i]:.1e} |"
        )
    return [*out, ""]


def our_task(model, batches):
    """Products, seconds of the one call, largest residual."""
    from dldna.landscape import surface

    extent = 0.01 * params.norm(params.of(model))
    seconds, found = timed(
        lambda: surface(
            model, CE, batches, "hessian", extent, resolution=41, pairs=3
        )
    )
    notes = found.provenance.notes["hessian"]
    return notes["products"], seconds, max(notes["residuals"])


def landscaper_task(model, batches):
    """The notebook's cells with the package's current names."""
    from landscaper import PyHessian
    from landscaper.compute import compute_loss_landscape

    def loss_function(net, data):
        return sum(CE(net.forward(a), b) for a, b in data)

    model.eval()
    spent = 0
    with quiet():
        h = PyHessian(model, nn.CrossEntropyLoss(), batches, "cpu")
        product = h.hv_product

        def counted(v):
            nonlocal spent
            spent += 1
            return product(v)

        h.hv_product = counted
        pairs_s, (_, vectors) = timed(lambda: h.eigenvalues(top_n=3))
        rows = torch.stack(
            [torch.cat([p.detach().flatten() for p in v]) for v in vectors]
        )
        x = torch.cat([a for a, _ in batches])
        y = torch.cat([b for _, b in batches])
        residual = worst(model, x, y, rows)
        grid_s, _ = timed(
            lambda: compute_loss_landscape(
                model, batches, vectors, loss_function, dim=2, device="cpu"
            )
        )
    return spent, pairs_s + grid_s, residual


# -- networks ---------------------------------------------------------------


def perceptron():
    """The book's network after one epoch, and 256 of its test images."""
    found = pictures("FashionMNIST")
    torch.manual_seed(7)
    model = SimpleNetwork(nn.PReLU())
    fit(model, found.train_x.flatten(1), found.train_y, steps=900)
    x, y = found.test_x.flatten(1)[:256], found.test_y[:256]
    return model, x.contiguous(), y, found.name


def lenet(images: str | None):
    """A LeNet on images of 32x32 with three channels."""
    found = pictures(images or "CIFAR10")
    torch.manual_seed(0)
    model = LeNet((3, 32, 32))
    fit(model, sized(found.train_x), found.train_y, steps=1500)
    local = found.name.startswith("folder:")
    name = found.description if local else found.name
    return model, sized(found.test_x[:256]), found.test_y[:256], name


def small():
    """A network small enough for its whole Hessian, in float64."""
    found = data.load("digits")
    x = nn.functional.adaptive_avg_pool2d(found.train_x[:256], 8).flatten(1)
    y = found.train_y[:256]
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 12), nn.Tanh(), nn.Linear(12, 10))
    fit(model, x, y, steps=300)
    model, x = model.double(), x.double()
    point = params.copy(params.of(model))

    def f(w):
        return CE(functional_call(model, params.unflatten(w, point), (x,)), y)

    h = jacrev(jacrev(f))(params.flatten(point)).detach()
    return model, x, y, (h + h.T) / 2


def pictures(name: str):
    """A data set by name, or the next best that is there."""
    for candidate in (name, "FashionMNIST", "digits"):
        try:
            return data.load(candidate)
        except (OSError, ImportError, ValueError) as error:
            print(f"{candidate} cannot be had: {error}")
    raise SystemExit("no data")


def sized(x: torch.Tensor) -> torch.Tensor:
    """Images as (N, 3, 32, 32)."""
    pad = (32 - x.shape[-1]) // 2
    x = nn.functional.pad(x, [pad] * 4, value=float(x.min()))
    return x.expand(-1, 3, -1, -1).contiguous()


def fit(model, x, y, steps: int) -> None:
    """Some steps of SGD with momentum."""
    g = torch.Generator().manual_seed(0)
    opt = torch.optim.SGD(model.parameters(), lr=0.02, momentum=0.9)
    for _ in range(steps):
        i = torch.randint(0, len(x), (64,), generator=g)
        opt.zero_grad()
        CE(model(x[i]), y[i]).backward()
        opt.step()
    model.zero_grad()
    model.eval()


# -- helpers ----------------------------------------------------------------


def timed(call, *args, **options):
    """Seconds and result; a lazy residual is computed off the clock."""
    began = time.perf_counter()
    result = call(*args, **options)
    seconds = time.perf_counter() - began
    if isinstance(result, tuple) and callable(result[-1]):
        result = (*result[:-1], result[-1]())
    return seconds, result


def quiet():
    """Without a peer's bars and prints."""
    stack = contextlib.ExitStack()
    stack.enter_context(contextlib.redirect_stdout(io.StringIO()))
    stack.enter_context(contextlib.redirect_stderr(io.StringIO()))
    return stack


if __name__ == "__main__":
    main()
