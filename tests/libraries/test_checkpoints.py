"""Checkpoints that the libraries' own savers write, through every door.

The doors: ``others=``, the other end of a line, ``Trajectory.collect`` and
the command line.
"""

import argparse
import sys
import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel
from torch.utils.data import DataLoader

from dldna import cli
from dldna.data import torchvision
from dldna.landscape import Trajectory, line, read_checkpoint, surface
from dldna.records import Record

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    torchvision()  # they import it
for _name in ("transformers", "peft", "timm", "accelerate", "lightning"):
    pytest.importorskip(_name, reason="make test-libraries installs it")

pytestmark = pytest.mark.filterwarnings("ignore")  # their own

NETS = """
import torch
from torch import nn


def ids():
    drawn = torch.Generator().manual_seed(0)
    batch = torch.randint(0, 20, (4, 5), generator=drawn)
    return [{"input_ids": batch, "labels": batch}]


def rows():
    drawn = torch.Generator().manual_seed(0)
    return [(torch.randn(12, 4, generator=drawn), torch.arange(12) % 3)]


def tied():
    import transformers as hf

    return hf.GPT2LMHeadModel(hf.GPT2Config(
        vocab_size=20, n_positions=8, n_embd=8, n_layer=1, n_head=2,
        bos_token_id=0, eos_token_id=0, loss_type="ForCausalLM"))


def adapted():
    import peft

    with torch.random.fork_rng():
        torch.manual_seed(5)
        base = tied()  # the same in all
    config = peft.LoraConfig(r=2, target_modules=["c_attn"])
    model = peft.get_peft_model(base, config)
    for name, p in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(p)
    return model


def dense():
    return nn.Sequential(
        nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Tanh(), nn.Linear(6, 3)
    )
"""
HOME: dict = {"__name__": "nets"}
exec(NETS, HOME)


def net(kind, seed):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return HOME[kind]().eval()


def loss_of(model):
    with torch.no_grad():
        if isinstance(model, nn.Sequential):
            [(x, y)] = HOME["rows"]()
            return F.cross_entropy(model(x), y).item()
        return model(**HOME["ids"]()[0]).loss.item()


# --- what writes them ----------------------------------------------------


def safetensors_file(model, home):
    from safetensors.torch import save_model

    save_model(model, str(home / "net.safetensors"))
    return home / "net.safetensors"


def pretrained(model, home):
    model.save_pretrained(home / "net")
    return home / "net"


def in_parts(model, home):
    model.save_pretrained(home / "net", max_shard_size="2KB")
    assert (home / "net" / "model.safetensors.index.json").exists()
    return home / "net"


def by_trainer(model, home):
    import transformers as hf

    row = {k: v[0] for k, v in HOME["ids"]()[0].items()}
    settings = hf.TrainingArguments(
        str(home / "run"), max_steps=2, save_steps=1, learning_rate=0.0,
        per_device_train_batch_size=1, use_cpu=True, report_to=[],
        disable_tqdm=True, dataloader_pin_memory=False,
        logging_strategy="no",
    )  # fmt: skip
    hf.Trainer(model, settings, train_dataset=[row] * 4).train()
    model.eval()
    return home / "run" / "checkpoint-2"


def by_accelerate(model, home):
    from accelerate import Accelerator

    Accelerator(cpu=True).save_model(model, str(home / "net"))
    return home / "net"


def state_of_accelerate(model, home):
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    accelerator.prepare(model, optimizer)
    accelerator.save_state(str(home / "checkpoint_0"))
    return home / "checkpoint_0"


def by_lightning(model, home):
    import lightning.pytorch as pl

    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.save_hyperparameters({"lr": 0.0})
            self.backbone = nn.ModuleDict({"student": model})

        def training_step(self, batch, number):
            return F.cross_entropy(self.backbone["student"](batch[0]),
                                   batch[1])  # fmt: skip

        def configure_optimizers(self):
            return torch.optim.SGD(self.parameters(), 0.0)

    trainer = pl.Trainer(
        max_steps=1, accelerator="cpu", devices=1, logger=False,
        enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, default_root_dir=str(home),
    )  # fmt: skip
    trainer.fit(Net(), DataLoader(HOME["rows"](), batch_size=None))
    model.eval()
    trainer.save_checkpoint(home / "epoch=0-step=1.ckpt")
    return home / "epoch=0-step=1.ckpt"


def by_timm(model, home, averaged=None):
    from timm.utils import CheckpointSaver

    saver = CheckpointSaver(
        model, torch.optim.SGD(model.parameters(), 0.1),
        args=argparse.Namespace(model="dense", lr=0.1),
        model_ema=averaged, checkpoint_dir=str(home),
    )  # fmt: skip
    saver.save_checkpoint(0, metric=81.5)
    return home / "last.pth.tar"


def by_timm_averaged(model, home):
    from timm.utils import ModelEmaV3

    return by_timm(net("dense", 9), home, ModelEmaV3(model))


def under_net(model, home):
    torch.save({"net": model.state_dict(), "epoch": 3}, home / "net.pt")
    return home / "net.pt"


def averaged(model, home):
    torch.save(AveragedModel(model).state_dict(), home / "swa.pt")
    return home / "swa.pt"


FORMS = {
    "safetensors, tied": ("tied", safetensors_file),
    "Hugging Face folder": ("tied", pretrained),
    "sharded with index": ("tied", in_parts),
    "checkpoint-N of Trainer": ("tied", by_trainer),
    "accelerate model": ("tied", by_accelerate),
    "accelerate state": ("dense", state_of_accelerate),
    "adapter of peft": ("adapted", pretrained),
    "Lightning": ("dense", by_lightning),
    "timm": ("dense", by_timm),
    "timm, averaged": ("dense", by_timm_averaged),
    "net": ("dense", under_net),
    "AveragedModel": ("dense", averaged),
}
KEYS = {"timm, averaged": "state_dict_ema"}


def given(kind):
    """Loss and data of the call."""
    if kind == "dense":
        return F.cross_entropy, HOME["rows"]()
    return "model", HOME["ids"]()


# --- the doors -----------------------------------------------------------


def door_others(kind, file, key, folder):
    read = read_checkpoint(file, key) if key else file
    found = surface(
        net(kind, 0), *given(kind), "checkpoints", resolution=3,
        extent=(0.0, 1.0), others=[read, net(kind, 2)],
    )  # fmt: skip
    return found.losses[-1, 0]


def door_line(kind, file, key, folder):
    read = read_checkpoint(file, key) if key else file
    found = line(net(kind, 0), read, *given(kind), alphas=[0.0, 1.0])
    return found.losses[-1]


def door_collect(kind, file, key, folder):
    model = net(kind, 0)
    run = Trajectory.collect([file], folder / "kept", model, key=key)
    return loss_of(run.final(model))


def door_command_line(kind, file, key, folder):
    home = folder / "nets.py"
    home.write_text(NETS)
    loss, data = ("cross_entropy", "rows") if kind == "dense" else (
        "model", "ids")  # fmt: skip
    words = ["landscape", f"{home}:{kind}", str(file), "--data",
             f"{home}:{data}", "--loss", loss, "--grid", "3", "--out",
             str(folder / "out"), "--export"]  # fmt: skip
    words += ["--key", key] if key else []
    try:
        assert cli.main(words) == 0
    finally:
        sys.modules.pop("nets", None)
    return Record.load(folder / "out" / "surface.npz").centre_loss


DOORS = (door_others, door_line, door_collect, door_command_line)


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("form", FORMS)
def test_every_form_through_every_door(form, door, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kind, write = FORMS[form]
    model = net(kind, 1)
    right = loss_of(model)
    assert right != pytest.approx(loss_of(net(kind, 0)), rel=1e-3)
    file = write(model, tmp_path)
    if kind == "dense":
        right = loss_of(model)  # after a step, its statistics moved
    found = door(kind, file, KEYS.get(form), tmp_path)
    assert found == pytest.approx(right, rel=1e-6)


def test_a_folder_of_a_trainer_is_a_series(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    model = net("tied", 1)
    by_trainer(model, tmp_path)
    run = Trajectory.collect(tmp_path / "run", tmp_path / "kept", model)
    assert len(run) == 2
