"""Small networks of other libraries, made from configurations.

Each function gives a :class:`Case`: what a user hands to dldna, and the
plain call that says what the loss of a batch is. Nothing is downloaded.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

import torch
from torch import nn
from torch.nn import functional as F

CASES: dict[str, Callable[[], "Case"]] = {}


@dataclass
class Case:
    """A model, a loss and a batch as they are given to dldna.

    Args:
        model: the network.
        loss_fn: of the call.
        batch: of the call, which gets ``[batch]``.
        plain: ``f(model, batch)``, the loss as its library has it.
        lines: what a user writes beyond the one call, in lines.
        options: more of the call, by keyword.
        curved: whether its curvature is looked at, too.
    """

    model: nn.Module
    loss_fn: Any
    batch: Any
    plain: Callable[[nn.Module, Any], torch.Tensor]
    lines: int = 0
    options: dict = field(default_factory=dict)
    curved: bool = True


def case(library: str):
    """Name a function that makes a case: library, then its own name."""

    def keep(make):
        CASES[f"{library}: {make.__name__.replace('_', ' ')}"] = make
        return make

    return keep


def made(name: str) -> Case:
    """A case by its name, always with the same weights."""
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        return CASES[name]()


def words(*names, n=4, length=6, top=30, **more):
    """A batch of Hugging Face's kind."""
    sizes = {"labels": (n,), "start_positions": (n,), "end_positions": (n,)}
    found = {k: torch.randint(2, top, (n, length)) for k in names}
    for name, high in more.items():
        found[name] = torch.randint(0, high, sizes.get(name, (n, length)))
    return found


def own(model, batch):
    """A library's own loss, by keywords."""
    return model(**batch).loss


def pair(loss, model, batch):
    """A loss of torch, of a model that takes one tensor."""
    return loss(model(batch[0]), batch[1])


def stirred(model):
    """Weights that start at zero, where a ReLU stands on its kink."""
    for p in model.parameters():
        if not p.any():
            nn.init.normal_(p, std=0.1)


def seen(model, batch, times=3):
    """A model whose normalisation has met data, so that signals live."""
    for _ in range(times):
        model.train()(batch[0])
    return model.eval()


def images(n=6, channels=3, size=32, classes=5):
    return torch.randn(n, channels, size, size), torch.arange(n) % classes


classes_of = partial(pair, F.cross_entropy)
SMALL = {
    "vocab_size": 30, "hidden_size": 16, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 16,
    "max_position_embeddings": 16,
}  # fmt: skip


# --- transformers --------------------------------------------------------


def hugging(kind, config, batch, **settings):
    import transformers as hf

    model = getattr(hf, kind)(getattr(hf, config)(**settings))
    return Case(model, "model", batch, own)


@case("transformers")
def GPT2LMHeadModel():
    ids = words("input_ids")["input_ids"]
    return hugging(
        "GPT2LMHeadModel", "GPT2Config", {"input_ids": ids, "labels": ids},
        vocab_size=30, n_positions=16, n_embd=16, n_layer=2, n_head=2,
        bos_token_id=0, eos_token_id=0, loss_type="ForCausalLM",
    )  # fmt: skip


@case("transformers")
def LlamaForCausalLM():
    ids = words("input_ids")["input_ids"]
    return hugging(
        "LlamaForCausalLM", "LlamaConfig",
        {"input_ids": ids, "labels": ids}, **SMALL,
    )  # fmt: skip


@case("transformers")
def BertForSequenceClassification():
    batch = words("input_ids", labels=3)
    return hugging(
        "BertForSequenceClassification", "BertConfig", batch,
        num_labels=3, **SMALL,
    )  # fmt: skip


@case("transformers")
def BertForMaskedLM():
    batch = words("input_ids", "labels")
    batch["labels"][:, ::2] = -100
    return hugging("BertForMaskedLM", "BertConfig", batch, **SMALL)


@case("transformers")
def RobertaForTokenClassification():
    ids = words("input_ids")["input_ids"]
    batch = {"input_ids": ids, "labels": ids % 4}
    return hugging(
        "RobertaForTokenClassification", "RobertaConfig", batch,
        num_labels=4, **SMALL,
    )  # fmt: skip


@case("transformers")
def DistilBertForQuestionAnswering():
    batch = words("input_ids", start_positions=6, end_positions=6)
    return hugging(
        "DistilBertForQuestionAnswering", "DistilBertConfig", batch,
        vocab_size=30, dim=16, n_layers=1, n_heads=2, hidden_dim=16,
        max_position_embeddings=16,
    )  # fmt: skip


@case("transformers")
def T5ForConditionalGeneration():
    return hugging(
        "T5ForConditionalGeneration", "T5Config",
        words("input_ids", "labels"), vocab_size=30, d_model=16, d_kv=8,
        d_ff=16, num_layers=1, num_heads=2, decoder_start_token_id=0,
    )  # fmt: skip


@case("transformers")
def BartForConditionalGeneration():
    return hugging(
        "BartForConditionalGeneration", "BartConfig",
        words("input_ids", "labels"), vocab_size=30, d_model=16,
        encoder_layers=1, decoder_layers=1, encoder_attention_heads=2,
        decoder_attention_heads=2, encoder_ffn_dim=16, decoder_ffn_dim=16,
        max_position_embeddings=16,
    )  # fmt: skip


@case("transformers")
def ViTForImageClassification():
    x, y = images(4, 1, 16)
    return hugging(
        "ViTForImageClassification", "ViTConfig",
        {"pixel_values": x, "labels": y}, hidden_size=16,
        num_hidden_layers=2, num_attention_heads=2, intermediate_size=16,
        image_size=16, patch_size=8, num_channels=1, num_labels=5,
    )  # fmt: skip


@case("transformers")
def CLIPModel():
    batch = words("input_ids") | {
        "pixel_values": torch.randn(4, 3, 16, 16),
        "return_loss": True,
    }
    small = {
        k: v
        for k, v in SMALL.items()
        if k not in ("vocab_size", "max_position_embeddings")
    }
    text = small | {
        "vocab_size": 30, "max_position_embeddings": 16, "eos_token_id": 29,
        "bos_token_id": 0, "pad_token_id": 1,
    }  # fmt: skip
    sight = small | {"image_size": 16, "patch_size": 8}
    return hugging(
        "CLIPModel", "CLIPConfig", batch, text_config=text,
        vision_config=sight, projection_dim=8,
    )  # fmt: skip


# --- timm ----------------------------------------------------------------


def of_timm(name):
    import timm

    sized = {"img_size": 64} if "vit" in name else {}
    model = timm.create_model(name, num_classes=5, **sized)
    stirred(model)
    batch = images(2, 3, 64)
    return Case(seen(model, batch), F.cross_entropy, batch, classes_of)


for _name in ("resnet", "efficientnet", "vit", "convnext", "nfnet",
              "byobnet"):  # fmt: skip
    CASES[f"timm: test_{_name}"] = partial(of_timm, f"test_{_name}")


# --- torchvision ---------------------------------------------------------


def tv():
    from dldna.data import torchvision

    return torchvision("a test").models


@case("torchvision")
def ShuffleNetV2():
    model, batch = (
        tv().ShuffleNetV2([1, 1, 1], [8, 8, 16, 32, 32], num_classes=5),
        images(4),
    )
    return Case(seen(model, batch), F.cross_entropy, batch, classes_of)


@case("torchvision")
def DenseNet():
    model, batch = tv().DenseNet(4, (2, 2), 8, num_classes=5), images(4)
    return Case(seen(model, batch), F.cross_entropy, batch, classes_of)


@case("torchvision")
def MobileNetV2():
    model, batch = tv().MobileNetV2(num_classes=5, width_mult=0.1), images(4)
    return Case(seen(model, batch), F.cross_entropy, batch, classes_of)


@case("torchvision")
def VisionTransformer():
    model = tv().VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=5)
    nn.init.normal_(model.heads.head.weight, std=0.2)  # zero by default
    return Case(model, F.cross_entropy, images(4), classes_of)


def backbone(width):
    """Four layers where a detector has a residual network."""
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, 4, 1), nn.ReLU(), nn.Conv2d(8, width, 3, 4, 1),
        nn.BatchNorm2d(width),
    )  # fmt: skip
    net.out_channels = width
    return net


def detection(kind, width=8, **settings):
    make = getattr(tv().detection, kind)
    model = make(
        backbone(width), num_classes=3, min_size=64, max_size=64, **settings
    )
    photos = [torch.rand(3, 64, 64) for _ in range(2)]
    boxes = [[8.0, 8, 40, 40], [20.0, 16, 60, 56]]
    targets = [
        {"boxes": torch.tensor([b]), "labels": torch.tensor([i + 1])}
        for i, b in enumerate(boxes)
    ]
    return Case(model, "model", (photos, targets), detected)


def detected(model, batch):
    """A detector's losses: training mode, but its layers as in use."""
    layers = [m for m in model.modules() if type(m) is not nn.BatchNorm2d]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for module in layers:
            module.training = True
        losses = model(*batch)
        for module in layers:
            module.training = False
    return sum(losses.values())


def best_first(boxes, scores, idxs, iou_threshold):
    """Of boxes that overlap, the best: what torchvision has in C++."""
    from torchvision.ops import box_iou

    free = (box_iou(boxes, boxes) <= iou_threshold) | (
        idxs[:, None] != idxs[None]
    )
    kept: list[int] = []
    for i in scores.argsort(descending=True).tolist():
        if free[i, kept].all():
            kept.append(i)
    return torch.tensor(kept, dtype=torch.long)


def suppressing(kind):
    """A detector with :func:`best_first`, while it runs alone.

    Left in torchvision, it would compare tens of thousands of boxes with
    each other in the next detector, in gigabytes.
    """
    from torchvision.ops import boxes

    class Suppressing(kind):
        def forward(self, *args, **kwargs):
            with mock.patch.object(boxes, "batched_nms", best_first):
                return super().forward(*args, **kwargs)

    return Suppressing


def anchors():
    return tv().detection.rpn.AnchorGenerator(((16, 32),), ((0.5, 1.0),))


@case("torchvision")
def RetinaNet():
    return detection("RetinaNet", anchor_generator=anchors())


@case("torchvision")
def FCOS():
    make = tv().detection.anchor_utils.AnchorGenerator
    return detection("FCOS", 32, anchor_generator=make(((16,),), ((1.0,),)))


@case("torchvision")
def FasterRCNN():
    from torchvision.extension import _has_ops
    from torchvision.ops import MultiScaleRoIAlign

    found = detection(
        "FasterRCNN", rpn_anchor_generator=anchors(),
        box_roi_pool=MultiScaleRoIAlign(["0"], 3, 1),
        rpn_post_nms_top_n_train=20, rpn_pre_nms_top_n_train=50,
        rpn_pre_nms_top_n_test=50, box_detections_per_img=5,
    )  # fmt: skip
    if not _has_ops():  # torchvision was built for another torch
        found.model.__class__ = suppressing(type(found.model))
    found.curved = False  # minutes, where regions are pooled in Python
    return found


# --- torch_geometric -----------------------------------------------------


def graph(kind, **settings):
    from torch_geometric import nn as gnn

    model = getattr(gnn, kind)(4, 8, 2, 3, **settings)
    edges = torch.randint(0, 12, (2, 40))
    batch = (torch.randn(12, 4), edges), torch.arange(12) % 3
    return Case(model, F.cross_entropy, batch, at_nodes)


def at_nodes(model, batch):
    return F.cross_entropy(model(*batch[0]), batch[1])


for _kind in ("GCN", "GAT", "GraphSAGE", "GIN"):
    CASES[f"torch_geometric: {_kind}"] = partial(graph, _kind)


@case("torch_geometric")
def AttentiveFP():
    from torch_geometric.nn import AttentiveFP as Net

    model = Net(4, 8, 1, edge_dim=2, num_layers=2, num_timesteps=2)
    edges = torch.randint(0, 4, (2, 30)) + 4 * (torch.arange(30) % 3)
    given = (
        torch.randn(12, 4),
        edges,
        torch.randn(30, 2),
        torch.arange(12) // 4,
    )
    return Case(model, F.mse_loss, (given, torch.randn(3, 1)), of_graphs)


def of_graphs(model, batch):
    return F.mse_loss(model(*batch[0]), batch[1])


@case("torch_geometric")
def Data_objects():
    from torch_geometric import nn as gnn
    from torch_geometric.data import Data

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = gnn.GCNConv(4, 8), gnn.GCNConv(8, 3)

        def forward(self, data):
            z = self.a(data.x, data.edge_index).tanh()
            return self.b(z, data.edge_index)

    data = Data(
        x=torch.randn(12, 4), edge_index=torch.randint(0, 12, (2, 40)),
        y=torch.arange(12) % 3,
    )  # fmt: skip
    return Case(Net(), F.cross_entropy, data, of_data)


def of_data(model, data):
    return F.cross_entropy(model(data), data.y)


# --- peft ----------------------------------------------------------------


def adapted(config):
    import peft

    base = GPT2LMHeadModel()
    model = peft.get_peft_model(base.model, config(peft))
    for name, p in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(p, std=0.1)  # zero before training
    # DoRA takes the length of the weights as a constant in its gradient, so
    # that this is not the loss's, and dldna refuses to curve it
    return Case(model, "model", base.batch, own, curved=config is not dora)


def dora(peft):
    return lora(peft, use_dora=True)


def lora(peft, **more):
    return peft.LoraConfig(r=2, target_modules=["c_attn"], **more)


def ia3(peft):
    return peft.IA3Config(
        target_modules=["c_attn", "c_fc"], feedforward_modules=["c_fc"]
    )


CASES |= {
    "peft: LoRA": partial(adapted, lora),
    "peft: DoRA": partial(adapted, dora),
    "peft: IA3": partial(adapted, ia3),
}


# --- lightning -----------------------------------------------------------


def stepped(model, batch):
    """The loss of a Lightning module's step."""
    found = model.training_step(batch, 0)
    return found["loss"] if isinstance(found, dict) else found


@case("lightning")
def BoringModel():
    from lightning.pytorch.demos.boring_classes import BoringModel as Net

    return Case(Net(), "model", torch.randn(8, 32), stepped)


@case("lightning")
def LightningTransformer():
    from lightning.pytorch.demos import Transformer
    from lightning.pytorch.demos.transformer import (
        LightningTransformer as Net,
    )

    model = Net(30)
    model.model = Transformer(30, ninp=16, nhead=2, nhid=16, nlayers=1)
    ids = torch.randint(0, 30, (2, 8))
    return Case(model, "model", (ids, ids.roll(1)), stepped)


@case("lightning")
def LightningModule_that_logs():
    import lightning.pytorch as pl
    import torchmetrics

    class Net(pl.LightningModule):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(
                nn.Linear(6, 8), nn.Tanh(), nn.Dropout(0.3), nn.Linear(8, 3)
            )
            self.seen = torchmetrics.Accuracy("multiclass", num_classes=3)

        def training_step(self, batch, number):
            x, y = batch
            logits = self.body(x)
            self.seen(logits, y)
            self.log("accuracy", self.seen)
            return {"loss": F.cross_entropy(logits, y), "logits": logits}

    batch = torch.randn(12, 6), torch.arange(12) % 3
    return Case(Net(), "model", batch, stepped)


# --- diffusers -----------------------------------------------------------


def noise(output, batch):
    return F.mse_loss(output.sample, batch["target"])


def denoised(model, batch):
    inputs = {k: v for k, v in batch.items() if k != "target"}
    return F.mse_loss(model(**inputs).sample, batch["target"])


def diffusion(model, batch):
    return Case(model, noise, batch, denoised, lines=2)


@case("diffusers")
def UNet2DModel():
    import diffusers

    model = diffusers.UNet2DModel(
        sample_size=8, in_channels=1, out_channels=1, layers_per_block=1,
        block_out_channels=(8, 8), norm_num_groups=4, attention_head_dim=4,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
    )  # fmt: skip
    x = torch.randn(3, 1, 8, 8)
    times = torch.tensor([1, 20, 300])
    return diffusion(model, {"sample": x, "timestep": times,
                             "target": torch.randn(3, 1, 8, 8)})  # fmt: skip


@case("diffusers")
def AutoencoderKL():
    import diffusers

    model = diffusers.AutoencoderKL(
        in_channels=1, out_channels=1, block_out_channels=(8,),
        norm_num_groups=4, latent_channels=2,
    )  # fmt: skip
    x = torch.randn(3, 1, 8, 8)
    return diffusion(model, {"sample": x, "target": x.clone()})


@case("diffusers")
def DiTTransformer2DModel():
    import diffusers

    model = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=8, in_channels=1,
        out_channels=1, num_layers=1, sample_size=8, patch_size=2,
        norm_num_groups=4, num_embeds_ada_norm=10,
    )  # fmt: skip
    stirred(model)
    x = torch.randn(3, 1, 8, 8)
    return diffusion(model, {
        "hidden_states": x, "timestep": torch.tensor([1, 20, 300]),
        "class_labels": torch.tensor([1, 2, 3]), "target": torch.randn_like(x),
    })  # fmt: skip


# --- accelerate ----------------------------------------------------------


@case("accelerate")
def prepared():
    from accelerate import Accelerator

    base = LlamaForCausalLM()
    base.model = Accelerator(cpu=True).prepare(base.model)
    return base


@case("accelerate")
def hooked():
    from accelerate.hooks import AlignDevicesHook, add_hook_to_module

    base = BertForSequenceClassification()
    for module in base.model.modules():
        add_hook_to_module(module, AlignDevicesHook("cpu"))
    return base


# --- neuraloperator ------------------------------------------------------


def on_grid(model, batch):
    return F.mse_loss(model(batch[0]), batch[1])


@case("neuraloperator")
def ChannelMLP():
    from neuralop.layers.channel_mlp import ChannelMLP as Net

    batch = torch.randn(4, 3, 8, 8), torch.randn(4, 3, 8, 8)
    return Case(Net(3, hidden_channels=8), F.mse_loss, batch, on_grid)


@case("neuraloperator")
def LinearChannelMLP():
    from neuralop.layers.channel_mlp import LinearChannelMLP as Net

    batch = torch.randn(12, 3), torch.randn(12, 2)
    return Case(Net([3, 8, 2]), F.mse_loss, batch, on_grid)


# --- loralib -------------------------------------------------------------


def low_rank(model, batch):
    import loralib

    for name, p in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(p, std=0.1)  # zero before training
    loralib.mark_only_lora_as_trainable(model)
    return Case(model, F.cross_entropy, batch, classes_of)


@case("loralib")
def Linear():
    import loralib

    model = nn.Sequential(
        loralib.Linear(6, 8, r=2), nn.Tanh(), loralib.Linear(8, 3, r=2)
    )
    return low_rank(model, (torch.randn(12, 6), torch.arange(12) % 3))


@case("loralib")
def Embedding_and_Conv2d():
    import loralib

    model = nn.Sequential(
        loralib.Embedding(20, 8, r=2), nn.Flatten(),
        loralib.MergedLinear(40, 6, r=2, enable_lora=[True, False]),
    )  # fmt: skip
    batch = torch.randint(0, 20, (12, 5)), torch.arange(12) % 6
    return low_rank(model, batch)
