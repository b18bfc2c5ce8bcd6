"""The promises, the oracles and a few times on one GPU, in one file.

    python tests/gpu.py                        # make test-gpu: gpu.json
    python tests/gpu.py --device cpu --tiny    # its own logic, anywhere

Three parts, each within its share of the time: every public call of the
promises' table on every kind of model, with model and data on the device
(they must work where they work on the CPU, and leave the model as it was);
losses, gradients and curvature beside a plain loop on the same device; and
the seconds of a surface beside that loop. What there was no time for is
said. The exit status is 1 where anything differs.
"""

import argparse
import copy
import json
import sys
import time
import traceback
import warnings
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "promises"))

import torch
from calls import CALLS
from menagerie import KINDS, make
from torch import nn
from watching import differences, snapshot

import dldna
from dldna import models
from dldna.landscape import Operator, surface

LOSS = nn.CrossEntropyLoss()


def moved(thing, device):
    """Tensors in a nest, on a device; modules move themselves."""
    if isinstance(thing, torch.Tensor):
        return thing.to(device)
    if isinstance(thing, dict):
        return {k: moved(v, device) for k, v in thing.items()}
    if isinstance(thing, (tuple, list)):
        return type(thing)(moved(v, device) for v in thing)
    return thing


def tried(call, case) -> str:
    """ "" if a call went through, else what it said."""
    try:
        call(case)
    except Exception as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__}: {error} ({where.name})"[:300]
    return ""


def promises(device, until, kinds, calls) -> dict:
    """Calls that work on the CPU and not there, or change the model."""
    found = {"pairs": 0, "left": 0, "failed": [], "changed": []}
    for kind in kinds:
        for name, call in calls.items():
            if time.monotonic() > until:
                found["left"] += 1
                continue
            case = make(kind)
            case.model.to(device)
            for p in case.model.parameters():
                p.grad = None if p.grad is None else p.grad.to(device)
            case.data = moved(case.data, device)
            before = snapshot(case)
            said = tried(call, case)
            changed = differences(before, snapshot(case))
            found["pairs"] += 1
            if said and not tried(call, make(kind)):
                found["failed"].append([name, kind, said])
            if changed:
                found["changed"].append([name, kind, changed[:3]])
    return found


def networks(tiny: bool) -> dict:
    """Networks with data; by name."""
    n = 8 if tiny else 512
    digits = torch.randn(n, 1, 28, 28), torch.arange(n) % 10
    made = {
        "perceptron": nn.Sequential(
            nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10)
        ),
        "LeNet-5": models.make("lenet"),
    }
    return {name: (net, digits) for name, net in made.items()}


def plain_loop(net, data, points, along) -> list[float]:
    """The losses at points of a plane, its weights written into a copy."""
    twin = copy.deepcopy(net).eval()
    origin = {k: p.detach().clone() for k, p in twin.named_parameters()}
    found = []
    with torch.no_grad():
        for a, b in points:
            for k, p in twin.named_parameters():
                p.copy_(origin[k] + a * along[0][k] + b * along[1][k])
            found.append(float(LOSS(twin(data[0]), data[1])))
    return found


def oracles(device, tiny: bool) -> tuple[dict, dict]:
    """Largest errors beside plain loops, and the seconds of both."""
    errors, seconds = {}, {}
    side = 3 if tiny else 25
    for name, (net, data) in networks(tiny).items():
        torch.manual_seed(0)
        net, data = net.to(device).eval(), moved(data, device)
        along = [
            {k: 0.1 * torch.randn_like(p) for k, p in net.named_parameters()}
            for _ in range(2)
        ]
        clock = time.perf_counter()
        got = surface(net, LOSS, data, directions=along, resolution=side)
        ours = time.perf_counter() - clock
        points = [(a, b) for a in got.alphas for b in got.betas]
        clock = time.perf_counter()
        want = torch.tensor(plain_loop(net, data, points, along)).view(
            side, side
        )
        theirs = time.perf_counter() - clock
        have = torch.as_tensor(got.losses).to(want)
        error = (have - want).abs() / want.abs()
        errors[f"{name}: surface"] = float(error.max())
        seconds[name] = {"surface": ours, "plain loop": theirs,
                         "points": side * side}  # fmt: skip
        errors[f"{name}: curvature"] = curvature(net, data)
    return errors, seconds


def curvature(net, data) -> float:
    """A product with the Hessian, beside double backward."""
    operator = Operator(net, LOSS, data)
    v = torch.randn(operator.n, generator=torch.Generator().manual_seed(0))
    ours = (operator @ v.to(operator.dtype)[:, None]).flatten()
    ps = list(net.parameters())
    twin = LOSS(net(data[0]), data[1])
    g = torch.autograd.grad(twin, ps, create_graph=True)
    flat = torch.cat([t.reshape(-1) for t in g])
    h = torch.autograd.grad(flat @ v.to(flat), ps)
    want = torch.cat([t.reshape(-1) for t in h]).to(ours)
    return float((ours - want).norm() / want.norm())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=200.0)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--out", default="gpu.json")
    given = parser.parse_args()
    device = torch.device(given.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        print("There is no CUDA device here.", file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")
    begin = time.monotonic()
    errors, seconds = oracles(device, given.tiny)
    kinds, calls = list(KINDS), CALLS
    if given.tiny:
        kinds, calls = kinds[:1], {k: CALLS[k] for k in list(CALLS)[-3:]}
    found = promises(device, begin + given.seconds, kinds, calls)
    card = "CPU"
    if device.type == "cuda":
        card = torch.cuda.get_device_name(device)
    bad = [name for name, error in errors.items() if not error < 1e-3]
    Path(given.out).write_text(json.dumps({
        "dldna": dldna.__version__, "torch": torch.__version__,
        "device": card, "seconds": time.monotonic() - begin,
        "errors": errors, "times": seconds, "promises": found, "wrong": bad,
    }, indent=1) + "\n")  # fmt: skip
    print(Path(given.out).read_text())
    return 1 if bad or found["failed"] or found["changed"] else 0


if __name__ == "__main__":
    sys.exit(main())
