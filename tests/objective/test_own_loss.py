"""loss_fn="model": the loss that a model computes itself."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna.landscape import (
    cost,
    line,
    surface,
    top_eigenpairs,
    trace,
)
from dldna.objective import Objective, Weighed
from dldna.objective.own_loss import WholeBatches
from dldna.training import evaluate
from dldna.training.dynamics import gradient_noise


@dataclass
class Output:
    logits: torch.Tensor
    loss: torch.Tensor | None = None


class Reader(nn.Module):
    """Embeds words, and computes its loss where it gets labels."""

    form = "object"

    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 6), nn.Linear(6, 11)

    def forward(self, input_ids, labels=None):
        z = self.head(torch.tanh(self.embed(input_ids)))
        loss = None
        if labels is not None:
            loss = F.cross_entropy(z.flatten(0, 1), labels.flatten())
        return {
            "object": Output(z, loss),
            "dict": {"loss": loss, "logits": z},
            "tuple": (loss, z),
            "number": loss,
            "losses": loss and {"loss_a": loss, "loss_b": 2 * loss},
        }[self.form]


class Shifted(Reader):
    """Cannot be called without labels, as encoders with a decoder."""

    def forward(self, input_ids, labels):
        before = F.pad(labels[:, :-1], (1, 0))
        z = self.head(self.embed(input_ids) + self.embed(before))
        return {"loss": F.cross_entropy(z.flatten(0, 1), labels.flatten())}


class Spans(Reader):
    """Labels under names of its own."""

    def forward(self, input_ids, start_positions=None, end_positions=None):
        z = self.head(self.embed(input_ids).mean(1))
        ends = (start_positions, end_positions)
        return {"loss": sum(F.cross_entropy(z, end) for end in ends)}


class Pairs(nn.Module):
    """Called with images and targets, as detectors are."""

    def __init__(self):
        super().__init__()
        self.head = nn.Linear(4, 3)

    def forward(self, images, targets):
        z = self.head(images)
        loss = F.cross_entropy(z, targets)
        return {"loss_class": loss, "loss_size": z.pow(2).mean()}


def words(*names, shape=(4, 5)):
    drawn = torch.Generator().manual_seed(0)
    return [
        {
            name: torch.randint(
                11,
                shape if name in ("input_ids", "labels") else shape[:1],
                generator=drawn,
            )
            for name in names
        }
        for _ in range(3)
    ]


def form(name):
    return type(name.title(), (Reader,), {"form": name})


CASES = {
    **{
        name: (form(name), words("input_ids", "labels"))
        for name in ("object", "dict", "tuple", "number", "losses")
    },
    "labels needed": (Shifted, words("input_ids", "labels")),
    "own names": (
        Spans,
        words("input_ids", "start_positions", "end_positions"),
    ),
    "pairs": (
        Pairs,
        [(torch.randn(4, 4), torch.tensor([0, 1, 2, 0])) for _ in range(3)],
    ),
}


def own(model, batch):
    """The plain call, as a training loop has it."""
    pair = isinstance(batch, tuple)
    out = model(*batch) if pair else model(**batch)
    if isinstance(out, dict):
        return out["loss"] if "loss" in out else sum(out.values())
    if isinstance(out, tuple):
        return out[0]
    return out if isinstance(out, torch.Tensor) else out.loss


@pytest.fixture(params=CASES)
def case(request):
    make, data = CASES[request.param]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return make().eval(), data


def mean(model, data):
    return sum(own(model, b) for b in data) / len(data)


def test_surfaces_and_lines_are_those_of_the_plain_call(case):
    model, data = case
    want = mean(model, data).item()
    s = surface(model, "model", data, resolution=3)
    assert s.losses[1, 1] == pytest.approx(want, rel=1e-5)
    other = type(model)().eval()
    t = line(model, other, "model", data, alphas=[0.0, 1.0])
    ends = [want, mean(other, data).item()]
    assert t.losses == pytest.approx(ends, rel=1e-5)
    assert s.provenance.n_samples == 12
    assert s.provenance.loss == "the model's own loss"
    assert cost(model, "model", data, resolution=3).samples == 12


def test_curvature_is_that_of_the_plain_call(case):
    model, data = case
    params = list(model.parameters())
    slopes = torch.autograd.grad(mean(model, data), params, create_graph=True)
    flat = torch.cat([g.reshape(-1) for g in slopes])
    hessian = torch.stack(
        [
            torch.cat(
                [
                    h.reshape(-1)
                    for h in torch.autograd.grad(
                        g, params, retain_graph=True, materialize_grads=True
                    )
                ]
            )
            for g in flat
        ]
    )
    f = Objective(model, "model", data)
    torch.testing.assert_close(f.gradient(), flat.detach())
    assert f.loss() == pytest.approx(mean(model, data).item(), rel=1e-5)
    top = top_eigenpairs(model, "model", data, k=1, tol=1e-4).eigenvalues[0]
    values = torch.linalg.eigvalsh(hessian)
    want = values[values.abs().argmax()].item()
    assert top == pytest.approx(want, rel=1e-3)
    assert trace(f, products=6).provenance.n_samples == 12


def test_limit_and_the_noise_of_gradients_take_it_too():
    make, data = CASES["dict"]
    model = make().eval()
    s = surface(model, "model", data, resolution=3, limit=6)
    with torch.no_grad():
        first = own(model, data[0]).item()
        cut = {k: v[:2] for k, v in data[1].items()}
        want = (4 * first + 2 * own(model, cut).item()) / 6
    assert s.losses[1, 1] == pytest.approx(want, rel=1e-5)
    assert s.provenance.n_samples == 6
    assert gradient_noise(model, "model", data, parts=3).value > 0


def test_a_model_that_returns_no_loss_is_refused():
    layer, x = nn.Linear(4, 3), torch.randn(5, 4)
    with pytest.raises(TypeError, match="returned a Tensor without one"):
        surface(layer, "model", [x], resolution=3)
    make, data = CASES["object"]
    bare = [{"input_ids": b["input_ids"]} for b in data]
    with pytest.raises(TypeError, match="do the data hold its labels"):
        trace(make(), "model", bare)
    with pytest.raises(TypeError, match="must be callable"):
        surface(make(), "modle", data, resolution=3)


def test_of_several_numbers_only_losses_are_summed():
    one = torch.ones(())
    loss = Weighed("model", size).loss_fn
    parts = {"loss_box": one, "loss_class": 2 * one, "accuracy": 5 * one}
    assert loss(parts, None) == 3
    assert loss((torch.ones(3, 2), one), None) == 1  # logits first
    with pytest.raises(TypeError, match="'ce', 'accuracy'"):
        loss({"ce": one, "accuracy": one}, None)
    with pytest.raises(TypeError, match="a tuple without one"):
        loss((one, 2 * one), None)


def size(batch):
    return int((batch[1] != -100).sum())


def test_tokens_may_be_counted():
    class Tokens(Reader):
        form = "dict"

    model = Tokens().eval()
    short, long = words("input_ids", "labels")[:2]
    short = {k: v[:, :3] for k, v in short.items()}
    long["labels"] = long["labels"].clone()
    long["labels"][:, 3:] = -100
    data = [short, long]
    with pytest.warns(UserWarning, match="padded to different lengths"):
        surface(model, "model", data, resolution=3)
    s = surface(model, Weighed("model", size), data, resolution=3)
    with torch.no_grad():
        each = [own(model, b).item() for b in data]
    counts = [12, 12]
    want = sum(n * x for n, x in zip(counts, each, strict=True)) / 24
    assert s.losses[1, 1] == pytest.approx(want, rel=1e-5)


def test_no_gauss_newton_matrix_of_what_computes_its_own_loss():
    class Number(Reader):
        form = "number"

    with pytest.raises(TypeError, match="no Gauss-Newton matrix"):
        trace(
            Number(), "model", words("input_ids", "labels"),
            matrix="gauss-newton",
        )  # fmt: skip


def test_evaluation_takes_it_too(case):
    model, data = case
    loss, _ = evaluate(model, data, "model")
    assert loss == pytest.approx(mean(model, data).item(), rel=1e-5)


def test_an_objective_beside_a_loss_is_refused_in_words():
    make, data = CASES["dict"]
    f = Objective(make(), "model", data)
    with pytest.raises(TypeError, match="holds its loss and data"):
        surface(f, "model", data)


class Step(Reader):
    """As Lightning's modules: a step, in which it logs."""

    form = "logits"

    def forward(self, input_ids):
        return self.head(torch.tanh(self.embed(input_ids)))

    def log(self, *args):
        raise RuntimeError("no trainer")

    def training_step(self, batch, number):
        ids, labels = batch
        self.log("step", number)
        z = F.dropout(self(ids), 0.5, self.training)
        loss = F.cross_entropy(z.flatten(0, 1), labels.flatten())
        return {"loss": loss, "logits": z}


class Detector(Pairs):
    """Gives its losses in training mode alone, and draws while it does."""

    names = "loss_class", "loss_size"

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.BatchNorm1d(4), nn.Dropout(0.5))

    def forward(self, images, targets=None):
        if not self.training:
            return [{"scores": self.head(images)}]
        drawn = torch.randperm(len(images))[:3]
        z = self.head(self.body(images[drawn]))
        losses = F.cross_entropy(z, targets[drawn]), z.pow(2).mean()
        return dict(zip(self.names, losses, strict=True))


class Plain(Detector):
    """Names of losses that do not say so, as RetinaNet's."""

    names = "classification", "regression"


def step_loss(model, batch):
    z = model(batch[0])
    return F.cross_entropy(z.flatten(0, 1), batch[1].flatten())


def losses_of(model, batch):
    """In training mode, what is inside in eval mode, one draw."""
    model.training = True
    with torch.random.fork_rng():
        torch.manual_seed(0)
        losses = model(*batch)
    model.training = False
    return sum(losses.values())


IDS = torch.randint(11, (4, 5), generator=torch.Generator().manual_seed(0))
OWN_CALLS = {
    "a step": (Step, (IDS, IDS), step_loss),
    "detector": (Detector, CASES["pairs"][1][0], losses_of),
    "bare names": (Plain, CASES["pairs"][1][0], losses_of),
}


@pytest.mark.parametrize("kind", OWN_CALLS)
def test_a_step_or_training_mode_gives_the_loss(kind):
    make, batch, plain = OWN_CALLS[kind]
    model, twin = make(), make().eval()
    twin.load_state_dict(model.state_dict())
    before = [m.training for m in model.modules()]
    d, e = ([torch.randn_like(p) for p in twin.parameters()] for _ in "ab")
    s = surface(model, "model", [batch], [d, e], resolution=3)
    with torch.no_grad():
        for p, a, b in zip(twin.parameters(), d, e, strict=True):
            p.add_(a - b)
        right = plain(twin, batch).item()
    assert s.losses[2, 0] == pytest.approx(right, rel=1e-6)
    f = Objective(model, "model", [batch])
    twin.load_state_dict(model.state_dict())
    own = list(twin.parameters())
    slopes = torch.autograd.grad(
        plain(twin, batch), own, materialize_grads=True, create_graph=True
    )
    flat = torch.cat([g.reshape(-1) for g in slopes])
    torch.testing.assert_close(f.gradient(), flat.detach())
    rows = [
        torch.cat([
            h.reshape(-1)
            for h in torch.autograd.grad(
                g, own, retain_graph=True, materialize_grads=True
            )
        ])
        for g in flat
    ]  # fmt: skip
    values = torch.linalg.eigvalsh(torch.stack(rows))
    top = top_eigenpairs(f, k=1, tol=1e-4).eigenvalues[0]
    assert top == pytest.approx(values[values.abs().argmax()].item(), rel=1e-3)
    assert evaluate(model, [batch], "model")[0] == pytest.approx(f.loss())
    assert s.provenance.n_samples == 4
    assert [m.training for m in model.modules()] == before
    assert "log" not in vars(model)


def test_what_a_step_gets_may_be_cut_and_weighed():
    model, batch = Step(), (IDS, IDS)
    cut = surface(model, "model", [batch], resolution=3, limit=2)
    whole = surface(model, "model", [(IDS[:2], IDS[:2])], resolution=3)
    assert cut.centre_loss == pytest.approx(whole.centre_loss, rel=1e-6)
    counted = Weighed("model", lambda batch: batch[1].numel())
    parts = [(IDS[:3], IDS[:3]), (IDS[3:], IDS[3:])]
    loss = Objective(model, counted, parts).loss()
    assert loss == pytest.approx(Objective(model, "model", [batch]).loss())


def test_a_network_that_numbers_the_rows_of_its_batch_has_a_curvature():
    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.a = nn.Linear(4, 3)

        def forward(self, x, edges):
            z = self.a(x)
            return z + z[edges[0]].tanh()

    model, edges = Graph(), torch.arange(8).flip(0).repeat(2, 1)
    batch = (torch.randn(8, 4), edges), torch.arange(8) % 3
    found = top_eigenpairs(model, F.cross_entropy, [batch], k=1)
    assert found.residuals[0] < 1e-2


class Causal(Reader):
    """Gets its own words for labels and shifts them itself."""

    ahead = True

    def forward(self, input_ids, labels=None):
        z = self.head(torch.tanh(self.embed(input_ids)))
        cut = (z[:, :-1], labels[:, 1:]) if self.ahead else (z, labels)
        loss = F.cross_entropy(cut[0].flatten(0, 1), cut[1].flatten())
        found = {"loss": loss, "logits": z}
        return found if self.form == "dict" else Output(z, loss)


@pytest.mark.filterwarnings("ignore:the loss the model's own loss")
@pytest.mark.parametrize("form", ["dict", "object"])
@pytest.mark.parametrize("ahead", [True, False])
def test_accuracy_is_that_of_the_labels_that_the_model_s_loss_takes(
    form, ahead
):
    """A plain loop over places; batches with other shares of padding."""
    torch.manual_seed(0)
    model = Causal()
    model.form, model.ahead = form, ahead
    words = torch.randint(0, 11, (6, 5))
    labels = words.clone()
    labels[0, 2:] = -100
    labels[4, :3] = -100
    batches = [
        {"input_ids": words[:2], "labels": labels[:2]},
        {"input_ids": words[2:], "labels": labels[2:]},
    ]
    right = asked = 0
    with torch.no_grad():
        given = model.head(torch.tanh(model.embed(words))).argmax(-1)
    for n in range(6):
        for t in range(5 - ahead):
            label = labels[n, t + ahead]
            if label != -100:
                asked += 1
                right += int(given[n, t] == label)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.random.get_rng_state()
    found = surface(model, "model", batches, resolution=3, metrics="accuracy")
    assert found.metrics["accuracy"][1, 1] == pytest.approx(right / asked)
    assert torch.equal(state, torch.random.get_rng_state())
    for k, v in model.state_dict().items():
        assert torch.equal(before[k], v)


@pytest.mark.parametrize("ahead", [True, False])
def test_labels_are_found_under_a_head_of_zeros_and_behind_padding(ahead):
    model = Causal()
    model.form, model.ahead = "dict", ahead
    nn.init.zeros_(model.head.weight)
    nn.init.zeros_(model.head.bias)
    words = torch.randint(0, 11, (4, 5))
    empty = {"input_ids": words, "labels": torch.full_like(words, -100)}
    full = {"input_ids": words, "labels": words}
    _, (_, target) = WholeBatches([empty, full], model)
    wanted = F.pad(words[:, 1:], (0, 1), value=-100) if ahead else words
    assert torch.equal(target, wanted)
    assert not model.head.weight.any()
