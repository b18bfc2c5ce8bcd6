"""The queue of trainings: it can always go on, and choices are fair."""

import copy
import doctest
import io
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections import ChainMap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from benchmarks.studies import __main__ as command  # noqa: E402
from benchmarks.studies import (  # noqa: E402
    export,
    fit,
    jobs,
    networks,
    plan,
    planes,
    queue,
    reading,
    reading_why,
    sharpness,
    smoke,
    watch,
)
from benchmarks.studies import state as keeping  # noqa: E402
from benchmarks.studies.desk import Desk, Paused  # noqa: E402
from dldna import data, stored  # noqa: E402
from dldna.data.stretched import Stretched  # noqa: E402
from dldna.landscape import Trajectory  # noqa: E402

BASE = jobs.Training(
    "net", "A", "cnn", 0.05, 3, batch=16, points=(3, 2),
    options=(("width", 4),),
)  # fmt: skip
KINDS = {
    "sgd": BASE,
    "adam, half precision": replace(
        BASE, optimizer="adam", rate=0.003, precision="float16"
    ),
    "batch norm": replace(BASE, model="resnet8", options=()),
    "dropout": replace(BASE, model="arena-cnn", options=(), epochs=2),
    "without skips, plain images": replace(
        BASE, model="resnet8-noskip", options=(), augment=False, epochs=2
    ),
    "stretches": replace(BASE, stretch=3, epochs=5),
    "constant rate, until a loss": replace(
        BASE, schedule="constant", until=2.0, epochs=9, stretch=2
    ),
}


@pytest.fixture
def desk(tmp_path):
    """A desk with a folder of its own."""
    return Desk(keeping.State(tmp_path / "state"), smoke.noise(), "colours")


class Asking(Desk):
    """Asks for a pause after each of some looks."""

    looks, at = 0, ()

    def asked(self):
        """At these looks, counted over all attempts."""
        self.looks += 1
        return self.looks in self.at


def facts(state, name):
    """All that a training left, but for times."""
    found = state.result(name)
    for timed in ("seconds", "about"):
        found.pop(timed)
    found["epochs"].pop("seconds")
    path = Trajectory(state.path(name))
    points = [dict(ChainMap(*path.state(k))) for k in range(len(path))]
    weights = torch.load(state.weights(name), weights_only=True)
    return found, weights, path.steps.tolist(), points


def assert_same(one, two):
    """Bit for bit."""
    assert one[0] == two[0]
    assert one[2] == two[2]
    for a, b in [(one[1], two[1]), *zip(one[3], two[3], strict=True)]:
        assert a.keys() == b.keys()
        assert all(torch.equal(a[k], b[k]) for k in a)


@pytest.mark.parametrize("kind", KINDS)
def test_a_paused_training_ends_as_one_that_was_not(kind, desk, tmp_path):
    job = KINDS[kind]
    whole = copy.copy(desk)
    whole.state = keeping.State(tmp_path / "whole")
    queue.run(whole, job)
    asking = Asking(desk.state, desk.dataset, desk.label)
    asking.at, pauses = (1, 4, 5, 8), 0
    while desk.state.result(job.name) is None:
        try:
            queue.run(asking, job)
        except Paused:
            pauses += 1
            assert desk.state.part(job.name).exists()
    assert pauses >= 2
    assert_same(facts(whole.state, job.name), facts(desk.state, job.name))
    assert not desk.state.part(job.name).exists()


def test_a_training_ends_at_the_loss_that_is_wanted(desk):
    found = queue.run(desk, KINDS["constant rate, until a loss"])
    losses = found["epochs"]["train_loss"]
    assert [loss <= 2.0 for loss in losses] == [False] * 5 + [True]
    assert found["steps"] == 2 * len(losses)


@pytest.mark.full
def test_a_killed_queue_goes_on_bit_for_bit(tmp_path):
    there = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "benchmarks.studies", "--smoke"]
    words += ["resnet20-rate", "resnet20", "--save-seconds", "0", "--state"]
    quiet = {"cwd": ROOT, "env": there, "stdout": subprocess.DEVNULL}
    name, states = "resnet20", []
    for kills in (0, 2):
        folder = tmp_path / str(kills)
        state = keeping.State(folder)
        states.append(state)
        for kill in range(kills):
            part = state.part(name if kill else "resnet20-rate/0.1")
            child = subprocess.Popen([*words, str(folder)], **quiet)
            while not part.exists() and child.poll() is None:
                time.sleep(0.001)
            child.send_signal(signal.SIGKILL)
            assert child.wait() == -signal.SIGKILL
            assert state.result(name) is None
        subprocess.run([*words, str(folder)], check=True, **quiet)
    assert_same(facts(states[0], name), facts(states[1], name))


def test_a_checkpoint_of_another_setting_is_refused(desk):
    asking = Asking(desk.state, desk.dataset, desk.label)
    asking.at = (2,)
    with pytest.raises(Paused):
        queue.run(asking, BASE)
    with pytest.raises(ValueError, match=r"begun with decay=0.0005, not 0.1"):
        queue.run(desk, replace(BASE, decay=0.1))
    queue.run(desk, replace(BASE, tier="B"))


def test_a_result_of_another_setting_is_no_result(desk):
    queue.run(desk, replace(BASE, epochs=2))
    with pytest.raises(ValueError, match=r"made with epochs=2, not 3"):
        queue.done(desk.state, BASE)
    assert "other settings" in queue.listing(desk.state, [BASE])


# Pauses ------------------------------------------------------------------


def a_dead_number():
    """The number of a process that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


@pytest.mark.parametrize(
    ("mark", "counts"),
    [
        ("pause", True),
        ("pause.alive", True),
        ("pause.dead", False),
        ("pause.no-number", False),
        ("pause.old", False),
        ("resume", False),
    ],
)
def test_what_pauses_the_queue(mark, counts, desk):
    desk.state.folder.mkdir()
    name = {
        "pause.alive": f"pause.{os.getpid()}",
        "pause.dead": f"pause.{a_dead_number()}",
        "pause.old": f"pause.{os.getpid()}",
    }.get(mark, mark)
    path = desk.state.folder / name
    path.touch()
    if mark == "pause.old":
        os.utime(path, (1, 1))
    assert desk.state.paused() is counts


def test_the_queue_stands_still_while_the_file_is_there(desk, monkeypatch):
    monkeypatch.setattr(keeping, "POLL", 0)
    folder, seen = desk.state.folder, []
    folder.mkdir()

    class Helped(Desk):
        """Someone lays the file down at step 2 and lifts it later."""

        looks = 0

        def asked(self):
            self.looks += 1
            if self.looks == 2:
                (folder / "pause").touch()
            return super().asked()

        def leaving(self):
            standing = folder / "standing"
            if standing.exists():
                seen.append(standing.read_text() == str(os.getpid()))
                seen.append(desk.state.part("net").exists())
                if len(seen) > 6:
                    (folder / "pause").unlink(missing_ok=True)
            return super().leaving()

    helped = Helped(desk.state, desk.dataset, desk.label)
    assert queue.work(helped, [BASE]) == []
    assert len(seen) > 6
    assert all(seen)
    assert desk.state.result("net")["steps"] == 15
    for mark in ("standing", "running", "pause"):
        assert not (folder / mark).exists()


def test_a_signal_saves_and_leaves(desk):
    desk.stopped = True
    with pytest.raises(Paused):
        queue.run(desk, BASE)
    assert queue.work(desk, [BASE]) == []
    assert desk.state.result("net") is None
    desk.stopped = False
    queue.work(desk, [BASE])
    assert desk.state.result("net")["steps"] == 15


def test_the_minutes_are_kept(desk):
    desk.deadline = time.monotonic() - 1
    queue.work(desk, [BASE])
    assert desk.state.result("net") is None


@pytest.fixture
def paused(tmp_path):
    """Run a command by ``paused.sh``; all that is in the folder then."""
    folder = tmp_path / "studies"

    def run(*words, wait="0"):
        there = {"DLDNA_STUDIES": str(folder), "STUDIES_WAIT": wait}
        script = ["sh", "benchmarks/studies/paused.sh", *words]
        return subprocess.run(  # noqa: PLW1510
            script, cwd=ROOT, env={**os.environ, **there},
            capture_output=True, text=True,
        )  # fmt: skip

    run.folder = folder
    return run


def test_without_a_queue_nothing_is_written(paused):
    done = paused("sh", "-c", "echo here; exit 3", wait="60")
    assert (done.stdout, done.returncode) == ("here\n", 3)
    assert not paused.folder.exists()


def test_a_dead_queue_is_not_waited_for(paused):
    paused.folder.mkdir()
    (paused.folder / "running").write_text(str(a_dead_number()))
    assert paused("ls", str(paused.folder), wait="60").stdout == "running\n"


def test_a_queue_is_paused_while_a_command_runs(paused):
    paused.folder.mkdir()
    for name in ("running", "standing"):
        (paused.folder / name).write_text(str(os.getpid()))
    done = paused("sh", "-c", f"ls {paused.folder}; exit 5", wait="60")
    marks = [w for w in done.stdout.split() if w.startswith("pause.")]
    assert len(marks) == 1
    assert done.returncode == 5
    left = sorted(path.name for path in paused.folder.iterdir())
    assert left == ["running", "standing"]


def test_a_queue_that_does_not_stop_is_not_waited_for_long(paused):
    paused.folder.mkdir()
    (paused.folder / "running").write_text(str(os.getpid()))
    assert paused("echo", "on", wait="1").stdout == "on\n"


# The choice of a rate ----------------------------------------------------

TABLE = [  # losses by rate, first rates, beyond; chosen, tried, at an edge
    ({1: 3, 2: 1, 4: 2}, (1, 2, 4), 3, 2, [1, 2, 4], False),
    ({1: 3, 2: 2, 4: 1, 8: 2}, (1, 2, 4), 3, 4, [1, 2, 4, 8], False),
    ({0.5: 2, 1: 1, 2: 2, 4: 3}, (1, 2, 4), 3, 1, [0.5, 1, 2, 4], False),
    ({1: 4, 2: 3, 4: 2, 8: 1}, (1, 2, 4), 1, 8, [1, 2, 4, 8], True),
    ({1: 1, 2: None, 4: None}, (1, 2, 4), 0, 1, [1, 2, 4], True),
    ({0.12: 2, 0.25: 1, 0.5: None, 1: None, 2: None}, (1, 2), 3, 0.25,
     [0.12, 0.25, 0.5, 1, 2], False),
    ({0.5: 1, 0.25: 2, 1: None, 2: None}, (1, 2), 2, 0.5, [0.25, 0.5, 1, 2],
     False),
]  # fmt: skip


@pytest.mark.parametrize("row", TABLE)
def test_the_best_rate_is_not_left_at_an_edge_unsaid(row, desk, monkeypatch):
    losses, first, more, chosen, tried, edge = row

    def trial(desk, search, rate):
        return {
            "rate": rate,
            "validation_loss": losses[rate],
            "validation_accuracy": 0.5,
            "seconds": 1.0,
        }

    monkeypatch.setattr(fit, "trial", trial)
    search = jobs.Search("s", "A", BASE, first, more=more)
    found = queue.run(desk, search)
    assert (found["chosen"], found["rates"]) == (chosen, tried)
    assert found["at_edge"] is edge
    assert found["tried_beyond"] == len(tried) - len(first)
    assert ("at the edge" in queue.summary(found)) is edge


def test_where_all_rates_diverge_none_is_chosen(desk):
    wild = jobs.Search("wild", "A", BASE, (1e9, 1e10), images=48, more=0)
    with pytest.raises(RuntimeError, match="wild: all rates diverged"):
        queue.run(desk, wild)
    tame = replace(wild, name="half", rates=(0.01, 1e9))
    found = queue.run(desk, tame)
    assert found["chosen"] == 0.01
    assert found["trials"][1]["validation_loss"] is None


def test_a_training_that_diverges_is_a_result(desk):
    queue.run(desk, replace(BASE, rate=1e9))
    text = (desk.state.folder / "results" / "net.json").read_text()

    def refuse(word):
        raise AssertionError(word)

    found = json.loads(text, parse_constant=refuse)
    assert found["diverged"]["step"] < 15


SEARCH = jobs.Search("s", "A", BASE, (0.01, 0.1), epochs=2, images=48, more=1)


def test_test_images_choose_nothing(tmp_path):
    d = smoke.noise()
    other = replace(d, test_x=-d.test_x.flip(0), test_y=9 - d.test_y)
    found = []
    for k, dataset in enumerate((d, other)):
        state = keeping.State(tmp_path / str(k))
        one = queue.run(Desk(state, dataset, ""), SEARCH)
        trials = [{**t, "seconds": 0} for t in one["trials"]]
        found.append((one["chosen"], trials))
    assert found[0] == found[1]


def test_validation_images_are_never_trained_on_in_a_search(desk, monkeypatch):
    d, used = desk.dataset, []
    held = {tuple(x.flatten()[:6].tolist()) for x in d.train_x[desk.held]}

    class Spy(data.Loader):
        def __init__(self, x, *rest, **more):
            super().__init__(x, *rest, **more)
            if more.get("drop_last"):
                used.extend(tuple(i.flatten()[:6].tolist()) for i in x)

    monkeypatch.setattr(data, "Loader", Spy)
    for images in (48, 72, 79):  # up to all but one of the training set
        queue.run(desk, replace(SEARCH, name=f"s{images}", images=images))
    assert used
    assert not held & set(used)
    assert len(held) == 8


def test_validation_images_decide(desk):
    found = queue.run(desk, SEARCH)
    net, _, _ = fit.train(desk, SEARCH.trial(found["chosen"]), test=False)
    d = desk.dataset
    net.eval()
    with torch.no_grad():
        loss = F.cross_entropy(net(d.train_x[desk.held]), d.train_y[desk.held])
    assert found["validation_loss"] == pytest.approx(loss.item(), rel=0.02)


def test_of_two_searches_the_better_gives_rate_and_optimizer(desk):
    for name, optimizer, loss, rate in (
        ("one", "sgd", 2.0, 0.1), ("two", "adam", 1.0, 0.003),
        ("three", "sgd", 1.5, 0.2),
    ):  # fmt: skip
        of = jobs.asked(replace(BASE, optimizer=optimizer))
        kept = {"chosen": rate, "validation_loss": loss, "job": {"of": of}}
        kept["rates"] = [10 * rate, rate, rate / 10]
        desk.state.finish(name, kept)
    for order in itertools.permutations(("one", "two", "three")):
        tries = fit.candidates(desk, replace(BASE, rate=order))
        assert {one.optimizer for one in tries} == {"adam"}
        assert [one.rate for one in tries] == [0.003, 0.003 / 10]
    with pytest.raises(LookupError, match="waits for the search four"):
        fit.candidates(desk, replace(BASE, rate=("one", "four")))


@pytest.mark.parametrize("first", [8.0, 1e30])
def test_a_rate_that_does_not_last_gives_way_to_a_smaller(
    first, desk, tmp_path, monkeypatch
):
    monkeypatch.setattr(watch, "LEARNT", 100)  # so small, all has learnt
    found = {"chosen": first, "validation_loss": 1.0}
    found |= {"rates": [0.05, first, 1e31], "job": {"of": jobs.asked(BASE)}}
    desk.state.finish("search", found)
    made = queue.run(desk, replace(BASE, rate=("search",)))
    (fell,) = made["fell_back"]
    assert fell["rate"] == first
    assert made["rate"] == 0.05
    alone = copy.copy(desk)
    alone.state = keeping.State(tmp_path / "alone")
    queue.run(alone, BASE)
    mine, other = facts(desk.state, "net"), facts(alone.state, "net")
    for facts_of in (mine, other):  # how it came to its rate
        for key in ("job", "command", "fell_back"):
            facts_of[0].pop(key)
    assert_same(mine, other)


def test_the_smallest_rate_trains_to_its_end(desk, monkeypatch):
    monkeypatch.setattr(watch, "LEARNT", 100)
    found = {"chosen": 8.0, "validation_loss": 1.0, "rates": [8.0]}
    desk.state.finish("search", found | {"job": {"of": jobs.asked(BASE)}})
    made = queue.run(desk, replace(BASE, rate=("search",)))
    assert (made["rate"], made["fell_back"]) == (8.0, [])
    assert len(made["epochs"]["train_loss"]) == BASE.epochs


# The pieces --------------------------------------------------------------


def test_stretches_are_the_same_batches_cut_anew():
    x = torch.arange(20.0)[:, None]
    loader = data.Loader(x, x, 3, True, 4, drop_last=True)
    passes = [loader.batches(e) for e in range(5)]
    whole = [b[0] for b in itertools.chain(*passes)]
    cut = Stretched(loader, 4)
    for stretch, start in itertools.product(range(6), range(4)):
        got = [b[0] for b in cut.batches(stretch, start)]
        wanted = whole[4 * stretch + start : 4 * stretch + 4]
        assert len(got) == len(wanted) == 4 - start
        assert all(map(torch.equal, got, wanted))


class Doubled(nn.Module):
    """A network that copies one pixel 49 times, as VGG-11 does."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 5, 8)
        self.pool = nn.AdaptiveAvgPool2d(7)
        self.classifier = nn.Sequential(
            nn.Linear(5 * 49, 6), nn.ReLU(), nn.Linear(6, 4)
        )

    def forward(self, x):
        return self.classifier(self.pool(self.features(x)).flatten(1))


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_folded_network_trains_as_the_whole_one(name, float64):
    whole = Doubled().double()
    began = copy.deepcopy(whole)
    folded = networks.Folded(copy.deepcopy(whole))
    x, y = torch.randn(4, 3, 8, 8), torch.arange(4)
    for net in (whole, folded):
        groups = {"params": list(net.parameters())}
        optimizer = networks.optimizer(name, net, 0.01, 0.0)
        assert groups["params"]
        for _ in range(5):
            optimizer.zero_grad()
            F.cross_entropy(net(x), y).backward()
            optimizer.step()
    back = networks.unfolded(folded, began)
    torch.testing.assert_close(back(x), whole(x))
    for one, two in zip(back.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-7)


def test_a_folded_network_refuses_decay():
    with pytest.raises(ValueError, match="only without decay"):
        networks.optimizer("sgd", networks.Folded(Doubled()), 0.1, 1e-4)


def test_numbers_too_large_for_half_precision_are_left_out(desk):
    net = nn.BatchNorm1d(3)
    assert watch.fits(net)
    net.running_var[1] = 70_000
    assert not watch.fits(net)
    net.running_var[1] = float("nan")
    assert not watch.fits(net)


@pytest.mark.parametrize(
    "module", [export, plan, keeping, reading, reading_why, watch]
)
def test_the_examples_run(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


@pytest.mark.parametrize("quality", [5, 30, 50, 75, 90, 99])
def test_the_quality_of_a_jpeg_is_read(quality):
    file = io.BytesIO()
    Image.new("RGB", (32, 32)).save(file, "JPEG", quality=quality)
    assert export.quality(file.getvalue()) == pytest.approx(quality, abs=3)


# The whole queue ---------------------------------------------------------


def test_a_failed_job_does_not_stop_the_others(desk, capsys):
    lost = replace(BASE, name="lost", rate=("nowhere",))
    assert queue.work(desk, [lost, BASE]) == ["lost"]
    assert desk.state.result("net") is not None
    assert "waits for the search nowhere" in capsys.readouterr().out


def test_two_queues_do_not_share_a_folder(desk):
    with (
        desk.state.running(),
        pytest.raises(RuntimeError, match="training the studies"),
    ):
        queue.work(desk, [BASE])


def test_names_and_order_of_the_plan():
    for wanted in (plan.jobs(), plan.pack()):
        names = [job.name for job in wanted]
        assert len(set(names)) == len(names)
        for k, job in enumerate(wanted):
            if isinstance(getattr(job, "rate", 0), tuple):
                assert set(job.rate) <= set(names[:k])
        tiers = [job.tier for job in wanted]
        assert tiers == sorted(tiers)
    of = {job.name: job for job in plan.jobs()}
    for name in ("resnet50", "vgg11"):
        steps = of[name].steps()
        due = watch.marks(of[name].points, of[name].epochs, steps)
        assert sum(0 < m <= 2 * steps for m in due) >= 20
        assert (of[name].images, of[name].epochs) == (50_000, 10)


def test_two_measures_are_blind_to_the_twin(desk):
    queue.run(desk, replace(BASE, name="spread"))
    found = sharpness.sharpness(
        desk.dataset, str(desk.state.folder), "cpu", "spread", 20
    )
    own, twin = found["measures"], found["twin"]
    ratios = {name: twin[name] / own[name] for name in own}
    assert list(ratios) == ["eigenvalue", "relative", "trace", "sam", "asam"]
    for name, ratio in ratios.items():
        blind = name in ("relative", "asam")
        assert bool(abs(ratio - 1) < 1e-2) is blind, (name, ratio)
    net = networks.trained(desk.state, "spread", desk.dataset).eval()
    d = desk.dataset
    with torch.no_grad():
        loss = F.cross_entropy(net(d.train_x), d.train_y)
    assert found["train_loss"] == pytest.approx(float(loss), rel=1e-5)


@pytest.mark.full
def test_everything_runs_at_its_smallest(tmp_path, capsys, monkeypatch):
    """The GPU's jobs are those of tiers A and B and a few more."""
    monkeypatch.setattr(stored, "_HERE", tmp_path)
    known = plan.jobs()
    known += [job for job in plan.pack() if job.tier == "G"]
    monkeypatch.setattr(plan, "jobs", lambda: known)
    folder = tmp_path / "state"
    words = ["--smoke", "--state", str(folder)]
    assert command.main(words) == 0
    said = capsys.readouterr().out
    assert "failed" not in said
    state = keeping.State(folder)
    wanted = smoke.shrunk(plan.jobs())
    assert {type(job) for job in wanted} == set(jobs.Job.__args__)
    assert all(queue.done(state, job) for job in wanted)
    assert command.main(words) == 0
    assert "begins" not in capsys.readouterr().out
    command.main([*words, "--list"])
    assert "in all: about 0.0 h left" in capsys.readouterr().out
    monkeypatch.setattr(planes, "STORED", {"big_landscapes": ("vgg11",)})
    assert command.main([*words, "--export"]) == 0
    table = capsys.readouterr().out
    kept = json.loads((tmp_path / "studies.json").read_text())
    apart = ("plane", "convexity", "sharpness")
    planes_apart = [
        job.name for job in wanted if getattr(job, "make", "") not in apart
    ]
    assert list(kept["jobs"]) == [
        name for name in planes_apart if not name.startswith("reading-")
    ]
    read = stored.stored("reading")["jobs"]
    assert list(read) == [
        name for name in planes_apart if name.startswith("reading-")
    ]
    assert {one["kind"] for one in read.values()} == {"table"}
    assert kept["missing"] == []
    for name, one in kept["jobs"].items():
        assert one["command"].endswith(name)
        assert one["about"]["data"] == "noise"
        assert (f"| {name} |" in table) is (one["kind"] == "training")
    drawn = stored.stored("big_landscapes")["networks"]["vgg11"]
    plane = drawn["surfaces"]["pca"]
    assert stored.surface_of(plane).losses.shape == (3, 3)
    assert np.shape(drawn["convexity"]["ratio"]) == (2, 2)
    assert len(plane["steps"]) == len(plane["path_losses"]) > 2
    sharp = stored.stored("sharpness")["networks"]
    assert [one["name"] for one in sharp] == ["spread-00"]
    assert sharp[0]["measures"].keys() == sharp[0]["twin"].keys()
    again = keeping.State(tmp_path / "again")
    taken = export.from_package(again, wanted)
    assert taken == planes_apart
    with pytest.raises(LookupError, match="trained elsewhere"):
        networks.trained(again, "vgg11", smoke.noise())
