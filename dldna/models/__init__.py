"""Networks to look at, each with its number of parameters stated."""

from dldna.models.convolutional import ArenaCNN, LeNet, SmallCNN
from dldna.models.decoder import DecoderTransformer
from dldna.models.large import resnet50, vgg11
from dldna.models.residual import SmallResNet
from dldna.models.simple import SimpleNetwork
from dldna.models.transformer import PatchTransformer, arena_transformer
from dldna.models.zoo import MODELS, make

__all__ = [
    "MODELS",
    "ArenaCNN",
    "DecoderTransformer",
    "LeNet",
    "PatchTransformer",
    "SimpleNetwork",
    "SmallCNN",
    "SmallResNet",
    "arena_transformer",
    "make",
    "resnet50",
    "vgg11",
]
