"""Checkpoints as libraries write them, through every door of ours."""

import argparse
import copy
import json
import pathlib
import sys
import zipfile

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel

from dldna import cli, params
from dldna.landscape import (
    Recorder,
    Trajectory,
    line,
    read_checkpoint,
    surface,
)
from dldna.landscape.curves import segment
from dldna.landscape.space.checkpoints import checkpoints_in, load_into
from dldna.landscape.space.names import bare, match
from dldna.landscape.space.points import point_of
from dldna.records import Record

safetensors = pytest.importorskip("safetensors.torch")

MAKE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.norm, self.b = (
            nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)
        )

    def forward(self, x):
        return self.b(torch.tanh(self.norm(self.a(x))))

def data():
    g = torch.Generator().manual_seed(0)
    x = torch.randn(12, 4, generator=g)
    return [(x, torch.arange(12) % 3)]
"""
HOME: dict = {"__name__": "nets"}
exec(MAKE, HOME)
Net, DATA = HOME["Net"], HOME["data"]()


def net(seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = Net()
        with torch.no_grad():
            made.norm.running_mean.normal_()
            made.norm.running_var.uniform_(0.5, 2)
    return made.eval()


def loss_of(model):
    with torch.no_grad():
        return float(F.cross_entropy(model(DATA[0][0]), DATA[0][1]))


def state_of(model):
    return model.state_dict().items()


def torch_file(name, wrap):
    def write(folder, model):
        torch.save(wrap(model), folder / name)
        return folder / name

    return write


def beside_numbers(model):
    return {
        "epoch": 3,
        "arch": "net",
        "state_dict": model.state_dict(),
        "args": argparse.Namespace(lr=0.1, name="run"),
        "metric": np.float64(81.5),
        "best": np.float32(0.5),
        "folder": pathlib.Path("runs"),
        "optimizer": {"state": {}, "param_groups": [{"lr": 0.1}]},
    }


# Names under which other versions of NumPy and of Python write such values.
ELSEWHERE = {
    b"cnumpy._core.multiarray\n": b"cnumpy.core.multiarray\n",
    b"cpathlib._local\n": b"cpathlib\n",
}


def of_other_versions(folder, model):
    """A file beside numbers, by the NumPy and Python that are not here."""
    file = torch_file("last.pth.tar", beside_numbers)(folder, model)
    with zipfile.ZipFile(file) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    [name] = [n for n in parts if n.endswith("/data.pkl")]
    pickled = parts[name]
    for one, other in ELSEWHERE.items():
        here, there = (one, other) if one in pickled else (other, one)
        assert here in pickled
        pickled = pickled.replace(here, there)
    with zipfile.ZipFile(file, "w") as archive:
        for part, held in (parts | {name: pickled}).items():
            archive.writestr(part, held)
    return file


def lightning(model):
    return {
        "epoch": 1,
        "global_step": 20,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {
            **{f"model.{k}": v for k, v in model.state_dict().items()},
            "loss.scale": torch.ones(1),
        },
        "callbacks": {"ModelCheckpoint": {"best": torch.ones(1)}},
        "hyper_parameters": {"lr": 0.1},
    }


def averaged(model):
    twin = AveragedModel(net(9))
    twin.update_parameters(model)
    twin.module.load_state_dict(model.state_dict())
    return twin.state_dict()


def safe_file(folder, model):
    safetensors.save_file(model.state_dict(), folder / "net.safetensors")
    return folder / "net.safetensors"


def safe_folder(folder, model):
    """In two parts, as Hugging Face cuts large ones."""
    return in_parts(
        folder / "checkpoint-7",
        model,
        "model",
        ".safetensors",
        safetensors.save_file,
    )


def bin_folder_in_parts(folder, model):
    return in_parts(folder / "big", model, "pytorch_model", ".bin", torch.save)


def in_parts(home, model, stem, suffix, save):
    home.mkdir()
    state = model.state_dict()
    names = list(state)
    parts, where = (names[::2], names[1::2]), {}
    for i, some in enumerate(parts):
        file = f"{stem}-0000{i + 1}-of-00002{suffix}"
        save({k: state[k] for k in some}, home / file)
        where |= dict.fromkeys(some, file)
    index = {"metadata": {}, "weight_map": where}
    (home / f"{stem}{suffix}.index.json").write_text(json.dumps(index))
    torch.save({"lr": 1}, home / "optimizer.pt")
    return home


def bin_folder(folder, model):
    home = folder / "checkpoint_3"
    home.mkdir()
    torch.save(model.state_dict(), home / "pytorch_model.bin")
    torch.save({"state": {}}, home / "optimizer.bin")
    torch.save([1], home / "scheduler.bin")
    return home


FORMS = {
    "a state dict": torch_file("n.pth", lambda m: m.state_dict()),
    "timm": torch_file("last.pth.tar", beside_numbers),
    "timm, of other versions": of_other_versions,
    "under net": torch_file("n.pt", lambda m: {"net": m.state_dict()}),
    "by key": torch_file(
        "n.pth",
        lambda m: {
            "state_dict": net(8).state_dict(),
            "state_dict_ema": m.state_dict(),
        },
    ),
    "the only one": torch_file(
        "n.pth", lambda m: {"generator": m.state_dict(), "step": 3}
    ),
    "Lightning": torch_file("epoch=1-step=20.ckpt", lightning),
    "AveragedModel": torch_file("n.pth", averaged),
    "DataParallel": torch_file(
        "n.pth",
        lambda m: {f"module.{k}": v for k, v in m.state_dict().items()},
    ),
    "compiled": torch_file(
        "n.pth",
        lambda m: {f"_orig_mod.{k}": v for k, v in m.state_dict().items()},
    ),
    "safetensors": safe_file,
    "safetensors in parts": safe_folder,
    "accelerate": bin_folder,
    "bin in parts": bin_folder_in_parts,
}
KEY = {"by key": "state_dict_ema"}


def door_others(file, key, tmp_path):
    read = read_checkpoint(file, key) if key else file
    s = surface(
        net(0), F.cross_entropy, DATA, "checkpoints", resolution=3,
        extent=(0.0, 1.0), others=[read, net(2)],
    )  # fmt: skip
    return float(s.losses[-1, 0])


def door_line(file, key, tmp_path):
    read = read_checkpoint(file, key) if key else file
    found = line(net(0), read, F.cross_entropy, DATA, resolution=5)
    return float(found.losses[list(found.alphas).index(1.0)])


def door_collect(file, key, tmp_path):
    run = Trajectory.collect([file], tmp_path / "run", net(0), key=key)
    return loss_of(run.final(net(0)))


def door_cli(file, key, tmp_path):
    home = tmp_path / "nets.py"
    home.write_text(MAKE)
    words = ["landscape", f"{home}:Net", str(file), "--data", f"{home}:data"]
    words += ["--grid", "3", "--out", str(tmp_path / "out"), "--export"]
    words += ["--key", key] if key else []
    assert cli.main(words) == 0
    return Record.load(tmp_path / "out" / "surface.npz").centre_loss


DOORS = (door_others, door_line, door_collect, door_cli)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_through_every_door(form, door, tmp_path):
    model = net(1)
    file = FORMS[form](tmp_path, model)
    got = door(file, KEY.get(form), tmp_path)
    assert got == pytest.approx(loss_of(model), rel=1e-6)


@pytest.mark.parametrize("form", ["safetensors in parts", "accelerate"])
def test_a_trainers_folder_is_a_series(form, tmp_path):
    for step in (100, 20, 3):
        made = FORMS[form](tmp_path, net(step))
        made.rename(tmp_path / f"checkpoint-{step}")
    run = Trajectory.collect(tmp_path, tmp_path / "run", net(0))
    want = [net(step).a.weight for step in (3, 20, 100)]
    assert all(map(torch.equal, (w["a.weight"] for w in run), want))


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(6, 4)
        self.body = nn.Linear(4, 4)
        self.head = nn.Linear(4, 6, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x):
        return self.head(self.body(self.embed(x)))


@pytest.mark.parametrize("kept", ["embed.weight", "head.weight", "both"])
def test_a_tied_tensor_under_either_name(kept, tmp_path):
    a, b = Tied(), Tied()
    file = tmp_path / "tied.safetensors"
    if kept == "both":
        safetensors.save_model(b, file)  # one, and the other's name beside
    else:
        state = {"body.weight": b.body.weight, "body.bias": b.body.bias}
        safetensors.save_file(state | {kept: b.embed.weight}, file)
    load_into(a, read_checkpoint(file), file)
    assert torch.equal(a.embed.weight, b.embed.weight)
    assert a.head.weight is a.embed.weight


def with_adapter(default):
    made = nn.Module()
    made.base_model = nn.Module()
    made.base_model.model = nn.Module()
    layer = nn.Module()
    layer.weight = nn.Parameter(torch.randn(3, 4), requires_grad=False)
    layer.lora_A = nn.ModuleDict({default: nn.Linear(4, 2, bias=False)})
    made.base_model.model.l = layer
    return made


def test_an_adapter_moves_its_own_tensors_alone(tmp_path):
    own, other = with_adapter("default"), with_adapter("default")
    weight = other.base_model.model.l.lora_A["default"].weight.detach()
    home = tmp_path / "checkpoint-5"
    home.mkdir()
    state = {"base_model.model.l.lora_A.weight": weight}
    safetensors.save_file(state, home / "adapter_model.safetensors")
    there = point_of(home, params.of(own))
    name = "base_model.model.l.lora_A.default.weight"
    assert torch.equal(there[name], weight)
    base = "base_model.model.l.weight"
    assert torch.equal(there[base], own.base_model.model.l.weight)
    before = own.base_model.model.l.weight.clone()
    load_into(own, read_checkpoint(home), home)
    loaded = own.base_model.model.l
    assert torch.equal(loaded.lora_A["default"].weight, weight)
    assert torch.equal(loaded.weight, before)


WRAPS = {
    "AveragedModel": AveragedModel,
    "DataParallel": nn.DataParallel,
    "compile": lambda m: torch.compile(m, backend="eager"),
    "AveragedModel of DataParallel": lambda m: AveragedModel(
        nn.DataParallel(m)
    ),
    "none": lambda m: m,
}


@pytest.mark.parametrize("read", WRAPS)
@pytest.mark.parametrize("written", WRAPS)
def test_a_run_is_read_whatever_wrapped_the_network(written, read, tmp_path):
    with Recorder(tmp_path / "run") as recorder:
        for step in range(3):
            recorder.record(WRAPS[written](net(step)), step=step)
    run = Trajectory(tmp_path / "run")
    final = run.final(WRAPS[read](net(7)))
    got = bare(dict(final.named_parameters()))
    assert torch.equal(got["a.weight"], net(2).a.weight)
    shadow = run.project(run.plane())
    assert np.allclose(shadow.distances, 0, atol=1e-4)


@pytest.mark.parametrize("wrap", WRAPS)
def test_a_wrapped_network_is_a_checkpoint(wrap):
    other = WRAPS[wrap](net(1))
    found = line(net(0), other, F.cross_entropy, DATA, alphas=[0.0, 1.0])
    assert found.losses[-1] == pytest.approx(loss_of(net(1)), rel=1e-6)


def test_a_part_that_is_compiled_alone_keeps_its_weights(tmp_path):
    a, b = net(0), net(1)
    state = {k.replace("a.", "a._orig_mod."): v for k, v in state_of(b)}
    torch.save(state, tmp_path / "part.pt")
    twin = copy.deepcopy(a)
    load_into(twin, read_checkpoint(tmp_path / "part.pt"), "part.pt")
    found = line(a, tmp_path / "part.pt", F.cross_entropy, DATA, resolution=5)
    assert loss_of(twin) == loss_of(b)
    assert found.losses[found.alphas == 1] == pytest.approx(loss_of(b))


def test_sparse_weights_are_weights(tmp_path):
    a, b = net(0), net(1)
    sparse = dict(state_of(b)) | {"b.weight": b.b.weight.detach().to_sparse()}
    twin = copy.deepcopy(a)
    load_into(twin, sparse, "a dict")
    found = line(a, sparse, F.cross_entropy, DATA, resolution=5)
    assert loss_of(twin) == loss_of(b)
    assert found.losses[found.alphas == 1] == pytest.approx(loss_of(b))


@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda w: w.to(torch.complex64) * 1j, "complex"),
        (lambda w: (w * 127).to(torch.int8), "dequantize"),
        (lambda w: w.to(torch.float8_e4m3fn), "dequantize"),
    ],
)
def test_what_is_no_weight_by_itself_is_refused(made, says):
    model, weight = net(0), net(1).b.weight.detach()
    other = dict(state_of(net(1))) | {"b.weight": made(weight)}
    with pytest.raises(ValueError, match=f"'b.weight' holds .*{says}"):
        load_into(copy.deepcopy(model), other, "a dict")
    with pytest.raises(ValueError, match=f"'b.weight' holds .*{says}"):
        line(model, other, F.cross_entropy, DATA, resolution=3)
    moved = {"b.weight": made(weight)}
    with pytest.raises(ValueError, match=f"'b.weight' holds .*{says}"):
        surface(model, F.cross_entropy, DATA, ("random", moved), resolution=3)


def test_a_direction_of_arrays_is_that_of_their_tensors():
    model, step = net(0), torch.ones(3, 5)
    both = [
        surface(model, F.cross_entropy, DATA, ("random", d), resolution=3)
        for d in ({"b.weight": step.numpy()}, {"b.weight": step})
    ]
    assert np.array_equal(both[0].losses, both[1].losses)


def test_a_curve_begins_at_any_checkpoint(tmp_path):
    a, b = net(0), net(1)
    torch.save({"state_dict": dict(state_of(a))}, tmp_path / "a.ckpt")
    for start in (tmp_path / "a.ckpt", {"model": dict(state_of(a))}):
        found = segment(start, b)
        assert all(torch.equal(found.points[0][k], v)
                   for k, v in params.of(a).items())  # fmt: skip


def test_two_networks_in_one_checkpoint_are_not_guessed_at(tmp_path):
    both = {f"{side}.{k}": v for side in "gd" for k, v in
            net(1).state_dict().items()}  # fmt: skip
    with pytest.raises(ValueError, match=r"several networks.*'g\.', 'd\.'"):
        match(both, net(0).state_dict())
    torch.save({"one": {"w": torch.ones(1)}, "two": {"w": torch.ones(1)}},
               tmp_path / "n.pth")  # fmt: skip
    with pytest.raises(ValueError, match=r"'one', 'two'.*name one by key"):
        read_checkpoint(tmp_path / "n.pth")
    with pytest.raises(ValueError, match="did you mean 'two'"):
        read_checkpoint(tmp_path / "n.pth", "tow")


class Thing:
    pass


def cut(folder):
    safe_file(folder, net(0))
    file = folder / "net.safetensors"
    file.write_bytes(file.read_bytes()[:200])
    return file


def part_gone(folder):
    home = safe_folder(folder, net(0))
    next(home.glob("*-00002-of*")).unlink()
    return home


def part_outside(folder):
    home = safe_folder(folder, net(0))
    index = home / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "../net.safetensors"}}))
    return home


def index_broken(folder):
    home = safe_folder(folder, net(0))
    (home / "model.safetensors.index.json").write_text("{")
    return home


def with_objects(folder):
    torch.save({"model": net(0).state_dict(), "x": Thing()}, folder / "n.pt")
    return folder / "n.pt"


def empty_folder(folder):
    (folder / "none").mkdir()
    return folder / "none"


BAD = {
    cut: "is damaged",
    part_gone: "not beside it",
    part_outside: "not beside it",
    index_broken: "is damaged",
    with_objects: "Thing.*would run code.*weights_only=False",
    empty_folder: "folder without a file of weights",
}


@pytest.mark.parametrize("make", BAD)
def test_what_cannot_be_read_says_why(make, tmp_path):
    with pytest.raises(ValueError, match=BAD[make]):
        read_checkpoint(make(tmp_path))


def test_safetensors_missing_is_no_damage(tmp_path, monkeypatch):
    file = safe_file(tmp_path, net(0))
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match="pip install safetensors"):
        read_checkpoint(file)


def test_a_folder_of_optimizers_holds_no_checkpoint(tmp_path):
    torch.save([1], tmp_path / "optimizer.pt")
    with pytest.raises(FileNotFoundError, match="no checkpoint"):
        checkpoints_in([tmp_path])


def test_reading_leaves_the_model_alone(tmp_path):
    model = net(0)
    before = copy.deepcopy(model.state_dict())
    door_line(FORMS["Lightning"](tmp_path, net(1)), None, tmp_path)
    assert all(map(torch.equal, before.values(), model.state_dict().values()))


def test_a_network_inside_another_takes_its_own_names():
    outer = nn.Module()
    outer.model = nn.Module()
    outer.model.net = net(0)
    state = net(1).state_dict()
    names = list(dict(outer.named_parameters()))
    got = match(state, names)
    assert list(got) == names
    assert torch.equal(got["model.net.a.weight"], state["a.weight"])


def test_the_parts_of_a_network_are_no_network():
    layers = nn.Sequential(nn.Linear(4, 3), nn.Linear(4, 3))
    assert match(layers[0].state_dict(), layers.state_dict()) == {}


def test_what_looks_like_an_adapter_is_none(tmp_path):
    small, large = nn.Module(), nn.Module()
    small.base_model = nn.Sequential(nn.Linear(4, 3))
    large.base_model = nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))
    with pytest.raises(ValueError, match="lacks parameter"):
        point_of(small.state_dict(), params.of(large))
    with pytest.raises(ValueError, match="does not fit"):
        load_into(large, small.state_dict(), "a file")
    own = with_adapter("default")
    at = "base_model.model"
    state = {
        f"{at}.{layer}.lora_A.weight": torch.ones(2, 4)
        for layer in ("l", "other")
    }
    with pytest.raises(ValueError, match="lacks parameter"):
        point_of(state, params.of(own))


def test_a_tensor_that_is_there_is_not_another_name(tmp_path):
    file = tmp_path / "n.safetensors"
    state = {"weight": torch.ones(2), "bias": torch.zeros(2)}
    safetensors.save_file(state, file, metadata={"weight": "bias"})
    assert read_checkpoint(file)["weight"].tolist() == [1, 1]


def test_a_config_beside_the_weights_is_no_state_dict(tmp_path):
    weights = {"w": torch.ones(1)}
    state = {"model": {"name": "net"}, "model_state_dict": weights}
    torch.save(state, tmp_path / "n.pt")
    assert list(read_checkpoint(tmp_path / "n.pt")) == ["w"]


def test_an_index_that_names_itself_is_refused(tmp_path):
    home = safe_folder(tmp_path, net(0))
    index = home / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": index.name}}))
    with pytest.raises(ValueError, match="not beside it"):
        read_checkpoint(home)
