"""Variance scaling and orthogonal schemes against torch and theory."""

import inspect
import math

import pytest
import torch
from torch import nn

from dldna import init
from dldna.init import SCHEMES

SHAPES = {
    "linear": (48, 64),
    "conv1d": (32, 24, 5),
    "conv2d": (24, 16, 3, 5),
    "conv3d": (16, 12, 3, 3, 2),
}


def source(seed=7):
    return torch.Generator().manual_seed(seed)


ORACLES = {
    "lecun_normal": lambda w, g: nn.init.kaiming_normal_(
        w, nonlinearity="linear", generator=g
    ),
    "lecun_uniform": lambda w, g: nn.init.kaiming_uniform_(
        w, nonlinearity="linear", generator=g
    ),
    "xavier_normal": lambda w, g: nn.init.xavier_normal_(w, generator=g),
    "xavier_uniform": lambda w, g: nn.init.xavier_uniform_(w, generator=g),
    "kaiming_normal": lambda w, g: nn.init.kaiming_normal_(w, generator=g),
    "kaiming_uniform": lambda w, g: nn.init.kaiming_uniform_(w, generator=g),
    "torch_default": lambda w, g: nn.init.kaiming_uniform_(
        w, a=math.sqrt(5), generator=g
    ),
    "orthogonal": lambda w, g: nn.init.orthogonal_(w, generator=g),
    "scaled_orthogonal": lambda w, g: nn.init.orthogonal_(
        w, gain=math.sqrt(2), generator=g
    ),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("name", ORACLES)
def test_same_numbers_as_torch(name, shape):
    a = torch.empty(shape, dtype=torch.float64)
    b = torch.empty(shape, dtype=torch.float64)
    out = SCHEMES[name](a, generator=source())
    ORACLES[name](b, source())
    assert out is a
    torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("mode", ["fan_in", "fan_out"])
@pytest.mark.parametrize("slope", [0.0, 0.01, 0.25, 1.0])
def test_kaiming_options_as_torch(mode, slope):
    a, b = torch.empty(30, 20, 3), torch.empty(30, 20, 3)
    init.kaiming_normal(
        a, nonlinearity="leaky_relu", slope=slope, mode=mode,
        generator=source(),
    )  # fmt: skip
    nn.init.kaiming_normal_(b, a=slope, mode=mode, generator=source())
    torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    ("name", "slope"),
    [("linear", None), ("conv", None), ("sigmoid", None), ("tanh", None),
     ("relu", None), ("selu", None), ("leaky_relu", None),
     ("leaky_relu", 0.25)],
)  # fmt: skip
def test_gains_as_torch(name, slope):
    torch_name = "conv2d" if name == "conv" else name
    expected = nn.init.calculate_gain(torch_name, slope)
    assert init.gain_of(name, slope) == pytest.approx(expected, rel=1e-14)


@pytest.mark.parametrize("kind", ["conv", "conv_transpose"])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_gains_of_torchs_convolutions(kind, axes):
    name = f"{kind}{axes}d"
    assert init.gain_of(name) == nn.init.calculate_gain(name)


# Variance and kurtosis (E x^4 / Var^2) of each family: the sampling
# variance of a second moment over n entries is Var^2 (kurtosis - 1) / n.
NORMAL, UNIFORM, TRUNCATED = 3.0, 1.8, 2.37
VARIANCES = {
    "lecun_normal": (lambda i, o: 1 / i, NORMAL),
    "lecun_uniform": (lambda i, o: 1 / i, UNIFORM),
    "xavier_normal": (lambda i, o: 2 / (i + o), NORMAL),
    "xavier_uniform": (lambda i, o: 2 / (i + o), UNIFORM),
    "kaiming_normal": (lambda i, o: 2 / i, NORMAL),
    "kaiming_uniform": (lambda i, o: 2 / i, UNIFORM),
    "kaiming_truncated": (lambda i, o: 2 / i, TRUNCATED),
    "torch_default": (lambda i, o: 1 / (3 * i), UNIFORM),
}

LAYERS = {
    "linear": (lambda: nn.Linear(200, 300), (200, 300)),
    "conv1d": (lambda: nn.Conv1d(40, 60, 5), (200, 300)),
    "conv2d": (lambda: nn.Conv2d(20, 30, (3, 5)), (300, 450)),
    "conv3d": (lambda: nn.Conv3d(8, 12, 3), (216, 324)),
    "grouped": (lambda: nn.Conv2d(32, 64, 3, groups=4), (72, 144)),
    "depthwise": (lambda: nn.Conv2d(900, 900, 5, groups=900), (25, 25)),
    "transposed": (lambda: nn.ConvTranspose2d(16, 40, 3), (144, 360)),
    "transposed grouped": (
        lambda: nn.ConvTranspose2d(48, 96, 3, groups=3),
        (144, 288),
    ),
    "transposed 1d": (lambda: nn.ConvTranspose1d(30, 60, 4), (120, 240)),
    "transposed 3d": (lambda: nn.ConvTranspose3d(10, 20, 3), (270, 540)),
}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("name", VARIANCES)
def test_variance_within_five_sigma(name, kind):
    make, (n_in, n_out) = LAYERS[kind]
    layer = make()
    report = init.initialize(layer, name, seed=3)
    assert init.fans_of(layer) == (n_in, n_out)
    assert (report.filled[0].fan_in, report.filled[0].fan_out) == (
        n_in,
        n_out,
    )
    w = layer.weight.detach().double().flatten()
    rule, kurtosis = VARIANCES[name]
    var = rule(n_in, n_out)
    if name == "torch_default" and kind.startswith("transposed"):
        var = rule(n_out, n_in)  # torch reads the stored shape
    sigma = var * math.sqrt((kurtosis - 1) / w.numel())
    assert abs(float(w.square().mean()) - var) < 5 * sigma
    assert abs(float(w.mean())) < 5 * math.sqrt(var / w.numel())
    assert report.filled[0].std == pytest.approx(
        float(w.square().mean().sqrt()), rel=1e-6
    )


@pytest.mark.parametrize("name", [*VARIANCES][:-1])
def test_variance_of_attention_projections(name):
    """Fans of q, k and v are (d, d), not those of the packed tensor."""
    layer = nn.MultiheadAttention(120, 4)
    report = init.initialize(layer, name, seed=5)
    rule, kurtosis = VARIANCES[name]
    sigma = math.sqrt((kurtosis - 1) / 120**2)
    rows = [f for f in report.filled if f.fan_in]
    assert len(rows) == 4
    for row in rows:
        assert (row.fan_in, row.fan_out) == (120, 120)
        assert abs(row.std**2 / rule(120, 120) - 1) < 5 * sigma
    whole = layer.in_proj_weight.detach().double().square().mean()
    assert abs(float(whole) / rule(120, 120) - 1) < 3 * sigma


@pytest.mark.parametrize(
    "shape",
    [(300, 200), (200, 300), (64, 3, 3, 3), (16, 64, 3, 3), (60, 50, 7)],
)
@pytest.mark.parametrize(
    "name", sorted({*SCHEMES} - {"zero_hadamard", "delta_orthogonal"})
)
def test_nominal_variance(name, shape):
    for seed in range(2):
        w = torch.empty(shape, dtype=torch.float64)
        SCHEMES[name](w, generator=source(seed))
        n_in, n_out = init.fans(w)
        kernel = math.prod(shape[2:])
        nominal = init.variance_of(name, n_in, n_out, kernel)
        assert float(w.square().mean()) == pytest.approx(
            nominal, rel=5 * math.sqrt(2 / w.numel())
        )


@pytest.mark.parametrize(
    "layer",
    [nn.Linear(40, 10), nn.Conv2d(8, 6, 3), nn.Conv1d(12, 8, 3, groups=2),
     nn.ConvTranspose2d(9, 6, 3, groups=3)],
    ids=["linear", "conv", "grouped", "transposed"],
)  # fmt: skip
def test_double_variance_of_the_output(layer):
    """Kaiming doubles the second moment of a centred input."""
    layer = layer.double()
    ratios = []
    for seed in range(20):
        g = source(seed)
        init.initialize(layer, "kaiming_normal", generator=g)
        side = (9,) * (layer.weight.ndim - 2)
        channels = getattr(layer, "in_channels", None)
        shape = (40, channels, *side) if side else (400, 40)
        x = torch.randn(shape, generator=g, dtype=torch.float64)
        y = layer(x).detach()
        if side:  # away from the border, where all links exist
            y = y[(..., *(slice(3, -3),) * len(side))] if (
                "Transpose" in type(layer).__name__
            ) else y  # fmt: skip
        ratios.append(float(y.square().mean()))
    mean = torch.tensor(ratios).mean()
    spread = torch.tensor(ratios).std() / math.sqrt(len(ratios))
    assert abs(float(mean) - 2.0) < 5 * float(spread)


def test_truncated_stays_inside():
    w = init.truncated_normal(
        torch.empty(200_000), std=2.0, generator=source()
    )
    assert float(w.abs().max()) <= 2 * 2.0 / init.classical.TRUNCATED_STD
    assert float(w.std()) == pytest.approx(2.0, rel=0.01)
    scipy = pytest.importorskip("scipy.stats")
    law = scipy.truncnorm(-2, 2, scale=2.0 / init.classical.TRUNCATED_STD)
    assert law.std() == pytest.approx(2.0, rel=1e-12)
    assert scipy.kstest(w.double().numpy(), law.cdf).pvalue > 1e-4


@pytest.mark.parametrize("shape", [(6, 20), (20, 6), (8, 3, 3, 3), (9, 9)])
@pytest.mark.parametrize("gain", [1.0, math.sqrt(2), 0.3])
def test_orthogonal_rows_or_columns(shape, gain):
    w = torch.empty(shape, dtype=torch.float64)
    init.orthogonal(w, gain=gain, generator=source())
    m = w.flatten(1)
    gram = m @ m.T if m.shape[0] <= m.shape[1] else m.T @ m
    eye = gain**2 * torch.eye(len(gram), dtype=torch.float64)
    torch.testing.assert_close(gram, eye, rtol=1e-12, atol=1e-12)


def test_haar_has_no_preferred_sign():
    """Without the sign fix the diagonal of Q would be one-sided."""
    g = source()
    diag = torch.stack(
        [init.haar(4, 4, generator=g).diagonal() for _ in range(400)]
    )
    assert (diag.mean(0).abs() < 5 * 0.5 / 20).all()


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("kernel", [3, 5, 1])
def test_delta_orthogonal_keeps_every_norm(dims, kernel):
    conv = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](
        4, 6, kernel, padding="same", bias=False, dtype=torch.float64
    )
    init.initialize(conv, "delta_orthogonal", gain=1.5, seed=1)
    x = torch.randn(3, 4, *(6,) * dims, generator=source()).double()
    y = conv(x).detach()
    torch.testing.assert_close(
        y.flatten(1).norm(dim=1), 1.5 * x.flatten(1).norm(dim=1)
    )
    # orthogonal_ on the flattened kernel does not keep norms
    if kernel > 1:
        init.initialize(conv, "orthogonal", seed=1)
        ratio = conv(x).detach().flatten(1).norm(dim=1) / x.flatten(1).norm(
            dim=1
        )
        assert float((ratio - 1).abs().max()) > 0.02


def test_double_counting_makes_the_singular_values_small():
    w = torch.empty(256, 784, dtype=torch.float64)
    SCHEMES["double_counted_orthogonal"](w, generator=source())
    s = init.singular_values(w)
    torch.testing.assert_close(
        s, torch.full_like(s, math.sqrt(2 / 784)), rtol=1e-10, atol=0
    )


def test_constant_variance_ignores_the_fan():
    for shape in [(256, 784), (10, 64), (8, 4, 3, 3)]:
        w = torch.empty(shape, dtype=torch.float64)
        SCHEMES["constant_variance"](w, generator=source())
        assert float(w.var(correction=0)) == pytest.approx(0.81, rel=1e-12)
    w = torch.empty(256, 784, dtype=torch.float64)
    SCHEMES["constant_variance"](w, generator=source())
    top = init.spectral_norm(w)
    assert top == pytest.approx(0.9 * (math.sqrt(784) + 16), rel=0.02)


@pytest.mark.parametrize("name", SCHEMES)
def test_every_scheme_is_seeded_and_leaves_the_global_generator(name):
    before = torch.random.get_rng_state()
    make = lambda g: SCHEMES[name](torch.empty(8, 6, 3), generator=g)  # noqa: E731
    torch.testing.assert_close(make(source()), make(source()), rtol=0, atol=0)
    if name != "zero_hadamard":  # it draws nothing
        assert not torch.equal(make(source(1)), make(source(2)))
        g = source(1)
        assert not torch.equal(make(g), make(g))
        assert not torch.equal(make(None), make(None))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("name", SCHEMES)
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(name, dtype):
    w = SCHEMES[name](torch.empty(6, 4, dtype=dtype), generator=source())
    assert w.dtype == dtype
    assert torch.isfinite(w).all()


@pytest.mark.parametrize("name", SCHEMES)
def test_bad_tensors(name):
    with pytest.raises(ValueError, match="axes"):
        SCHEMES[name](torch.empty(5))
    with pytest.raises((ValueError, TypeError), match=r"non-empty|no number"):
        SCHEMES[name](torch.empty(0, 5))
    with pytest.raises(TypeError, match="floating point"):
        SCHEMES[name](torch.zeros(3, 4, dtype=torch.int64))
    with pytest.raises(TypeError, match="tensor"):
        SCHEMES[name]([[1.0, 2.0]])
    if "gain" in inspect.signature(SCHEMES[name]).parameters:
        with pytest.raises(ValueError, match="gain"):
            SCHEMES[name](torch.empty(5, 4), gain=-1.0)


CALLS = {**SCHEMES, "truncated_normal": init.truncated_normal}
WRONG = [
    ({"generator": 3}, r"torch.Generator"),
    ({"gain": -1.0}, "gain must be greater"),
    ({"gain": True}, "gain must be a number"),
    ({"dtype": torch.int64}, "floating point"),
    ({"dtype": torch.complex64}, "floating point"),
    ({"dtype": torch.float8_e4m3fn}, "draws no random numbers"),
    ({"device": "meta"}, "meta device"),
]


@pytest.mark.parametrize(
    ("name", "change", "error"),
    [
        (name, change, error)
        for name, scheme in CALLS.items()
        for change, error in WRONG
        for key in change
        if key in ("dtype", "device")
        or key in inspect.signature(scheme).parameters
        if (name, key) != ("zero_hadamard", "generator")  # draws nothing
    ],
    ids=str,
)
def test_nothing_is_written_before_a_refusal(name, change, error):
    scheme = CALLS[name]
    like = {k: v for k, v in change.items() if k in ("dtype", "device")}
    options = {} if like else change
    w = torch.ones(6, 4, 3).to(**like)
    with pytest.raises((TypeError, ValueError), match=error):
        scheme(w, **options)
    if not like.get("device"):
        assert (w.to(torch.complex64) == 1).all()


@pytest.mark.parametrize(
    ("name", "shape"), [(n, s) for n in SCHEMES for s in ((8, 6, 3, 5),)]
)
def test_a_seed_is_one_start_in_every_memory_format(name, shape):
    plain = SCHEMES[name](torch.empty(shape), generator=source())
    layouts = {
        "channels_last": torch.empty(shape).to(
            memory_format=torch.channels_last
        ),
        "transposed": torch.empty(shape).permute(1, 0, 2, 3).contiguous()
        .permute(1, 0, 2, 3),
        "strided": torch.empty(*shape, 2)[..., 1],
    }  # fmt: skip
    for other in layouts.values():
        assert not other.is_contiguous()
        strides = other.stride()
        SCHEMES[name](other, generator=source())
        assert torch.equal(other, plain)
        assert other.stride() == strides


def test_bad_options():
    w = torch.empty(4, 4)
    for bad in (0, -1, math.nan, True, "3"):
        with pytest.raises((TypeError, ValueError), match="fan_in"):
            init.variance_of("lecun_normal", bad, 4)
        with pytest.raises((TypeError, ValueError), match="fan_out"):
            init.variance_of("lecun_normal", 4, bad)
    with pytest.raises(ValueError, match="rows"):
        init.haar(-1, 2)
    with pytest.raises(ValueError, match="columns"):
        init.haar(2, 0)
    with pytest.raises(ValueError, match="did you mean 'fan_in'"):
        init.kaiming_normal(w, mode="fanin")
    with pytest.raises(ValueError, match="did you mean 'leaky_relu'"):
        init.kaiming_normal(w, nonlinearity="leakyrelu")
    with pytest.raises(ValueError, match="no slope"):
        init.gain_of("relu", 0.1)
    with pytest.raises(ValueError, match="not both"):
        init.kaiming_normal(w, gain=1.0, slope=0.1)
    with pytest.raises(ValueError, match="c_out >= c_in"):
        init.delta_orthogonal(torch.empty(3, 4, 3))
    with pytest.raises(ValueError, match="variance"):
        init.constant_variance(w, variance=0.0)
    with pytest.raises(TypeError, match="no fans are known for ReLU"):
        init.fans_of(nn.ReLU())


def test_stride_counts_links():
    """The mean number of links, counted with weights of one."""
    layer = nn.ConvTranspose2d(3, 4, 4, stride=2, bias=False)
    nn.init.ones_(layer.weight)
    y = layer(torch.ones(1, 3, 12, 12))
    inside = y[..., 6:-6, 6:-6]
    assert inside.detach().mean() == init.fans_of(layer, strides=True).fan_in
    conv = nn.Conv2d(3, 4, 4, stride=2, bias=False)
    nn.init.ones_(conv.weight)
    x = torch.ones(1, 3, 26, 26, requires_grad=True)
    conv(x).sum().backward()
    inside = x.grad[..., 6:-6, 6:-6]
    assert float(inside.mean()) == init.fans_of(conv, strides=True).fan_out
