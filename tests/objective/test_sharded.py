"""Weights that lie in parts on several devices are refused in words.

One process alone stands for many: its mesh has one place.
"""

import warnings

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna.landscape import Recorder, line, surface, top_eigenpairs
from dldna.objective import Objective

dist = pytest.importorskip("torch.distributed")
X, Y = torch.randn(8, 4), torch.arange(8) % 3


@pytest.fixture(scope="module")
def mesh():
    if not (dist.is_available() and dist.is_gloo_available()):
        pytest.skip("this torch has no gloo")
    from torch.distributed.device_mesh import init_device_mesh

    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield init_device_mesh("cpu", (1,))
    dist.destroy_process_group()


def tensors():
    """Where DTensors are made; torch before 2.5 had a name of its own."""
    found = pytest.importorskip("torch.distributed.tensor")
    if not hasattr(found, "distribute_tensor"):
        found = pytest.importorskip("torch.distributed._tensor")
    return found


def net():
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def fully_sharded(made, mesh):
    fsdp = pytest.importorskip("torch.distributed.fsdp")
    if not hasattr(fsdp, "fully_shard"):
        pytest.skip("this torch has no fully_shard")
    fsdp.fully_shard(made, mesh=mesh)
    return made


def part_sharded(made, mesh):
    fully_sharded(made[2], mesh)
    return made


def distributed(made, mesh):
    with warnings.catch_warnings():  # of torch before 2.5, on CPUs
        warnings.filterwarnings("ignore", "DTensor random operators")
        return tensors().distribute_module(made, mesh)


def buffer_alone(made, mesh):
    whole = torch.ones(3)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "DTensor random operators")
        made.register_buffer("scale", tensors().distribute_tensor(whole, mesh))
    return made


class FullyShardedDataParallel(nn.Module):
    """A stand-in: torch's own wants an accelerator."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, x):
        return self.module(x)


def wrapped(made, mesh):
    return FullyShardedDataParallel(made)


def part_wrapped(made, mesh):
    made[0] = FullyShardedDataParallel(made[0])
    return made


CALLS = {
    "surface": lambda m, p: surface(m, F.cross_entropy, (X, Y), resolution=3),
    "line": lambda m, p: line(m, "random", F.cross_entropy, (X, Y),
                              resolution=3),
    "end of a line": lambda m, p: line(net(), m, F.cross_entropy, (X, Y),
                                       resolution=3),
    "top": lambda m, p: top_eigenpairs(m, F.cross_entropy, (X, Y)),
    "objective": lambda m, p: Objective(m, F.cross_entropy, (X, Y)),
    "recorder": lambda m, p: Recorder(p).record(m, step=0),
}  # fmt: skip


@pytest.mark.parametrize(
    ("shard", "where"),
    [
        (fully_sharded, "'0.weight'"),
        (part_sharded, "'2.weight'"),
        (distributed, "'0.weight'"),
        (buffer_alone, "'scale'"),
        (wrapped, "it"),
        (part_wrapped, "the part '0'"),
    ],
)
@pytest.mark.parametrize("call", CALLS)
def test_what_is_sharded_is_refused(call, shard, where, mesh, tmp_path):
    made = shard(net(), mesh)
    says = rf"sharded over devices .*in {where}\).*full_state_dict=True"
    with pytest.raises(TypeError, match=says):
        CALLS[call](made, tmp_path / "run")


def test_what_the_words_advise_works(mesh):
    """The whole weights, gathered, have the surface of the network before."""
    from torch.distributed.checkpoint.state_dict import (
        StateDictOptions,
        get_model_state_dict,
    )

    made = net()
    before = surface(made, F.cross_entropy, (X, Y), resolution=3)
    state = get_model_state_dict(
        fully_sharded(made, mesh),
        options=StateDictOptions(full_state_dict=True),
    )
    twin = net()
    twin.load_state_dict(state)
    after = surface(twin, F.cross_entropy, (X, Y), resolution=3)
    assert (before.losses == after.losses).all()
