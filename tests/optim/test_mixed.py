"""Several optimizers as one."""

import copy
import pickle

import pytest
import torch
from torch import nn

from dldna import optim, training


class Transformer(nn.Module):
    """The head is tied to the embedding."""

    def __init__(self):
        super().__init__()
        self.tokens, self.kinds = nn.Embedding(7, 8), nn.Embedding(2, 8)
        self.places = nn.Parameter(torch.zeros(1, 5, 8))
        self.mix = nn.MultiheadAttention(8, 2, batch_first=True)
        self.up, self.down = nn.Linear(8, 16), nn.Linear(16, 8)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 7, bias=False)
        self.head.weight = self.tokens.weight

    def forward(self, x):
        h = self.tokens(x) + self.places + self.kinds(x % 2)
        h = h + self.mix(h, h, h)[0]
        return self.head(self.norm(h + self.down(self.up(h).relu())))


def convolutional():
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.Conv2d(4, 4, 3, groups=4),
        nn.Conv2d(4, 8, 1),
        nn.BatchNorm2d(8),
        nn.Flatten(),
        nn.Linear(8 * 16, 6),
        nn.Linear(6, 3),
    )


def names(model, weights):
    known = {id(p): n for n, p in model.named_parameters()}
    return [known[id(p)] for p in weights]


@pytest.mark.parametrize(
    ("make", "kernels", "wanted"),
    [
        (convolutional, True, ["2.weight", "5.weight"]),
        (convolutional, False, ["5.weight"]),
        (
            Transformer,
            True,
            ["mix.in_proj_weight", "mix.out_proj.weight", "up.weight",
             "down.weight"],
        ),
    ],
)  # fmt: skip
def test_hidden_weights_are_the_usual_ones(make, kernels, wanted):
    model = make()
    assert names(model, optim.hidden_weights(model, kernels)) == wanted


def data():
    draw = torch.Generator().manual_seed(0)
    x = torch.randn(24, 1, 8, 8, generator=draw)
    x = x[:, :, :6, :6]
    return torch.nn.functional.pad(x, (1, 1, 1, 1)), torch.arange(24) % 3


def test_it_is_both_optimizers_and_a_scheduler_moves_both():
    torch.manual_seed(1)
    model = convolutional()
    twin = copy.deepcopy(model)
    x, y = data()
    both = optim.muon_and_adamw(model, lr=0.02, weight_decay=0.1)
    hidden = optim.hidden_weights(twin)
    rest = [p for p in twin.parameters() if all(p is not h for h in hidden)]
    apart = [
        optim.Muon(
            hidden, lr=0.02, weight_decay=0.1, flatten=True,
            adjust_lr_fn="match_rms_adamw",
        ),
        optim.AdamW(rest, lr=0.02, weight_decay=0.1),
    ]  # fmt: skip
    schedules = [
        torch.optim.lr_scheduler.StepLR(o, 1, 0.5) for o in (both, *apart)
    ]
    assert isinstance(both, torch.optim.Optimizer)
    for _ in range(3):
        for net, parts in ((model, [both]), (twin, apart)):
            for part in parts:
                part.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            for part in parts:
                part.step()
        for schedule in schedules:
            schedule.step()
    assert {g["lr"] for g in both.param_groups} == {0.0025}
    for a, b in zip(model.parameters(), twin.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "state"])
def test_it_is_copied_and_saved_whole(how):
    torch.manual_seed(1)
    model = convolutional()
    both = optim.muon_and_adamw(model, lr=0.02)
    x, y = data()

    def go(net, optimizer):
        for _ in range(2):
            optimizer.zero_grad()
            nn.functional.cross_entropy(net(x), y).backward()
            optimizer.step()

    go(model, both)
    if how == "pickle":
        other, again = pickle.loads(pickle.dumps((model, both)))
    else:
        other, again = copy.deepcopy((model, both))
    if how == "state":
        again = optim.muon_and_adamw(other, lr=0.7)
        saved = both.state_dict()
        assert set(saved) == {"state", "param_groups"}
        assert len(saved["state"]) == len(list(model.parameters()))
        again.load_state_dict(saved)
    go(model, both)
    go(other, again)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_train_takes_it_and_resumes_it(tmp_path):
    x, y = data()
    loader = [(x[:16], y[:16]), (x[16:], y[16:])]

    def go(epochs, checkpoint=None):
        torch.manual_seed(1)
        model = convolutional()
        both = optim.muon_and_adamw(model, lr=0.02)
        schedule = optim.schedule("cosine", both, T_max=4)
        training.train(
            model, both, loader, epochs=epochs, scheduler=schedule,
            checkpoint=checkpoint, progress=False,
        )  # fmt: skip
        return torch.cat([p.detach().flatten() for p in model.parameters()])

    whole = go(4)
    go(2, tmp_path / "run.pt")
    assert torch.equal(go(4, tmp_path / "run.pt"), whole)


def test_what_cannot_be_mixed_is_refused():
    a, b = (nn.Parameter(torch.ones(2, 2)) for _ in "ab")
    with pytest.raises(TypeError, match=r"takes optimizers.*not a list"):
        optim.Mixed([optim.SGD([a])])
    with pytest.raises(ValueError, match="SAM looks at the loss"):
        optim.Mixed(optim.SGD([a]), optim.SAM([b]))
    with pytest.raises(ValueError, match="SophiaH looks at the loss"):
        optim.Mixed(optim.SophiaH([a]))
    with pytest.raises(ValueError, match="hold the same parameter"):
        optim.Mixed(optim.SGD([a]), optim.Adam([a]))
    both = optim.Mixed(optim.SGD([a]), optim.Adam([b]))
    with pytest.raises(ValueError, match=r"parts\[i\]\.add_param_group"):
        both.add_param_group({"params": [torch.zeros(2)]})
    both.parts[0].add_param_group({"params": [torch.zeros(2)]})
    assert len(both.param_groups) == 3
    with pytest.raises(ValueError, match=r"3 groups.*1 \+ 1"):
        optim.Mixed(optim.SGD([a]), optim.Adam([b])).load_state_dict(
            both.state_dict()
        )
    with pytest.raises(ValueError, match="hidden matrix"):
        optim.muon_and_adamw(nn.Linear(2, 2))


def test_a_stranger_s_state_changes_no_part():
    a, b = (nn.Parameter(torch.ones(2, 2)) for _ in "ab")
    both = optim.Mixed(optim.SGD([a], lr=0.1), optim.Adam([b], lr=0.1))
    other = optim.Mixed(optim.SGD([a], lr=0.2), optim.Lion([b], lr=0.2))
    for p in (a, b):
        p.grad = torch.ones(2, 2)
    both.step()
    other.step()
    with pytest.raises(ValueError, match="saved by another"):
        both.load_state_dict(other.state_dict())
    assert [g["lr"] for g in both.param_groups] == [0.1, 0.1]


def test_schedule_free_parts_are_switched():
    a, b = (nn.Parameter(torch.ones(2, 2)) for _ in "ab")
    both = optim.Mixed(optim.ScheduleFreeSGD([a], lr=0.5), optim.Adam([b]))
    for _ in range(3):
        a.grad, b.grad = torch.ones(2, 2), torch.ones(2, 2)
        both.step()
    y = a.detach().clone()
    both.eval()
    assert not torch.equal(a, y)
    both.train()
    torch.testing.assert_close(a.detach(), y)
