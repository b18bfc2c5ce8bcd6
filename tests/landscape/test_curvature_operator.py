"""Products with the Hessian and the Gauss-Newton matrix."""

import warnings

import pytest
import torch
from torch import nn
from torch.func import functional_call, jacrev

from dldna import params
from dldna.landscape.curvature import Operator, verification
from dldna.landscape.curvature import operator as operator_file
from dldna.objective import pieces


def small(activation=nn.Tanh):
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(4, 5), activation(), nn.Linear(5, 3))
    return net.double()


def labelled(n=12, width=4, classes=3):
    g = torch.Generator().manual_seed(2)
    x = torch.randn(n, width, generator=g, dtype=torch.float64)
    return x, torch.randint(0, classes, (n,), generator=g)


def dense(model, loss_fn, x, y):
    """The whole Hessian by torch.func, in the order of the parameters."""
    point = params.copy(params.of(model))
    flat = params.flatten(point)

    def f(w):
        out = functional_call(model, params.unflatten(w, point), (x,))
        return loss_fn(out, y)

    return jacrev(jacrev(f))(flat)


def by_differences(operator, h=1e-5):
    """The whole matrix from central differences of gradients."""
    w = operator.flat(operator.point)
    rows = []
    for e in torch.eye(operator.n, dtype=w.dtype):
        up, down = (
            operator.gradient(operator.cut(w + s * e)) for s in (h, -h)
        )
        rows.append((up - down) / (2 * h))
    return torch.stack(rows)


def columns(operator):
    return operator @ torch.eye(operator.n, dtype=operator.dtype)


CE = nn.functional.cross_entropy


@pytest.mark.parametrize("way", ["reverse", "linearize", "forward"])
def test_hessian_equals_the_dense_one(way):
    model, (x, y) = small(), labelled()
    h = columns(Operator(model, CE, (x, y), way=way))
    torch.testing.assert_close(h, dense(model, CE, x, y))


@pytest.mark.parametrize("matrix", ["hessian", "gauss-newton"])
def test_an_unused_parameter_gives_plain_zeros(matrix):
    """torch 2.4 fills them in with zeros that ask for a gradient."""
    model, (x, y) = small(), labelled()
    model.unused = nn.Linear(2, 1).double()
    model.forward = lambda x: model[2](model[1](model[0](x)))
    op = Operator(model, CE, (x, y), matrix=matrix, way="reverse")
    for found in (op @ torch.ones(op.n, dtype=op.dtype), op.gradient()):
        assert not found.requires_grad
        assert not found[-3:].any()


def test_products_are_differences_of_gradients():
    model, data = small(), labelled()
    op = Operator(model, CE, data)
    torch.testing.assert_close(
        columns(op), by_differences(op), rtol=1e-5, atol=1e-7
    )


def test_gradient_and_loss_are_autograd_s():
    model, (x, y) = small(), labelled()
    op = Operator(model, CE, [(x[:5], y[:5]), (x[5:], y[5:])])
    loss = CE(model(x), y)
    g = torch.autograd.grad(loss, list(model.parameters()))
    expected = torch.cat([a.flatten() for a in g])
    torch.testing.assert_close(op.gradient(), expected)
    assert op.loss() == pytest.approx(loss.item(), rel=1e-12)


@pytest.mark.parametrize("loss_fn", [CE, nn.MSELoss()])
def test_gauss_newton_equals_the_explicit_product(loss_fn):
    model, (x, y) = small(), labelled()
    if loss_fn is not CE:
        y = torch.randn(12, 3, dtype=torch.float64)
    point = params.copy(params.of(model))

    def outputs(w):
        p = params.unflatten(w, point)
        return functional_call(model, p, (x,)).flatten()

    z = outputs(params.flatten(point))
    jacobian = jacrev(outputs)(params.flatten(point))
    middle = jacrev(jacrev(lambda a: loss_fn(a.view(12, 3), y)))(z)
    op = Operator(model, loss_fn, (x, y), matrix="gauss-newton")
    torch.testing.assert_close(
        columns(op), jacobian.T @ middle @ jacobian, atol=1e-10, rtol=1e-8
    )


def test_gauss_newton_differs_from_the_hessian_and_has_no_negative():
    model, data = small(), labelled()
    g = columns(Operator(model, CE, data, matrix="gauss-newton"))
    h = columns(Operator(model, CE, data))
    assert torch.linalg.eigvalsh(g).min() > -1e-12
    assert torch.linalg.eigvalsh(h).min() < -1e-3


@pytest.mark.parametrize("matrix", ["hessian", "gauss-newton"])
@pytest.mark.parametrize("merge", [1, 256])
def test_batches_of_unequal_size_sum_to_the_whole(matrix, merge, monkeypatch):
    monkeypatch.setattr(pieces, "MERGE", merge)
    model, (x, y) = small(), labelled()
    whole = columns(Operator(model, CE, (x, y), matrix=matrix))
    parts = [(x[:2], y[:2]), (x[2:], y[2:])]
    op = Operator(model, CE, parts, matrix=matrix)
    assert len(op.batches) == (2 if merge == 1 else 1)
    torch.testing.assert_close(columns(op), whole)


def test_graphs_that_do_not_fit_are_built_again(monkeypatch):
    monkeypatch.setattr(verification, "KEEP_BYTES", 1)
    monkeypatch.setattr(pieces, "MERGE", 1)
    model, (x, y) = small(), labelled()
    op = Operator(model, CE, [(x[:6], y[:6]), (x[6:], y[6:])])
    assert not op.keeps
    torch.testing.assert_close(columns(op), dense(model, CE, x, y))


def test_a_single_batch_keeps_its_graph():
    op = Operator(small(), CE, labelled())
    v = torch.randn(op.n, dtype=torch.float64)
    assert op._product(0) is op._product(0)
    torch.testing.assert_close(op @ v, op @ v, rtol=0, atol=0)
    assert op.products == 2


def test_slices_add_up_and_give_their_own_forms():
    model, (x, y) = small(), labelled()
    op = Operator(model, CE, (x, y))
    rows = torch.randn(2, op.n, dtype=torch.float64)
    whole, forms, weights = op.over_batches(rows, parts=3)
    torch.testing.assert_close(whole, (op @ rows.T).T)
    assert forms.shape == (3, 2)
    torch.testing.assert_close(weights @ forms, (whole * rows).sum(1))
    first = Operator(model, CE, (x[:4], y[:4]))
    torch.testing.assert_close(forms[0, 0], rows[0] @ (first @ rows[0]))


@pytest.mark.filterwarnings("ignore:the loss total of two batches")
def test_small_batches_are_joined_only_where_the_loss_is_a_mean():
    model, (x, y) = small(), labelled()
    parts = [(x[i : i + 3], y[i : i + 3]) for i in range(0, 12, 3)]
    assert len(Operator(model, CE, parts).batches) == 1

    def total(output, target):
        return CE(output, target, reduction="sum")

    assert len(Operator(model, total, parts).batches) == 4
    assert len(Operator(model, CE, parts, statistics="train").batches) == 4
    ragged = [x[:4], x[4:8], x[8:].view(2, 2, 4)]
    assert len(Operator(model, lambda z, b: z.mean(), ragged).batches) == 3
    big = [(x.repeat(20, 1), y.repeat(20))] * 3
    assert len(Operator(model, CE, big).batches) == 3


def test_a_sum_is_not_cut_into_slices():
    model, (x, y) = small(), labelled()

    def total(output, target):
        return CE(output, target, reduction="sum")

    op = Operator(model, total, (x, y))
    rows = torch.randn(1, op.n, dtype=torch.float64)
    whole, forms, _ = op.over_batches(rows, parts=3)
    assert forms.shape == (1, 1)
    torch.testing.assert_close(whole[0], op @ rows[0])


def test_adaptive_multiplies_both_sides():
    model, (x, y) = small(), labelled()
    h = dense(model, CE, x, y)
    w = params.flatten(params.of(model)).abs()
    op = Operator(model, CE, (x, y), adaptive=True)
    torch.testing.assert_close(columns(op), w[:, None] * h * w)
    whole, _, _ = op.over_batches(torch.eye(op.n).double(), parts=3)
    torch.testing.assert_close(whole, w[:, None] * h * w)


def test_named_parameters_give_their_block():
    model, (x, y) = small(), labelled()
    op = Operator(model, CE, (x, y), params=["2.weight", "2.bias"])
    torch.testing.assert_close(columns(op), dense(model, CE, x, y)[25:, 25:])


def test_frozen_parameters_are_left_out_unless_all_are():
    model, data = small(), labelled()
    model[0].requires_grad_(False)
    assert Operator(model, CE, data).names == ["2.weight", "2.bias"]
    model.requires_grad_(False)
    assert Operator(model, CE, data).n == 43


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 4, bias=False)
        self.b = nn.Linear(4, 4, bias=False)
        self.b.weight = self.a.weight

    def forward(self, x):
        return self.b(torch.tanh(self.a(x)))


def test_tied_parameters_count_once():
    model = Tied().double()
    x, y = labelled(classes=4)
    op = Operator(model, CE, (x, y))
    assert op.n == 16

    def f(w):
        w = w.view(4, 4)
        return CE(torch.tanh(x @ w.T) @ w.T, y)

    expected = jacrev(jacrev(f))(model.a.weight.detach().flatten())
    torch.testing.assert_close(columns(op), expected)


def test_one_module_in_two_places_counts_once_and_stays():
    act = nn.PReLU()
    model = nn.Sequential(
        nn.Linear(4, 3), act, nn.Linear(3, 3), act, nn.Linear(3, 3)
    ).double()
    own = list(model.parameters())
    op = Operator(model, CE, labelled())
    assert op.n == 15 + 1 + 12 + 12
    torch.testing.assert_close(
        columns(op), by_differences(op), rtol=1e-5, atol=1e-7
    )
    assert all(a is b for a, b in zip(own, model.parameters(), strict=True))


@pytest.mark.parametrize("way", ["auto", "reverse", "linearize", "forward"])
def test_convolutions_and_batch_norm_in_eval_mode(way, monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3),
        nn.BatchNorm2d(2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(8, 3),
    ).double()
    model(torch.randn(9, 1, 6, 6, dtype=torch.float64))  # statistics
    x = torch.randn(6, 1, 6, 6, dtype=torch.float64)
    y = torch.tensor([0, 1, 2, 0, 1, 2])
    op = Operator(model, CE, (x, y), way=way)
    monkeypatch.setattr(operator_file, "TRACE_AFTER", 60)
    h = columns(op)  # the tenth product traces
    assert op.way == ("linearize" if way == "auto" else way)
    assert model.training
    model.eval()
    torch.testing.assert_close(h, dense(model, CE, x, y))


def test_train_mode_uses_the_batch_s_statistics_and_keeps_the_running_ones():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3)).double().eval()
    x, y = labelled()
    before = model[1].running_mean.clone()
    op = Operator(model, CE, (x, y), statistics="train")
    h = columns(op)
    assert torch.equal(model[1].running_mean, before)
    assert not model.training
    torch.testing.assert_close(h, by_differences(op), rtol=1e-6, atol=1e-7)


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        layer = nn.TransformerEncoderLayer(4, 2, 6, 0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(
            layer, 1, enable_nested_tensor=False
        )
        self.head = nn.Linear(4, 7)

    def forward(self, tokens, scale):
        return self.head(self.encoder(self.embed(tokens) * scale))


@pytest.mark.parametrize("way", ["reverse", "forward"])
def test_a_transformer_with_dict_batches_and_its_own_loss(way):
    torch.manual_seed(0)
    model = Named().double()
    tokens = torch.randint(0, 7, (3, 5))
    batch = {
        "tokens": tokens,
        "scale": torch.tensor(2.0, dtype=torch.float64),
        "labels": tokens.roll(1, 1),
    }

    def loss(output, batch):
        return CE(output.flatten(0, 1), batch["labels"].flatten())

    names = ["encoder.layers.0.self_attn.in_proj_weight", "head.bias"]
    op = Operator(model, loss, [batch], way=way, params=names)
    torch.testing.assert_close(
        columns(op), by_differences(op), rtol=1e-5, atol=1e-7
    )


def test_what_cannot_be_traced_falls_back_to_reverse(monkeypatch):
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv1d(1, 2, 2)

        def forward(self, x):
            z = self.conv(x).square().mean(2)
            return z * 2 if z.sum().item() > 0 else z

    model = Branch().double()
    x, y = torch.randn(5, 1, 4).double(), torch.randint(0, 2, (5,))
    monkeypatch.setattr(operator_file, "TRACE_AFTER", 10)
    op = Operator(model, CE, (x, y))
    h = columns(op)
    assert op.way == "reverse"
    torch.testing.assert_close(h, dense(model, CE, x, y))


def test_unused_and_linear_parameters_have_zero_curvature():
    model = nn.Linear(3, 1).double()
    op = Operator(model, lambda output, batch: output.mean(), torch.ones(2, 3))
    assert float((op @ torch.ones(4)).abs().max()) == 0.0
    model.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
    op = Operator(model, nn.MSELoss(), (torch.ones(2, 3), torch.ones(2, 1)))
    assert op.n == 6
    assert float((op @ torch.eye(6))[-2:].abs().max()) < 4


def test_float64_on_request_is_exact_and_float32_is_the_default():
    model, (x, y) = small().float(), labelled()
    op = Operator(model, CE, (x.float(), y), dtype=torch.float64)
    assert (op @ torch.ones(op.n)).dtype == torch.float64
    twin = small().float().double()
    expected = dense(twin, CE, x.float().double(), y)
    torch.testing.assert_close(columns(op), expected)
    assert model[0].weight.dtype == torch.float32
    assert Operator(model, CE, (x.float(), y)).dtype == torch.float32


def test_the_model_is_not_written_to():
    model, data = small().train(), labelled()
    CE(model(data[0]), data[1]).backward()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    grads = [p.grad.clone() for p in model.parameters()]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        columns(Operator(model, CE, data))
    for k, v in model.state_dict().items():
        assert torch.equal(v, before[k])
    for p, g in zip(model.parameters(), grads, strict=True):
        assert torch.equal(p.grad, g)
    assert model.training


def test_bad_input_is_named():
    model, (x, y) = small(), labelled()
    with pytest.raises(ValueError, match="did you mean 'gauss-newton'"):
        Operator(model, CE, (x, y), matrix="gauss newton")
    with pytest.raises(ValueError, match=r"did you mean '2\.weight'"):
        Operator(model, CE, (x, y), params=["2.weigth"])
    with pytest.raises(ValueError, match="names no parameter"):
        Operator(model, CE, (x, y), params=[])
    with pytest.raises(ValueError, match="empty"):
        Operator(model, CE, [])
    with pytest.raises(ValueError, match="loss is nan on batch 0"):
        Operator(model, CE, (x * float("nan"), y))
    with pytest.raises((ValueError, TypeError), match=r"must .* a tensor"):
        Operator(model, lambda output, batch: "low", (x, y))
    with pytest.raises(ValueError, match="the loss has no gradient"):
        Operator(model, lambda output, batch: output.detach().sum(), (x, y))
    with pytest.raises(ValueError, match="no parameters"):
        Operator(nn.ReLU(), CE, (x, y))
    with pytest.raises(ValueError, match="Known: float32, float64"):
        Operator(model, CE, (x, y), dtype=torch.float16)
    with pytest.raises(ValueError, match=r"shape \(43,\)"):
        Operator(model, CE, (x, y)) @ torch.ones(7)
    with pytest.raises(ValueError, match="serves the Hessian only"):
        Operator(model, CE, (x, y), matrix="gauss-newton", way="forward")


class Upcast(nn.Module):
    """Norm and logits in float32 whatever the weights are, as libraries do."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Linear(4, 6), nn.Linear(6, 3)

    def forward(self, x):
        z = self.one(x)
        z = z * torch.rsqrt(z.float().pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.two(torch.relu(z)).float()


@pytest.mark.parametrize("seed", range(5))
def test_parts_in_float32_are_no_wrong_derivatives(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model, x, y = Upcast(), torch.randn(8, 4), torch.arange(8) % 3
    names = [k for k, _ in model.named_parameters()]

    def loss(flat):
        cut = flat.split([p.numel() for p in model.parameters()])
        shapes = [p.shape for p in model.parameters()]
        point = {
            k: v.view(s) for k, v, s in zip(names, cut, shapes, strict=True)
        }
        return CE(functional_call(model, point, (x,)), y)

    flat = torch.cat([p.detach().reshape(-1) for p in model.parameters()])
    want = torch.autograd.functional.hessian(loss, flat)
    v = torch.randn(len(flat), generator=torch.Generator().manual_seed(seed))
    got = Operator(model, CE, (x, y)) @ v
    torch.testing.assert_close(got, want @ v, rtol=1e-3, atol=1e-4)
