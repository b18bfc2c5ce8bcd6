"""The page on a model: its numbers, its words, its budget, its refusals."""

import copy
import dataclasses
import re
from functools import partial
from html.parser import HTMLParser
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import dldna
from dldna import landscape
from dldna.cli import main
from dldna.model_page import Findings, budget_split, measuring, page, parts
from dldna.model_page.budget_split import Need, Price, split
from dldna.model_page.document import document
from dldna.model_page.parts import PARTS, Bench, layers_of
from dldna.model_page.sample_losses import sample_losses
from dldna.model_page.sentences import WORDS, shown
from dldna.model_page.series import read_series
from dldna.model_page.twins import FACTOR, twin_of
from dldna.objective import Objective


def run_by_counting(patch):
    """A clock that only forward passes and products move."""
    time = SimpleNamespace(now=0.0, each=1e-3)
    patch.setattr(budget_split, "clock", lambda: time.now)
    patch.setattr(measuring, "DRAWING", 0.0)
    patch.setattr(measuring, "ENDING", 0.0)
    product = landscape.Operator.__matmul__

    def counted_product(self, vectors):
        if vectors.ndim == 1:
            time.now += 3 * time.each * self.n_samples
        return product(self, vectors)

    patch.setattr(landscape.Operator, "__matmul__", counted_product)
    small = {
        "GRID": 9,
        "POINTS": 5,
        "FEWER": 5,
        "DENSITY_STEPS": 12,
        "MOST_SEEDS": 40,
    }
    for name, size in small.items():
        patch.setattr(parts, name, size)
    for name in ("line", "surface"):  # each evaluation is a forward pass
        call = partial(getattr(landscape, name), way="slow")
        patch.setattr(parts, name, call)
    return time


@pytest.fixture
def clock(monkeypatch):
    return run_by_counting(monkeypatch)


def counted(net, time, each=1e-3):
    """The network; its forward passes move the clock by each sample."""
    time.each = each

    def tick(module, inputs, output):
        time.now += each * len(inputs[0])

    net.register_forward_hook(tick)
    return net


def small(seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))
    g = torch.Generator().manual_seed(1)
    x = torch.randn(60, 4, generator=g)
    return net, (x, torch.randint(0, 3, (60,), generator=g))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A page with every part, by the clock of the machine."""
    net, data = small()
    folder = tmp_path_factory.mktemp("page")
    for epoch in (1, 2, 10, 11):
        torch.manual_seed(epoch)
        state = {k: v + 0.1 * torch.randn_like(v) * epoch
                 for k, v in net.state_dict().items()}  # fmt: skip
        torch.save(state, folder / f"epoch{epoch}.pth")
    torch.save(net.state_dict(), folder / "epoch12.pth")
    torch.save(net.state_dict(), folder / "epoch13.pth")
    with pytest.MonkeyPatch.context() as patch:
        time = run_by_counting(patch)
        found = dldna.page(
            counted(net, time),
            F.cross_entropy,
            data,
            others={"test <b>": data},
            checkpoints=folder,
            budget_s=300.0,
            out=folder / "page.html",
            data_name="sixty & more",
        )
    net._forward_hooks.clear()
    return SimpleNamespace(
        net=net, data=data, found=found, folder=folder, seconds=time.now,
        text=(folder / "page.html").read_text(encoding="utf-8"),
    )  # fmt: skip


@pytest.mark.full
def test_every_part_is_there(made):
    assert shown(made.found) == list(WORDS) == [p.name for p in PARTS]
    assert not made.found.left_out


@pytest.mark.full
def test_losses_are_those_of_a_plain_loop(made):
    x, y = made.data
    each = F.cross_entropy(made.net(x), y, reduction="none").detach().double()
    own = made.found.samples[""]
    np.testing.assert_allclose(own.values, each, rtol=1e-5)
    assert own.loss == pytest.approx(float(each.mean()), rel=1e-5)
    want = float(each.std() / len(each) ** 0.5)
    assert own.error == pytest.approx(want, rel=1e-5)
    assert own.right == int((made.net(x).argmax(1) == y).sum())


@pytest.mark.full
def test_wilsons_interval_is_scipys(made):
    stats = pytest.importorskip("scipy.stats")
    own = made.found.samples[""]
    want = stats.binomtest(own.right, own.answers).proportion_ci(
        method="wilson"
    )
    assert own.interval == pytest.approx((want.low, want.high), rel=1e-9)


@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(weight=torch.tensor([1.0, 3.0, 0.5])),
        nn.CrossEntropyLoss(ignore_index=2),
        nn.CrossEntropyLoss(reduction="sum"),
        lambda out, batch: F.cross_entropy(out, batch[1]),
    ],
    ids=["weighted", "ignoring", "sum", "own"],
)
def test_other_losses_are_taken_apart_too(loss):
    net, data = small()
    f = Objective(net, loss, data)
    found = sample_losses(f, f.held)
    assert found.of == "samples"
    assert found.loss == pytest.approx(f.loss(), rel=1e-5)


@pytest.mark.filterwarnings("ignore:the loss pairs of two batches")
def test_a_loss_of_pairs_stands_for_its_batches():
    def pairs(output, batch):
        return (output[:, None] - output[None]).square().mean()

    net, (x, y) = small()
    f = Objective(net, pairs, [(x[:30], y[:30]), (x[30:], y[30:])])
    found = sample_losses(f, f.held)
    assert (found.of, len(found.values)) == ("batches", 2)


@pytest.mark.full
def test_curvature_is_that_of_independent_calls(made):
    f, found = made.found, made.found
    objective = Objective(made.net, F.cross_entropy, made.data)
    top = landscape.top_eigenpairs(objective, k=len(f.top.eigenvalues))
    np.testing.assert_allclose(
        f.top.eigenvalues, top.eigenvalues, rtol=1e-3, atol=1e-5
    )
    blocks = landscape.layer_spectra(objective, k=1)
    for name, spectrum in found.layers.items():
        want = blocks[name].eigenvalues
        np.testing.assert_allclose(spectrum.eigenvalues, want, rtol=1e-3)
    steps = f.sharpness["sam"].steps
    sam = landscape.sam_sharpness(objective, steps=steps)
    assert f.sharpness["sam"].value == pytest.approx(sam.value, rel=1e-5)
    nodes = f.density.nodes
    again = landscape.spectral_density(
        objective, probes=len(nodes), steps=nodes.shape[1]
    )
    np.testing.assert_allclose(f.density.density, again.density, rtol=1e-4)


@pytest.mark.full
def test_lines_and_planes_are_those_of_independent_calls(made):
    f = made.found.lines
    objective = Objective(made.net, F.cross_entropy, made.data)
    seeds = f.provenance.notes["seeds"]
    band = landscape.band(objective, seeds=seeds, resolution=len(f.alphas))
    np.testing.assert_allclose(f.losses, band.losses, rtol=1e-5)
    assert set(f.metrics) == set(band.metrics)
    for key, row in band.metrics.items():
        np.testing.assert_allclose(f.metrics[key], row, rtol=1e-5)
    for plane in made.found.planes:
        again = landscape.surface(
            objective,
            resolution=len(plane.alphas),
            seed=plane.provenance.seed,
        )
        np.testing.assert_allclose(plane.losses, again.losses, rtol=1e-5)


@pytest.mark.full
def test_the_twin_computes_the_same_with_other_sharpness(made):
    f = Objective(made.net, F.cross_entropy, made.data)
    twin, facts = twin_of(f)
    assert facts["layers"] == ["0", "2"]
    by_hand = copy.deepcopy(made.net)
    with torch.no_grad():
        by_hand[0].weight.mul_(FACTOR)
        by_hand[0].bias.mul_(FACTOR)
        by_hand[2].weight.div_(FACTOR)
    want = landscape.sam_sharpness(
        by_hand, F.cross_entropy, made.data,
        steps=made.found.sharpness["sam"].steps,
    )  # fmt: skip
    found = made.found.sharpness["twin sam"].value
    assert found == pytest.approx(want.value, rel=1e-4)
    x = made.data[0]
    assert torch.allclose(twin.model(x), made.net(x), atol=1e-5)


def test_no_twin_where_layers_cannot_be_rescaled():
    net = nn.Sequential(nn.Linear(4, 6), nn.Sigmoid(), nn.Linear(6, 3))
    twin, facts = twin_of(Objective(net, F.cross_entropy, small()[1]))
    assert (twin, facts) == (None, {"tried": 1})


@pytest.mark.full
def test_what_the_checkpoints_give_away(made):
    s, e = made.found.series, made.found.embedding
    assert s.labels == [f"epoch{k}.pth" for k in (1, 2, 10, 11, 12, 13)]
    assert s.duplicates == [[4, 5]]
    assert s.model_at == [4, 5]
    first = torch.load(made.folder / "epoch1.pth", weights_only=True)
    other = copy.deepcopy(made.net)
    other.load_state_dict(first)
    x, y = made.data
    want = F.cross_entropy(other(x), y).item()
    assert s.losses[0] == pytest.approx(want, rel=1e-5)
    names = sorted(s.labels)
    assert names[1] == "epoch10.pth"  # so the alphabet is another order
    at = [e.labels.index(n) for n in names]
    way = sum(e.distances[i, j] for i, j in pairwise(at))
    assert s.lengths["alphabet"] == pytest.approx(way, rel=1e-6)
    assert "epoch12.pth and epoch13.pth" in made.text


def test_files_of_two_runs_are_seen(tmp_path):
    net, data = small()
    for k in range(8):
        state = {
            key: v + 0.01 * k + (50 if k > 3 else 0)
            for key, v in net.state_dict().items()
        }
        torch.save(state, tmp_path / f"e{k}.pth")
    f = Objective(net, F.cross_entropy, data)
    with pytest.warns(UserWarning, match="two training runs"):
        found = read_series(sorted(tmp_path.iterdir()), f)
    words = WORDS["series"](Findings(**found, samples={"": None}))
    assert "2 clusters far apart" in words.supports


class Reader(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.pictures, self.loads, self.ids = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        known = dict(attrs)
        self.ids += [known["id"]] if "id" in known else []
        if tag == "svg":
            self.pictures.append(known)
        if tag in ("script", "link", "img", "iframe", "image"):
            self.loads += [known.get("src") or known.get("href") or tag]


@pytest.mark.full
def test_each_figure_has_its_text_and_both_sentences(made):
    page = Reader(made.text)
    sections = made.text.split("<section id=")[1:]
    assert len(page.pictures) == len(sections) == len(WORDS)
    for picture, name, part in zip(
        page.pictures, WORDS, sections, strict=True
    ):
        words = WORDS[name](made.found)
        assert picture["role"] == "img"
        assert picture["aria-label"] == words.alt
        assert len(words.alt) > 30
        assert part.count("It supports:</strong>") == 1
        assert part.count("It does not support:</strong>") == 1
        assert re.search(r"\d", words.supports), "made of the numbers"
        assert "nan" not in words.supports + words.doubts


@pytest.mark.full
def test_the_page_loads_nothing_and_escapes_names(made):
    page = Reader(made.text)
    assert all(v.startswith("data:") for v in page.loads)
    assert "<script" not in made.text
    assert not re.search(r"url\((?!#)|@import|https?://(?!www\.w3)", made.text)
    assert len(set(page.ids)) == len(page.ids)
    assert "sixty &amp; more" in made.text
    assert "test <b>" not in made.text


def test_what_is_warned_of_alike_is_said_once(made):
    said = {"planes": ["sums deviate: 0.25 and 0.5", "the data change"],
            "lines": ["sums deviate: 1e-3 and 2", "another"]}  # fmt: skip
    text = document(
        dataclasses.replace(made.found, said=said),
        dict.fromkeys(shown(made.found), ""),
    )
    assert text.count("sums deviate: 0.25 and 0.5") == 1
    assert text.count("sums deviate") == 1
    assert text.count("Said while it was measured") == 3


def test_a_part_says_once_what_each_of_its_seeds_warns_of():
    net = nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 3))
    net.forward = lambda z: F.dropout(net[1](net[0](z)), training=True)
    data = (torch.randn(60, 4), torch.zeros(60, dtype=torch.long))

    def warned(seeds):
        with pytest.warns(landscape.NotAFunction) as caught:
            landscape.band(net, F.cross_entropy, data, seeds=seeds,
                           resolution=3, way="slow")  # fmt: skip
        return [w for w in caught if w.category is landscape.NotAFunction]

    assert len(warned(range(4))) == 1
    assert warned(range(2))[0].filename == __file__


@pytest.mark.full
def test_the_numbers_change_the_words(made):
    words = WORDS["samples"](made.found)
    own = made.found.samples[""]
    assert f"{100 * own.accuracy:.1f} % of 60 answers" in words.supports


@pytest.mark.full
def test_findings_come_back(made, tmp_path):
    made.found.save(tmp_path / "kept")
    back = Findings.load(tmp_path / "kept")
    for name, words in WORDS.items():
        assert str(words(back)) == str(words(made.found)), name
    assert back.provenance == made.found.provenance


# The budget --------------------------------------------------------------


def test_the_split_gives_shares_by_rank():
    needs = [Need("a", 1, 2, 3), Need("b", 4, 8, 0), Need("c", 2, 2, 1)]
    assert split(needs, 100).seconds == {"a": 2, "b": 8, "c": 2}
    assert split(needs, 6.5).dropped == ["a"]
    assert split(needs, 3.5).seconds == {"a": 1.5, "c": 2.0}
    for left in (1.0, 4.5, 7.0, 9.0, 13.0):
        found = split(needs, left)
        assert sum(found.seconds.values()) <= left + 1e-9
        assert set(found.seconds) | set(found.dropped) == set("abc")


@pytest.mark.full
@pytest.mark.parametrize(
    ("budget", "each"), [(30.0, 1e-3), (60.0, 1e-3), (20.0, 1e-4)]
)
def test_the_budget_is_kept_by_the_count_of_evaluations(budget, each, clock):
    net, data = small()
    net = counted(net, clock, each)
    found = page(net, F.cross_entropy, data, budget_s=budget, out=None)
    assert budget * 0.8 <= clock.now <= budget * 1.1
    assert found.provenance.seconds == clock.now
    assert found.lines is not None


def test_what_does_not_fit_is_named(clock, tmp_path):
    net, data = small()
    file = tmp_path / "page.html"
    net = counted(net, clock)
    found = page(net, F.cross_entropy, data, budget_s=7.0, out=file)
    assert found.samples[""].answers == 60
    missing = [p.name for p in PARTS if p.name not in shown(found)]
    assert set(found.left_out) == set(missing) - {"series"} != set()
    text = file.read_text(encoding="utf-8")
    assert text.count("<li>") == len(found.left_out)
    assert "all eigenvalues: it takes at least" in text


@pytest.mark.full
def test_samples_are_chosen_to_fit(clock):
    net, _ = small()
    x = torch.randn(3000, 4)
    data = x, torch.zeros(3000, dtype=torch.long)
    net = counted(net, clock, 1e-5)
    few = page(net, F.cross_entropy, data, budget_s=9.0, out=None)
    more = page(net, F.cross_entropy, data, budget_s=60.0, out=None)
    used = [f.facts["samples used"] for f in (few, more)]
    assert used[0] < used[1] <= 3000
    assert few.top.provenance.n_samples == used[0]


@pytest.mark.parametrize(
    "target", [torch.tensor([1]), torch.tensor([-100, 1, -100])]
)
def test_one_sample_makes_a_page_without_error_bars(target, clock, tmp_path):
    net, (x, _) = small()
    found = dldna.page(
        counted(net, clock), F.cross_entropy, (x[: len(target)], target),
        budget_s=3.0, out=tmp_path / "page.html",
    )  # fmt: skip
    assert len(found.top.errors) == 0
    assert "largest eigenvalue" in (tmp_path / "page.html").read_text("utf-8")


def test_standard_sizes_cost_what_they_say():
    net, data = small()
    f = Objective(net, F.cross_entropy, data)
    once, twice = (
        Bench(f.held, f, Price(*[k * 1e-3] * 4), 60.0) for k in (1, 2)
    )
    for part in PARTS:
        if part.name != "series":
            least, standard = part.cost(once)
            assert 0 < least <= standard
            assert part.cost(twice)[1] > standard
    assert list(layers_of(f)) == ["0", "2"]


# Refusals ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        ({"budget_s": 0}, ValueError, "budget_s"),
        ({"budget_s": "long"}, TypeError, "budget_s"),
        ({"out": ""}, ValueError, "out must name a file"),
        ({"checkpoints": "nosuch"}, FileNotFoundError, "nosuch"),
        ({"seed": 0.5}, TypeError, "seed"),
        ({"params": ["nosuch"]}, ValueError, "nosuch"),
        ({"statistics": "evl"}, ValueError, "eval"),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else None,
)
def test_bad_words_are_refused(words, error, said):
    net, data = small()
    with pytest.raises(error, match=said):
        page(net, F.cross_entropy, data, **{"out": None} | words)


def test_models_that_diverged_and_folders_are_refused(tmp_path):
    net, data = small()
    with pytest.raises(IsADirectoryError):
        page(net, F.cross_entropy, data, out=tmp_path)
    with torch.no_grad():
        net[0].weight[0, 0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        page(net, F.cross_entropy, data, out=None)
    with pytest.raises(TypeError, match="Module"):
        page("net", F.cross_entropy, data, out=None)


@pytest.mark.full
def test_a_part_that_fails_is_named_and_the_others_stand(clock, tmp_path):
    net, data = small()
    torch.save(nn.Linear(2, 2).state_dict(), tmp_path / "e1.pth")
    for k in (2, 3):
        torch.save(net.state_dict(), tmp_path / f"e{k}.pth")
    found = page(
        net, F.cross_entropy, data, checkpoints=tmp_path, budget_s=9.0,
        out=None,
    )  # fmt: skip
    assert "does not fit" in found.left_out["series"]
    assert found.top is not None


# The command ---------------------------------------------------------------


@pytest.mark.full
def test_the_command_writes_a_page(tmp_path, capsys, clock):
    from dldna.models import make

    code = (
        "from dldna.models import make\n"
        "def net():\n"
        "    return make('mlp', in_shape=(2,), num_classes=2, hidden=[8])\n"
    )
    (tmp_path / "mine.py").write_text(code)
    model = make("mlp", in_shape=(2,), num_classes=2, hidden=[8])
    torch.save(model.state_dict(), tmp_path / "net.pth")
    words = ["page", f"{tmp_path}/mine.py:net", f"{tmp_path}/net.pth",
             "--data", "moons", "--limit", "40", "--budget", "1",
             "--out", f"{tmp_path}/p.html"]  # fmt: skip
    assert main([*words, "--save", f"{tmp_path}/kept"]) == 0
    assert "written" in capsys.readouterr().out
    found = Findings.load(tmp_path / "kept")
    assert list(found.samples) == ["", "moons (test)"]
    assert "moons (train)" in (tmp_path / "p.html").read_text()
    assert main([*words, "--budget", "20points"]) == 1
    assert "is a time" in capsys.readouterr().err
