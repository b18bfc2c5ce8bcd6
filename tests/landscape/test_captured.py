"""The way that repeats a model's operations, beside the slow way."""

import ctypes
from itertools import product
from threading import Event, Thread

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from dldna import params
from dldna.landscape import surface
from dldna.landscape.evaluate import choose
from dldna.landscape.evaluate.captured import Captured
from dldna.landscape.evaluate.tape import record

CROSS = F.cross_entropy


class Block(nn.Module):
    """A small network around something special."""

    def __init__(self, middle, width=6):
        super().__init__()
        self.first, self.last = nn.Linear(5, width), nn.Linear(width, 3)
        self.middle = middle

    def forward(self, x):
        return self.last(self.middle(self.first(x)))


class Own(nn.Module):
    """A middle with weights of its own, and what it does with them."""

    def __init__(self, does):
        super().__init__()
        self.w = nn.Parameter(torch.rand(6, 6))
        self.does = does

    def forward(self, x):
        return self.does(x, self.w)


def in_parts(x, w):
    made = torch.zeros(len(x), 6).to(x)
    made[:, :2] = x[:, 2:4]
    made[:, 2:].add_(x[:, :4] * w[0, :4])
    return made


def counted_up(x, w):
    sums = torch.zeros(4, 6, dtype=x.dtype)
    return x + sums.index_add_(0, torch.arange(len(x)) % 4, x * w[0])[:1]


def through_a_view(x, w):
    rows = x.clone()
    first = rows[:, :3]
    first.mul_(w[0, :3])
    return rows.relu_()


def of_one_matrix(x, w):
    return torch.bmm(x[:, None], w.expand(len(x), 6, 6))[:, 0]


def expert(x, w):
    return torch.where((x > 0).any(1, keepdim=True), x @ w, x - w[0])


def attended(x, w):
    q = x.view(1, 1, -1, 6)
    return F.scaled_dot_product_attention(q, q @ w, q)[0, 0]


def masked(x, w):
    q, n = x.view(1, 2, -1, 3), len(x)
    mask = w[0, 0] * torch.arange(n).to(x).expand(n, n)
    return F.scaled_dot_product_attention(q, q, q, mask).reshape(n, 6)


def causal(x, w):
    q = (x * w[0]).view(1, 2, -1, 3)
    return F.scaled_dot_product_attention(
        q, q, q, is_causal=True, scale=0.3
    ).reshape(len(x), 6)


def shortened(x, w):
    return F.conv1d(x[:, None], w[:2, None, :3], w[0, :2], padding=1)[:, 1]


def by_data(x, w):
    """``.data`` is read past torch's operations."""
    return x * w.data[0] + (x @ w).data


def by_diagonal(x, w):
    return x * torch.as_strided(w.data, (6,), (7,))


def by_squares(x, w):
    """Twice the same factor: not linear."""
    return x * (w * w)[0] + (w @ w)[0] + w[1] / w[1]


def with_a_number_added(x, w):
    return torch.addmm(w[0, 0], x, w)


def by_set_data(x, w):
    """An activation takes other memory."""
    made = x @ w
    made.data = made.data.clamp(-1, 1)
    return made


def as_other_numbers(x, w):
    """The same memory, read as whole numbers and again as it is."""
    row = w[0].clone()
    return x * (row.view(torch.int64) > 0) * row.data


def rarely(cases, but):
    """Cases of the whole table alone, but for some."""
    return [
        pytest.param(*case, marks=() if case in but else pytest.mark.full)
        for case in cases
    ]


REPEATED = {
    f.__name__: f
    for f in (
        in_parts, counted_up, through_a_view, of_one_matrix, expert,
        attended, masked, causal, shortened, by_data, by_diagonal,
        by_set_data, as_other_numbers, by_squares, with_a_number_added,
    )
}  # fmt: skip


def by_number(x, w):
    return x * 2 if float(w.sum()) > 17 else x


def by_size(x, w):
    return x + x[x > w[0]].mean()


def by_numpy(x, w):
    return x * torch.from_numpy(np.cos(w.detach().numpy()[0]))


def by_list(x, w):
    return x * torch.tensor(w[0].tolist(), dtype=x.dtype)


def by_chance(x, w):
    return x + w[0] * torch.rand(6, dtype=x.dtype)


def by_dropout(x, w):
    return F.dropout(x * w[0], 0.5, training=True)


# the same at the points where ways are compared, not elsewhere
def by_rounded_list(x, w):
    return x * w[0] * torch.tensor([w.sum().round() > 17], dtype=x.dtype)


def by_array(x, w):
    return x * w[0] * float(np.round(w.data.numpy().max()))


def by_address(x, w):
    numbers = ctypes.cast(w.data_ptr(), ctypes.POINTER(ctypes.c_double))
    return x * w[0] * round(numbers[0])


def by_bytes(x, w):
    return x * w[0] * round(np.frombuffer(bytes(w.untyped_storage()))[0])


def by_pieces(x, w):
    first, *_ = torch.tensor_split(x, w[0].argmax().view(1), dim=1)
    return x * w[0] + first.shape[1]


def by_zeros(x, w):
    return x * w[0] * (w > 1.2).to_sparse()._nnz()


def by_own_generator(x, w):
    g = torch.Generator().manual_seed(1)
    return x * w[0] + torch.empty_like(w[0]).normal_(generator=g)


REFUSED = {
    f.__name__: f
    for f in (
        by_number, by_size, by_numpy, by_list, by_chance, by_dropout,
        by_rounded_list, by_array, by_address, by_bytes,
        by_pieces, by_zeros, by_own_generator,
    )
}  # fmt: skip


RARE = (
    "by_set_data", "as_other_numbers", "with_a_number_added", "by_array",
    "by_bytes", "by_zeros", "by_own_generator",
)  # fmt: skip


def setting(model, dtype=torch.float64, names=(), n=(9, 7)):
    g = torch.Generator().manual_seed(3)
    model.to(dtype)
    data = [
        (
            torch.randn(k, 5, generator=g, dtype=dtype),
            torch.randint(3, (k,), generator=g),
        )
        for k in n
    ]
    # not the model's own numbers
    origin = {k: v * 1.1 + 0.02 for k, v in params.of(model).items()}
    directions = [
        {
            k: torch.randn(v.shape, generator=g, dtype=dtype)
            * (0.3 if not names or k.startswith(names) else 0)
            for k, v in origin.items()
        }
        for _ in "ab"
    ]
    return model, CROSS, data, origin, directions


def points():
    axis = torch.linspace(-1, 1, 4, dtype=torch.float64)
    return torch.cartesian_prod(axis, axis)


def written(model, loss_fn, data, origin, directions, anew=lambda: None):
    """A plain loop that writes the weights: the oracle."""
    own = {k: p.detach().clone() for k, p in model.named_parameters()}
    losses, model = [], model.eval()
    with torch.no_grad():
        for a, b in points().tolist():
            anew()
            for k, p in model.named_parameters():
                d, e = (x[k] for x in directions)
                p.copy_(origin[k] + a * d + b * e)
            values = [float(loss_fn(model(x), y)) for x, y in data]
            losses.append(
                np.average(values, weights=[len(y) for _, y in data])
            )
        for k, p in model.named_parameters():
            p.copy_(own[k])
    return np.array(losses)


def small(monkeypatch, fewest):
    """Points one by one, or many mapped."""
    monkeypatch.setattr("dldna.landscape.evaluate.captured.FEWEST", fewest)


@pytest.mark.parametrize("fewest", [1, 1e9], ids=["mapped", "one by one"])
@pytest.mark.parametrize("names", [(), ("middle",), ("last", "first.bias")])
@pytest.mark.parametrize(
    "does", rarely(zip(REPEATED), but={*zip(REPEATED)} - {*zip(RARE)})
)
def test_operations_are_repeated_right(does, names, fewest, monkeypatch):
    small(monkeypatch, fewest)
    given = setting(Block(Own(REPEATED[does])), names=names)
    true = written(*given)
    before = params.copy(params.of(given[0]))
    found = choose(*given, way="captured")
    np.testing.assert_allclose(found(points())["loss"], true, rtol=1e-12)
    assert params.norm(params.sub(before, params.of(given[0]))) == 0


@pytest.mark.parametrize(
    "does", rarely(zip(REFUSED), but={*zip(REFUSED)} - {*zip(RARE)})
)
def test_what_cannot_be_repeated_takes_the_slow_way(does):
    given = setting(Block(Own(REFUSED[does])))
    found = choose(*given)
    assert found.name != "captured"
    if does not in ("by_chance", "by_dropout"):
        true = written(*given)
        np.testing.assert_allclose(found(points())["loss"], true, rtol=1e-12)
    with pytest.raises(ValueError, match="way='captured' does not fit"):
        choose(*given, way="captured")


@pytest.mark.parametrize(
    ("middle", "way"),
    [
        (lambda: nn.BatchNorm1d(6), "eval"),
        (lambda: nn.BatchNorm1d(6, track_running_stats=False), "eval"),
        (lambda: nn.Sequential(nn.LayerNorm(6), nn.GELU()), "eval"),
        (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(6, 6)), ""),
        (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(6, 6)), ""),
        (lambda: nn.TransformerEncoderLayer(6, 2, 8, 0.1), ""),
    ],
)
def test_layers_with_more_than_a_product(middle, way):
    given = setting(Block(middle()))
    given[0].train()(torch.randn(40, 5, dtype=torch.float64))
    true = written(*given)
    found = choose(*given, way="captured")
    assert found.at_once > 1, found.notes
    np.testing.assert_allclose(found(points())["loss"], true, rtol=1e-12)


class Late(nn.Module):
    """Something else with large batches, or with the third one."""

    def __init__(self, does):
        super().__init__()
        self.w, self.does = nn.Parameter(torch.rand(6, 6)), does
        self.runs, self.last = 0, 0.0

    def forward(self, x):
        self.runs += 1
        return self.does(self, x)


def third(self, x):
    return x @ self.w * (2 if self.runs > 2 else 1)


def taken_over(self, x):
    made = x @ self.w
    if len(x) > 20:
        made, self.last = made + self.last, made[0]
    return made


@pytest.mark.parametrize("does", [third, taken_over])
def test_what_large_or_later_batches_do_is_found_out(does):
    model, loss, data, origin, directions = setting(
        Block(Late(does)), n=(40, 30, 36)
    )
    given = model, loss, data, origin, directions

    def anew():
        model.middle.runs, model.middle.last = 0, 0.0

    true = written(*given, anew=anew)
    anew()
    found = choose(*given)
    np.testing.assert_allclose(found(points())["loss"], true, rtol=1e-12)


def clipped(x, w):
    w.data.clamp_(0.3, 0.6)
    return x @ w


def taking_other_memory(x, w):
    w.data = w.data.clamp(0.3, 0.6)
    return x @ w


def decayed(x, w):
    """Each batch finds what the last one has left."""
    w.data.mul_(0.99)
    return x @ w


WRITES = rarely(
    product(
        (clipped, taking_other_memory, decayed),
        (None, "float64"),
        ((), ("last",)),
        ((9,), (9, 7)),
    ),
    but=[(clipped, "float64", (), (9, 7)), (decayed, None, (), (9, 7))],
)


@pytest.mark.parametrize(("does", "dtype", "names", "n"), WRITES)
def test_weights_that_a_forward_writes_come_back(does, dtype, names, n):
    model, *rest = setting(Block(Own(does)), names=names, n=n)
    true = written(model, *rest)
    if dtype:
        model.float()
    for way in ("slow", "auto"):
        found = choose(model, *rest, dtype=dtype, way=way)
        for _ in range(2):
            values = found(points())["loss"]
            np.testing.assert_allclose(values, true, rtol=1e-12)


def test_switches_of_torch_stay_with_threads():
    inside, both, done = Event(), Event(), Event()
    mha, w = torch.backends.mha, torch.ones(2)
    before = mha.get_fastpath_enabled()

    def first():
        inside.set()
        both.wait(0.1)  # the second has to wait for its turn
        return (w.sum(),)

    def second():
        both.set()
        done.wait(1)
        return (w.sum(),)

    one, two = (
        Thread(target=record, args=(run, {"w": w}, 1e6))
        for run in (first, second)
    )
    one.start()
    inside.wait(1)
    two.start()
    one.join()
    done.set()
    two.join()
    assert mha.get_fastpath_enabled() == before


def test_running_variances_below_0_are_0():
    given = setting(Block(nn.BatchNorm1d(6)))
    buffers = {
        k: v for k, v in given[0].named_buffers() if v.is_floating_point()
    }
    steps = [
        {k: -1.5 * torch.ones_like(v) for k, v in buffers.items()},
        buffers,
    ]
    options = {"statistics": "interpolate", "buffer_directions": steps}
    fast, slow = (
        choose(*given, way=way, **options) for way in ("captured", "slow")
    )
    np.testing.assert_allclose(
        fast(points())["loss"], slow(points())["loss"], rtol=1e-12
    )


def test_a_loss_that_reads_the_weights():
    model, _, data, origin, directions = setting(Block(nn.Tanh()))

    def loss(output, target):
        squares = [p.square().sum() for p in model.parameters()]
        return F.cross_entropy(output, target) + 0.1 * sum(squares)

    given = model, loss, data, origin, directions
    true = written(*given)
    found = choose(*given)
    assert found.name == "captured"
    np.testing.assert_allclose(found(points())["loss"], true, rtol=1e-12)


def test_a_small_penalty_is_not_taken_for_linear():
    """Its share is too small to be seen near the centre."""
    model, _, *rest = setting(Block(nn.Tanh()))

    def loss(output, target):
        squares = [(p * p).sum() for p in model.parameters()]
        return F.cross_entropy(output, target) + 1e-7 * sum(squares)

    true = written(model, loss, *rest)
    found = choose(model, loss, *rest)
    assert found.name == "captured"
    np.testing.assert_allclose(found(points())["loss"], true, rtol=1e-12)


def test_metrics_are_repeated_too():
    given = setting(Block(nn.Tanh()))
    metrics = {
        "accuracy": lambda out, b: (out.argmax(1) == b[1]).double().mean(),
        "size": lambda out, b: out.square().mean(),
    }
    fast, slow = (
        choose(*given, metrics=metrics, way=way)(points())
        for way in ("captured", "slow")
    )
    for name in ("loss", *metrics):
        np.testing.assert_allclose(fast[name], slow[name], rtol=1e-12)


def test_what_cannot_be_mapped_goes_one_by_one():
    given = setting(Block(Own(in_parts)))
    found = choose(*given, way="captured")
    assert found.at_once == 1
    assert "inplace" in found.notes["not mapped"]


def test_a_front_that_stands_still_is_not_run_again():
    runs = []

    def note(x):
        runs.append(len(x))
        return x

    model = Block(nn.Tanh())
    model.first.register_forward_hook(lambda m, i, o: note(o))
    given = setting(model, names=("last",))
    found = choose(*given)
    assert found.name == "captured"
    runs.clear()
    true = written(*given)
    runs.clear()
    np.testing.assert_allclose(found(points())["loss"], true, rtol=1e-12)
    assert not runs
    assert [n.op for n in found.parts[0].tape.graph.nodes].count(
        "placeholder"
    ) == 1


def test_too_little_room_is_said():
    given = setting(Block(nn.Tanh()))
    with pytest.raises(ValueError, match="too much memory"):
        choose(*given, way="captured", memory=100.0)


def test_the_random_state_stays():
    given = setting(Block(nn.Dropout(0.5)))
    torch.manual_seed(5)
    before = torch.get_rng_state()
    choose(*given, way="captured")(points())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_tape_holds_what_moves_alone():
    w, x = torch.rand(3, 2), torch.rand(5, 3)
    tape = record(lambda: ((x.sin() @ w).sum(), 1.0), {"w": w}, 1e6)
    called = [n for n in tape.graph.nodes if n.op == "call_function"]
    assert [str(n.target) for n in called] == [
        "aten.mm.default", "aten.sum.default"
    ]  # fmt: skip
    assert list(tape.leaves) == ["w"]
    assert tape.size == 5 * 2 * 4 + 4


def test_the_first_product_is_a_sum_of_terms():
    given = setting(Block(nn.Tanh()))
    part = choose(*given, way="captured").parts[0]
    names = [str(n.target) for n in part.tape.graph.nodes]
    assert names.count("aten.addmm.default") == 1  # the last one alone
    assert isinstance(part.leaves[0], list)


def test_a_stranger_s_model_says_its_way():
    model = Block(nn.Sequential(nn.LayerNorm(6), nn.GELU())).float()
    x, y = torch.randn(8, 5), torch.randint(3, (8,))
    found = surface(model, CROSS, [(x, y)], resolution=3, seed=0)
    assert found.way == "captured"
    assert Captured.name == "captured"


@pytest.mark.full
def test_a_compiled_model_runs_as_it_is_written():
    """And what torch dispatches afterwards is what it was before."""
    net = Block(nn.Sequential(nn.LayerNorm(6), nn.GELU()))
    given = setting(torch.compile(net, backend="eager"))
    before = torch._C._dispatch_tls_local_exclude_set()
    true = written(*given)
    found = choose(*given, way="captured")
    np.testing.assert_allclose(found(points())["loss"], true, rtol=1e-12)
    assert torch._C._dispatch_tls_local_exclude_set() == before
    assert (2 * torch.ones(1, requires_grad=True)).requires_grad
