"""The younger optimizers follow recursions written out in NumPy.

Each is one loop in float64, from the paper's equations; nothing in it
comes from the package. Weights and gradients are compared step by step.
"""

import copy
import pickle
import sys

import numpy as np
import pytest
import torch
from torch import nn

from dldna import optim

STEPS = 25
BOUND = 1e-12


def slope(w, t):
    """A bowl with another centre at each step, steeper to one side."""
    draw = np.random.default_rng(t)
    scale = 0.5 + np.arange(w.size).reshape(w.shape)
    return scale * (w - draw.normal(size=w.shape))


def start(*shape):
    return np.random.default_rng(99).normal(size=shape)


def deviation(optimizer, loop, *shape, **hyper):
    """Largest difference, relative where weights are above 0.01."""
    w = nn.Parameter(torch.from_numpy(start(*shape)))
    optimizer = optimizer([w], **hyper)
    ours = []
    for t in range(1, STEPS + 1):

        def closure(t=t):
            w.grad = torch.from_numpy(slope(w.detach().numpy(), t))

        optimizer.step(closure)
        ours.append(w.detach().numpy().copy())
    wanted = np.array(list(loop(start(*shape), **hyper)))
    gaps = np.abs(np.array(ours) - wanted) / (np.abs(wanted) + 1e-2)
    assert np.abs(wanted[-1] - wanted[0]).max() > 1e-2
    return gaps.max()


def ademamix(
    w, lr, betas, alpha=2.0, weight_decay=0.0, alpha_warmup=0,
    beta3_warmup=0,
):  # fmt: skip
    b1, b2, b3 = betas
    fast = slow = second = np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = slope(w, t)
        mix, keep = alpha, b3
        if t < alpha_warmup:
            mix = alpha * t / alpha_warmup
        if t < beta3_warmup:
            # half-lives grow in equal parts
            halves = [np.log(0.5) / np.log(b) for b in (b1, b3)]
            share = t / beta3_warmup
            half = (1 - share) * halves[0] + share * halves[1]
            keep = 0.5 ** (1 / half)
        fast = b1 * fast + (1 - b1) * g
        slow = keep * slow + (1 - keep) * g
        second = b2 * second + (1 - b2) * g**2
        root = np.sqrt(second / (1 - b2**t)) + 1e-8
        step = (fast / (1 - b1**t) + mix * slow) / root + weight_decay * w
        w = w - lr * step
        yield w


def adopt(
    w, lr, betas=(0.9, 0.9999), eps=1e-6, weight_decay=0.0,
    decoupled_weight_decay=False, clip=True,
):  # fmt: skip
    b1, b2 = betas
    mean = np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = slope(w, t)
        if decoupled_weight_decay:
            w = w - lr * weight_decay * w
        else:
            g = g + weight_decay * w
        if t == 1:
            second = g**2
        else:
            u = g / np.maximum(np.sqrt(second), eps)
            c = (t - 1) ** 0.25 if clip else np.inf
            u = np.minimum(np.maximum(u, -c), c)
            mean = b1 * mean + (1 - b1) * u
            w = w - lr * mean
            second = b2 * second + (1 - b2) * g**2
        yield w


def mars(
    w, lr, betas=(0.95, 0.99), gamma=0.025, eps=1e-8, weight_decay=0.0,
    exact=False,
):  # fmt: skip
    b1, b2 = betas
    mean = second = last = np.zeros_like(w)
    before = w
    for t in range(1, STEPS + 1):
        g = slope(w, t)
        if exact:  # this batch's own, at the weights before
            last, before = slope(before, t), w
        c = g + gamma * b1 / (1 - b1) * (g - last)
        size = np.sqrt((c**2).sum())
        c = c / size if size > 1 else c
        mean = b1 * mean + (1 - b1) * c
        second = b2 * second + (1 - b2) * c**2
        root = np.sqrt(second / (1 - b2**t)) + eps
        w = w - lr * (mean / (1 - b1**t) / root + weight_decay * w)
        last = g
        yield w


def exact_mars(w, lr, **hyper):
    return mars(w, lr, exact=True, **hyper)


def masked(u, g):
    agree = [a * b > 0 for a, b in zip(u.flat, g.flat, strict=True)]
    factor = u.size / (sum(agree) + 1)
    return u * factor * np.array(agree).reshape(u.shape)


def cautious_adamw(w, lr, weight_decay=0.01, amsgrad=False):
    mean = second = top = np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = slope(w, t)
        mean = 0.9 * mean + 0.1 * g
        second = 0.999 * second + 0.001 * g**2
        top = np.maximum(top, second) if amsgrad else second
        root = np.sqrt(top / (1 - 0.999**t)) + 1e-8
        u = masked(mean / (1 - 0.9**t) / root, g)
        w = w - lr * (u + weight_decay * w)
        yield w


def cautious_sgd(w, lr, momentum, weight_decay=0.0):
    mean = np.zeros_like(w)
    for t in range(1, STEPS + 1):
        g = slope(w, t) + weight_decay * w
        mean = momentum * mean + g
        w = w - lr * masked(mean, g)
        yield w


def newton_schulz(G):
    wide = G if G.shape[0] <= G.shape[1] else G.T
    U, s, Vh = np.linalg.svd(wide, full_matrices=False)
    s = s / np.sqrt((s**2).sum())
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    found = (U * s) @ Vh
    return found if G.shape[0] <= G.shape[1] else found.T


def steepest(G, norm):
    if norm == "auto":
        norm = "rms" if G.ndim == 1 else "spectral"
    if norm.startswith("spectral"):
        out, inp = G.shape[:2]
        factor = np.sqrt(out / inp)
        if norm == "spectral_input":
            factor = max(1, factor)
        flat = newton_schulz(G.reshape(out, -1))
        return flat.reshape(G.shape) * factor / (G[0, 0].size)
    D = np.empty_like(G)
    if norm == "rms":
        return G / np.sqrt((G**2).mean())
    for i in range(G.shape[0]):
        for j in range(G.shape[1]):
            row, column = G[i], G[:, j]
            D[i, j] = {
                "sign": np.sign(G[i, j]) / len(row),
                "column": G[i, j] / np.sqrt((column**2).mean()),
                "row": G[i, j] / np.sqrt((row**2).sum() * len(row)),
                "embedding": G[i, j] / np.sqrt((row**2).mean()),
            }[norm]
    return D


def scion(
    w, lr, momentum=0.9, norm="auto", scale=1.0, unconstrained=False, eps=0.0
):
    mean = np.zeros_like(w)
    for t in range(1, STEPS + 1):
        mean = momentum * mean + (1 - momentum) * slope(w, t)
        w = w if unconstrained else (1 - lr) * w
        w = w - lr * scale * steepest(mean, norm)
        yield w


SLOW = (0.9, 0.999, 0.9999)
CASES = {
    "AdEMAMix": (ademamix, (4, 3), {"betas": SLOW}),
    "AdEMAMix, decay": (
        ademamix, (4, 3),
        {"betas": (0.5, 0.9, 0.99), "alpha": 8.0, "weight_decay": 0.1},
    ),
    "AdEMAMix, warmed up": (
        ademamix, (4, 3),
        {"betas": SLOW, "alpha_warmup": 9, "beta3_warmup": 20},
    ),
    "ADOPT": (adopt, (4, 3), {}),
    "ADOPT, L2": (adopt, (4, 3), {"weight_decay": 0.1, "eps": 0.5}),
    "ADOPT, decoupled": (
        adopt, (4, 3),
        {"weight_decay": 0.1, "decoupled_weight_decay": True},
    ),
    "ADOPT, unclipped": (adopt, (4, 3), {"clip": False}),
    "MARS": (mars, (4, 3), {}),
    "MARS, decay": (mars, (4, 3), {"weight_decay": 0.1, "gamma": 0.5}),
    "ExactMARS": (exact_mars, (4, 3), {}),
    "ExactMARS, decay": (
        exact_mars, (4, 3), {"weight_decay": 0.1, "gamma": 0.5},
    ),
    "CautiousAdamW": (cautious_adamw, (4, 3), {}),
    "CautiousAdamW, AMSGrad": (
        cautious_adamw, (4, 3), {"weight_decay": 0.1, "amsgrad": True},
    ),
    "CautiousSGD": (cautious_sgd, (4, 3), {"momentum": 0.9}),
    "CautiousSGD, L2": (
        cautious_sgd, (4, 3), {"momentum": 0.9, "weight_decay": 0.5},
    ),
    "Scion": (scion, (4, 3), {"scale": 5.0}),
    "Scion, wide": (scion, (3, 4), {"unconstrained": True}),
    "Scion, kernel": (scion, (4, 2, 3, 2), {"scale": 5.0}),
    "Scion, vector": (scion, (7,), {"momentum": 0.5}),
    **{
        f"Scion, {norm}": (scion, (3, 4), {"norm": norm, "scale": 2.0})
        for norm in ("spectral_input", "sign", "column", "row", "embedding")
    },
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_follows_the_recursion(name):
    loop, shape, hyper = CASES[name]
    cls = name.split(",")[0]
    twin = cls == "CautiousSGD"
    cls = optim.cautious(optim.SGD) if twin else getattr(optim, cls)
    more = {"eps": 0.0} if loop is scion else {}
    found = deviation(cls, loop, *shape, lr=0.05, **more, **hyper)
    assert found <= BOUND


def test_a_twin_is_saved_made_once_and_refused_where_it_makes_no_sense():
    twin = optim.cautious(optim.Lion)
    assert (
        optim.cautious(optim.Lion) is twin is optim.find("cautious lion").cls
    )
    w = nn.Parameter(torch.ones(3))
    for optimizer in (twin([w]), copy.deepcopy(twin([w]))):
        again = pickle.loads(pickle.dumps(optimizer))
        assert type(again) is twin
        assert again.param_groups[0]["lr"] == 1e-4
    assert not hasattr(sys.modules[twin.__module__], "CautiousNobody")
    for name in ("SAM", "Muon", "SophiaG", "ScheduleFreeSGD", "MARS"):
        with pytest.raises(ValueError, match=f"not {name}"):
            optim.cautious(getattr(optim, name))


def test_scion_sorts_a_network():
    table, tied = nn.Embedding(9, 4), nn.Linear(4, 9)
    kernels = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Linear(8, 5), nn.LayerNorm(5), nn.Linear(5, 2)
    )
    tied.weight = table.weight
    names = {}
    for net in (nn.Sequential(table, nn.Linear(4, 4), tied), kernels):
        groups = optim.scion_param_groups(net, hidden=2.0, last=3.0)
        names[len(names)] = {g["name"]: len(g["params"]) for g in groups}
        held = [id(p) for g in groups for p in g["params"]]
        assert sorted(held) == sorted(id(p) for p in net.parameters())
        radii = {g["name"]: g["scale"] for g in groups}
        assert radii.pop("last") == 3.0
        assert set(radii.values()) == {2.0}
        before = [p.detach().clone() for p in net.parameters()]
        for p in net.parameters():
            p.grad = torch.ones_like(p)
        optim.Scion(groups, lr=0.1).step()
        assert not any(map(torch.equal, before, net.parameters()))
    assert names == {
        0: {"last": 1, "hidden": 3},
        1: {"last": 1, "first": 1, "hidden": 6},
    }
    with pytest.raises(ValueError, match="one of matrices"):
        optim.Scion(tied.parameters(), norm="sign")
    with pytest.raises(ValueError, match="did you mean 'spectral'"):
        optim.Scion(tied.parameters(), norm="spectrl")


@pytest.mark.parametrize("name", ["ScheduleFreeSGD", "ScheduleFreeAdamW"])
def test_the_weight_of_an_average_stays(name):
    """A schedule that cycles it would falsify the average in silence."""
    w = torch.nn.Parameter(torch.ones(3))
    optimizer = getattr(optim, name)([w], lr=0.1)
    group = optimizer.param_groups[0]
    key = "betas" if "betas" in group else "momentum"
    group[key] = (0.8, 0.999) if key == "betas" else 0.8  # before a step
    w.grad = torch.ones(3)
    optimizer.step()
    kept, before = optimizer.state_dict(), w.detach().clone()
    group[key] = (0.7, 0.999) if key == "betas" else 0.7
    for call in (optimizer.step, optimizer.eval):
        with pytest.raises(ValueError, match=r"beta = 0.8, and it is 0.7"):
            call()
    assert torch.equal(w, before)
    optimizer.load_state_dict(kept)
    optimizer.step()
    optimizer.eval()
