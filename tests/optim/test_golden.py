"""Golden trajectories: numbers found once, by other implementations."""

import math

import pytest
import torch
from torch import nn

from dldna import optim

START = torch.tensor([1.0, -2.0], dtype=torch.float64)
SCALE = torch.tensor([1.0, 10.0], dtype=torch.float64)
START2 = torch.tensor([[1.0, -2.0], [3.0, 0.5]], dtype=torch.float64)
SCALE2 = torch.tensor([[1.0, 10.0], [2.0, 5.0]], dtype=torch.float64)


def walk(optimizer, w, scale, steps):
    """The weights after each step on ``0.5 sum(scale w^2)``."""

    def loss():
        return 0.5 * (scale * w**2).sum()

    def closure():
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    more = {"curvature": loss} if hasattr(optimizer, "needs_curvature") else {}
    path = []
    for _ in range(steps):
        optimizer.step(closure, **more)
        if hasattr(optimizer, "eval"):
            optimizer.eval()
            path.append(w.detach().clone())
            optimizer.train()
        else:
            path.append(w.detach().clone())
    return path


def p1(name, steps=5, /, **hyper):
    w = nn.Parameter(START.clone())
    return walk(optim.make(name, [w], **hyper), w, SCALE, steps)


def p2(name, steps=5, /, **hyper):
    w = nn.Parameter(START2.clone())
    return walk(optim.make(name, [w], **hyper), w, SCALE2, steps)


def check(path, golden, rtol=1e-12):
    """``golden`` maps a step to the weights printed for it."""
    for step, values in golden.items():
        torch.testing.assert_close(
            path[step - 1].flatten(),
            torch.tensor(values, dtype=torch.float64),
            rtol=rtol,
            atol=1e-14,
        )


# name, settings, {step: (w0, w1)}; printed to 15 digits
P1 = {
    "S0": ("SGD", dict(lr=0.05), {1: (0.95, -1), 5: (0.7737809375, -0.0625)}),
    "S1": (
        "SGD+",
        dict(lr=0.05),
        {2: (0.8575, 0.4), 5: (0.4171559375, 1.0436)},
    ),
    "S1n": (
        "SGD",
        dict(lr=0.05, momentum=0.9, nesterov=True),
        {1: (0.905, -0.1), 5: (0.315942305065625, 0.022274375)},
    ),
    "S1d": (
        "SGD",
        dict(lr=0.05, momentum=0.9, dampening=0.9),
        {2: (0.90025, -0.05), 5: (0.75461526059375, 2.12016875)},
    ),
    "S1w": (
        "SGD",
        dict(lr=0.05, momentum=0.9, weight_decay=0.1),
        {1: (0.945, -0.99), 5: (0.366676659590625, 1.01735043238125)},
    ),
    "A1": (
        "Adagrad",
        dict(lr=0.5),
        {
            1: (0.50000000005, -1.5000000000025),
            5: (0.0508913042630094, -0.68279021843815),
        },
    ),
    "R1": (
        "RMSprop",
        dict(lr=0.01),
        {
            1: (0.900000009999999, -1.9000000005),
            5: (0.696465799281033, -1.68548157852209),
        },
    ),
    "R1c": (
        "RMSprop",
        dict(lr=0.01, centered=True, momentum=0.9),
        {
            1: (0.899496228575088, -1.89949621897913),
            5: (0.134701949648278, -1.08192353037902),
        },
    ),
    "M1": (
        "Adam",
        dict(lr=0.1),
        {
            1: (0.900000001, -1.90000000005),
            5: (0.507963661927221, -1.50295578025663),
        },
    ),
    "M1o": (
        "Adam",
        dict(lr=0.1, eps=1e-2),
        {
            1: (0.900990099009901, -1.90004997501249),
            5: (0.513226974822771, -1.50321523244063),
        },
    ),
    "M2": (
        "Adam",
        dict(lr=0.1, weight_decay=0.1),
        {5: (0.507963661443061, -1.50295578025406)},
    ),
    "W1": (
        "AdamW",
        dict(lr=0.1, weight_decay=0.1),
        {
            1: (0.890000001, -1.88000000005),
            5: (0.469952659618807, -1.41556647891945),
        },
    ),
    "W2": (
        "AdamW",
        dict(lr=0.1),
        {5: (0.504080092747202, -1.49404569302313)},
    ),
    "X1": (
        "AMSGrad",
        dict(lr=0.1, betas=(0.9, 0.9)),
        {5: (0.502992565884758, -1.50061751293591)},
    ),
    "N1": (
        "NAdam",
        dict(lr=0.002),
        {
            1: (0.997887096464418, -1.99788709644435),
            5: (0.99191124917993, -1.99190621154716),
        },
    ),
    "RA": (
        "RAdam",
        dict(lr=0.1),
        {
            1: (0.9, 0),
            2: (0.805263157894737, 0.947368421052632),
            5: (0.552364195101898, 0.644196331651763),
        },
    ),
    "L1": ("Lion", dict(lr=0.1), {1: (0.9, -1.9), 5: (0.5, -1.5)}),
    "L2": (
        "Lion",
        dict(lr=0.1, weight_decay=0.1),
        {2: (0.7811, -1.7612), 5: (0.4608905489, -1.4118805988)},
    ),
    "F1": (
        "Adafactor",
        dict(lr=0.01),
        {
            1: (0.984188611699158, -1.98418861169916),
            5: (0.923429871181188, -1.92291845081541),
        },
    ),
    "B1": (
        "LAMB",
        dict(lr=0.1),
        {
            1: (0.84266698682912, -1.84110908469465),
            2: (0.700564784809497, -1.69687085361307),
            5: (0.353000783713635, -1.33488947470633),
        },
    ),
    "B2": (
        "LAMB",
        dict(lr=0.1, bias_correction=False),
        {
            1: (0.842137503802611, -1.84163512922896),
            5: (0.35038715901259, -1.3370516910246),
        },
    ),
    "D1": (
        "AdaBelief",
        dict(lr=0.1),
        {
            1: (0.888888888888896, -1.88888888888889),
            5: (0.40449318737209, -1.39301355592253),
        },
    ),
    "D2": (
        "AdaBelief",
        dict(lr=0.1, eps=1e-8),
        {5: (0.404498816282324, -1.39301356931583)},
    ),
    "S2": (
        "SophiaH",
        dict(lr=0.1, betas=(0.9, 0.5), gamma=1.0, weight_decay=0.1, k=1),
        {
            1: (0.97, -1.94),
            2: (0.935366666666667, -1.87073333333333),
            5: (0.804891797914849, -1.6097835958297),
        },
    ),
    "S3": (
        "SophiaH",
        dict(lr=0.01, weight_decay=0.0),
        {t: (1 - 0.01 * t, -2 + 0.01 * t) for t in range(1, 6)},
    ),
    "Z1": (
        "ScheduleFreeSGD",
        dict(lr=0.05),
        {
            1: (0.95, -1),
            2: (0.92625, -0.75),
            5: (0.85758645990625, -0.24839375),
        },
    ),
    "Z2": (
        "ScheduleFreeAdamW",
        dict(lr=0.1),
        {
            1: (0.900000001, -1.90000000005),
            5: (0.715742536006097, -1.70750789008986),
        },
    ),
    "PR": (
        "Prodigy",
        dict(d0=0.01),
        {
            1: (0.968377233398313, -1.96837722389832),
            5: (-0.025894467919272, -1.00612596253814),
        },
    ),
    "PL": (
        "PAL",
        dict(lr=0.1, alpha=1.0, beta=0.0),
        {
            1: (0.899775056235944, 0.004498875281127),
            2: (0.019751159770578, -0.039502319541622),
            3: (0.017771600893297, 0.000088858004465),
        },
    ),
    "EN": (
        "EntropySGD",
        dict(
            noise=0.0,
            inner_lr=0.05,
            gamma=0.5,
            scoping=0.0,
            steps=5,
            form="paper",
        ),
        {
            1: (0.939525949707031, -1.361271923828125),
            3: (0.829328021097646, -0.630630063394831),
        },
    ),
    "SM": (
        "SAM",
        dict(lr=0.05, rho=0.05),
        {
            1: (0.949875155957640, -0.975031191528055),
            5: (0.770352165387810, -0.022576665944497),
        },
    ),
    "AS": (
        "ASAM",
        dict(lr=0.05),
        {
            1: (0.949365809582555, -0.497658522592081),
            5: (0.707174553309729, -0.013650245451237),
        },
    ),
}
# printed with fewer digits than the rest: relative to a weight near 0
LOOSE = {"SM": 1e-7, "PL": 1e-10, "AS": 1e-12, "PR": 1e-9}


@pytest.mark.parametrize("key", P1)
def test_p1(key):
    name, hyper, golden = P1[key]
    path = p1(name, max(golden), **hyper)
    check(path, golden, LOOSE.get(key, 1e-12))


P2 = {
    "F2": (
        "Adafactor",
        dict(lr=0.01),
        {
            1: "0.998074908306771 -1.98838054948424 2.96441544820165 "
            "0.495525397783639",
            2: "0.996154925758571 -1.97687504092327 2.92916471491191 "
            "0.491094342327173",
            5: "0.990426187850655 -1.94304323169287 2.82537573437481 "
            "0.478059629457724",
        },
    ),
    "B3": (
        "LAMB",
        dict(lr=0.1),
        {
            5: "0.195484601804225 -1.16404455039458 2.15128115273954 "
            "-0.187155757078249"
        },
    ),
    "K1": (
        "LARS",
        dict(lr=0.1),
        {
            1: "0.999982068414124 -1.9996414005561 2.99989241586368 "
            "0.499955174621268",
            5: "0.999764265217827 -1.99528752356462 2.99858572186075 "
            "0.499410809913424",
        },
    ),
    "H1": (
        "Shampoo",
        dict(lr=0.1),
        {
            1: "0.986658798949922 -1.90089393395767 2.90089393518144 "
            "0.486658798818804",
            2: "0.977206209346812 -1.83264333051423 2.83200892659409 "
            "0.477166545650735",
            3: "0.969462968426032 -1.77784683767843 2.77636886986663 "
            "0.469374060422271",
        },
    ),
    "U1": (
        "Muon",
        dict(lr=0.02, weight_decay=0.0),
        {
            1: "0.997487985678567 -1.98513120550468 2.98090842635171 "
            "0.4979404263021",
            5: "0.987325711792014 -1.92565613162153 2.90405895086454 "
            "0.48964776017864",
        },
    ),
}


@pytest.mark.parametrize("key", P2)
def test_p2(key):
    name, hyper, golden = P2[key]
    numbers = {t: [float(x) for x in s.split()] for t, s in golden.items()}
    check(p2(name, max(golden), **hyper), numbers)


def test_lion_overshoots_as_it_should():
    w0 = [w[0].item() for w in p1("Lion", 12, lr=0.4)]
    golden = [0.6, 0.2, *[-0.2, 0.2] * 5]
    assert w0 == pytest.approx(golden, abs=1e-12)


def test_schedule_free_trains_at_y():
    w = nn.Parameter(START.clone())
    optimizer = optim.ScheduleFreeSGD([w], lr=0.05)
    for _ in range(5):
        w.grad = SCALE * w.detach()
        optimizer.step()
    check([w.detach()], {1: (0.84860115636875, -0.19550125)})


def test_pal_measures_its_steps():
    w = nn.Parameter(START.clone())
    optimizer = optim.PAL([w], lr=0.1, alpha=1.0, beta=0.0)
    golden = [2.007002934814947, 0.881123239675310, 0.039640635626014]
    for s in golden:
        walk(optimizer, w, SCALE, 1)
        assert optimizer.last.s == pytest.approx(s, rel=1e-10)


# Errors that are found in print; the check above must reject each.


def inside(w, g, v, t):
    """Adam with eps inside the root."""
    m = 0.9 * v["m"] + 0.1 * g
    s = 0.999 * v["v"] + 0.001 * g * g
    root = (s / (1 - 0.999**t) + 1e-2).sqrt()
    return w - 0.1 * m / (1 - 0.9**t) / root, {"m": m, "v": s}


def uncorrected(w, g, v, t):
    """Adam without bias correction."""
    m = 0.9 * v["m"] + 0.1 * g
    s = 0.999 * v["v"] + 0.001 * g * g
    return w - 0.1 * m / (s.sqrt() + 1e-8), {"m": m, "v": s}


def averaged(w, g, v, t):
    """Momentum as a moving average, taken for the heavy ball."""
    m = g if t == 1 else 0.9 * v["m"] + 0.1 * g
    return w - 0.05 * m, {"m": m}


def rms_inside(w, g, v, t):
    """RMSprop with eps inside the root."""
    s = 0.99 * v["v"] + 0.01 * g * g
    return w - 0.01 * g / (s + 1e-8).sqrt(), {"v": s}


def wrong_lion(w, g, v, t):
    """Lion that keeps the interpolation ``c`` as its momentum."""
    c = 0.9 * v["m"] + 0.1 * g
    return w - 0.4 * c.sign(), {"m": c}


def run(rule, steps=5):
    w, state = START, {"m": torch.zeros(2), "v": torch.zeros(2)}
    path = []
    for t in range(1, steps + 1):
        w, state = rule(w, SCALE * w, state, t)
        path.append(w)
    return path


@pytest.mark.parametrize(
    ("rule", "key"),
    [
        (inside, "M1o"),
        (uncorrected, "M1"),
        (averaged, "S1"),
        (rms_inside, "R1"),
    ],
)
def test_errors_in_print_are_rejected(rule, key):
    with pytest.raises(AssertionError):
        check(run(rule), P1[key][2])


def test_errors_in_print_give_the_numbers_known_for_them():
    check(run(inside), {5: (0.51090680894109, -1.50296262075656)})
    check(run(uncorrected), {2: (0.270206169086671, -1.26226525147689)})
    check(run(rms_inside), {5: (0.696465862204624, -1.68548157763031)})
    wrong = [0.6, 0.2, -0.2, -0.6, -1, -0.6, -0.2, 0.2, 0.6, 1, 0.6, 0.2]
    w0 = [w[0].item() for w in run(wrong_lion, 12)]
    assert w0 == pytest.approx(wrong, abs=1e-12)


def test_the_wrong_lion_is_rejected_from_step_4():
    right = p1("Lion", 12, lr=0.4)
    wrong = run(wrong_lion, 12)
    golden = {t + 1: tuple(w.tolist()) for t, w in enumerate(right)}
    check(wrong[:3], {t: golden[t] for t in (1, 2, 3)})
    with pytest.raises(AssertionError):
        check(wrong, {4: golden[4]})


@pytest.mark.parametrize(
    ("name", "bound"),
    [
        ({"momentum": 0.0}, 2.0),
        ({"momentum": 0.9}, 2 * 1.9),
        ({"momentum": 0.9, "nesterov": True}, 2 * 1.9 / 2.8),
        ({"momentum": 0.9, "dampening": 0.9}, 2 * 1.9 / 0.1),
    ],
)
def test_stability_ends_where_theory_says(name, bound):
    for factor, stable in ((0.99, True), (1.01, False)):
        w = nn.Parameter(torch.tensor([1.0], dtype=torch.float64))
        optimizer = optim.SGD([w], lr=bound * factor, **name)
        for _ in range(3000):
            w.grad = w.detach().clone()
            optimizer.step()
        size = abs(w.item())
        assert (size < 1) if stable else (size > 1 or math.isnan(size))
