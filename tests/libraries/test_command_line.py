"""Networks of transformers and timm by name, on the command line."""

import json
import sys
import warnings

import numpy as np
import pytest
import torch

from dldna._torchvision import torchvision
from dldna.cli import main
from dldna.cli.library_models import library_model
from dldna.data import load
from dldna.records import Surface

pytestmark = pytest.mark.filterwarnings("ignore")  # their own


def need(name):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torchvision()
        return pytest.importorskip(name)


BATCHES = """
import torch
g = torch.Generator().manual_seed(0)
ids = torch.randint(0, 50, (8, 6), generator=g)
data = [{"input_ids": ids, "labels": ids}]
"""


def call(folder, model, data, *more):
    words = ["--data", data, "--grid", "3", "--out", str(folder / "o")]
    return main(["landscape", model, *words, *more])


@pytest.fixture
def texts(tmp_path):
    (tmp_path / "texts.py").write_text(BATCHES)
    yield f"{tmp_path}/texts.py:data"
    sys.modules.pop("texts", None)


def test_a_folder_of_hugging_face_with_its_weights(tmp_path, texts, capsys):
    hf = need("transformers")
    config = hf.GPT2Config(vocab_size=50, n_positions=16, n_embd=8,
                           n_layer=1, n_head=2)  # fmt: skip
    net = hf.GPT2LMHeadModel(config).eval()
    net.save_pretrained(tmp_path / "net")
    assert call(tmp_path, f"hf:{tmp_path}/net", texts) == 0
    assert "at its saved weights" in capsys.readouterr().out
    found = Surface.load(tmp_path / "o" / "surface.npz")
    ids = sys.modules["texts"].ids
    with torch.no_grad():
        right = net(input_ids=ids, labels=ids).loss.item()
    assert found.centre_loss == pytest.approx(right, rel=1e-6)
    assert found.provenance.model == "GPT2LMHeadModel"
    assert found.provenance.loss == "the model's own loss"
    # the configuration alone, and the weights as a checkpoint
    whole = tmp_path / "net" / "config.json"
    there = ["landscape", f"hf:{whole}", f"{tmp_path}/net"]
    there += ["--data", texts, "--grid", "3", "--out", f"{tmp_path}/p"]
    assert main(there) == 0
    again = Surface.load(tmp_path / "p" / "surface.npz")
    np.testing.assert_array_equal(again.losses, found.losses)
    # no class is named: the first that knows the configuration
    kept = json.loads(whole.read_text())
    del kept["architectures"]
    whole.write_text(json.dumps(kept))
    assert main([*there[:-1], f"{tmp_path}/q"]) == 0


def test_images_by_name_reach_a_network_with_its_own_loss(tmp_path):
    hf = need("transformers")
    config = hf.ViTConfig(
        hidden_size=8, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=8, image_size=28, patch_size=14, num_channels=1,
        num_labels=10, architectures=["ViTForImageClassification"],
    )  # fmt: skip
    net = hf.ViTForImageClassification(config).eval()
    net.save_pretrained(tmp_path / "net")
    few = "--limit", "20"
    assert call(tmp_path, f"hf:{tmp_path}/net", "digits", *few) == 0
    found = Surface.load(tmp_path / "o" / "surface.npz")
    digits = load("digits")
    x, y = digits.train_x[:20], digits.train_y[:20]
    with torch.no_grad():
        right = net(pixel_values=x, labels=y).loss.item()
    assert found.centre_loss == pytest.approx(right, rel=1e-5)


def test_networks_of_timm(tmp_path, capsys):
    timm = need("timm")
    few = "--limit", "4", "--seed", "3"
    for i, name in enumerate(("test_resnet", "test_efficientnet")):
        home = tmp_path / str(i)
        assert call(home, f"timm:{name}", "digits", *few) == 0
        found = Surface.load(home / "o" / "surface.npz")
        digits = load("digits")
        x, y = digits.train_x[:4], digits.train_y[:4]
        torch.manual_seed(3)
        net = timm.create_model(name, num_classes=10, in_chans=1)
        with torch.no_grad():
            right = torch.nn.functional.cross_entropy(net.eval()(x), y)
        assert found.centre_loss == pytest.approx(right.item(), rel=1e-5)
    patches = library_model("timm:test_vit", 0, (1, 32, 32), 10)
    assert patches(torch.zeros(2, 1, 32, 32)).shape == (2, 10)
    capsys.readouterr()
    assert call(tmp_path, "timm:resnet81", "digits") == 1
    assert "no model 'resnet81'; near it: resnet" in capsys.readouterr().err


def test_unknown_kinds_and_missing_folders(tmp_path, texts, capsys):
    need("transformers")
    assert call(tmp_path, "hf:gtp2", texts) == 1
    said = capsys.readouterr().err
    assert "no folder, no file and no kind 'gtp2'; near it: gpt2" in said
    assert call(tmp_path, f"hf:{tmp_path}/none/config.json", texts) == 1
    assert "no file or folder" in capsys.readouterr().err
