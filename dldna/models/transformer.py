"""Transformers over the patches of an image."""

import torch
from torch import Tensor, nn

from dldna.checks import count
from dldna.models.convolutional import image_shape


class PatchTransformer(nn.Module):
    """An image cut into patches, read as a sequence.

    Each patch becomes a vector, a learned position is added, blocks of
    attention follow (norm first), and the mean over the patches is
    classified. With the default sizes it has 104,970 parameters.

    Args:
        in_shape: (C, H, W), H and W multiples of ``patch``.
        num_classes: number of classes.
        patch: side of a patch in pixels.
        width: length of a patch's vector.
        depth: number of blocks.
        heads: number of attention heads; divides ``width``.
        embed_hidden: width of a hidden layer in the embedding; none if
            not given.
        head_hidden: widths of hidden layers before the classes.
        dropout: share of activations dropped while training.

    Raises:
        ValueError: the sizes do not fit each other.

    Example:
        >>> net = PatchTransformer()
        >>> net(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])

    References:
        A. Dosovitskiy et al., An image is worth 16x16 words: transformers
        for image recognition at scale, ICLR 2021, arXiv:2010.11929.
    """

    def __init__(
        self,
        in_shape: tuple[int, int, int] = (1, 28, 28),
        num_classes: int = 10,
        *,
        patch: int = 4,
        width: int = 64,
        depth: int = 2,
        heads: int = 4,
        embed_hidden: int | None = None,
        head_hidden: tuple[int, ...] = (),
        dropout: float = 0.0,
    ):
        super().__init__()
        count("patch", patch)
        channels, height, side = image_shape(in_shape, least=patch)
        if height % patch or side % patch:
            raise ValueError(
                f"patches of {patch}x{patch} do not tile an image of "
                f"{height}x{side}"
            )
        if width % count("heads", heads):
            raise ValueError(f"{heads} heads do not divide width={width}")
        pixels = channels * patch * patch
        patches = (height // patch) * (side // patch)
        self.cut = nn.Unfold(patch, stride=patch)
        self.embed = _dense(
            pixels, () if embed_hidden is None else (embed_hidden,), width, 0.0
        )
        self.position = nn.Parameter(0.02 * torch.randn(1, patches, width))
        layer = nn.TransformerEncoderLayer(
            width,
            heads,
            dim_feedforward=4 * width,
            dropout=dropout,
            activation="gelu",
            batch_first=True,
            norm_first=True,
        )
        self.blocks = nn.TransformerEncoder(
            layer, depth, enable_nested_tensor=False
        )
        for parameter in self.blocks.parameters():
            if parameter.ndim > 1:  # or all blocks start as copies
                nn.init.xavier_uniform_(parameter)
        self.norm = nn.LayerNorm(width)
        self.head = _dense(width, head_hidden, num_classes, dropout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        x = self.cut(x).transpose(1, 2)  # (B, patches, pixels)
        x = self.blocks(self.embed(x) + self.position)
        return self.head(self.norm(x.mean(dim=1)))


def arena_transformer(
    in_shape: tuple[int, int, int] = (3, 32, 32), num_classes: int = 100
) -> PatchTransformer:
    """The transformer of the published optimizer comparison: 62.1 M.

    Eight blocks of width 768 with twelve heads, dropout 0.1. The
    published network read the whole image as one single token, so that
    its attention had nothing to attend to; this one reads 64 patches of
    4x4 pixels. Its embedding is sized so that the number of parameters is
    the published one but for six: 62,099,818 for CIFAR-100.

    Args:
        in_shape: (C, H, W), H and W multiples of 4.
        num_classes: number of classes.

    Returns:
        The network.
    """
    return PatchTransformer(
        in_shape,
        num_classes,
        patch=4,
        width=768,
        depth=8,
        heads=12,
        embed_hidden=3558,
        head_hidden=(1536, 768),
        dropout=0.1,
    )


def _dense(
    n_in: int, hidden: tuple[int, ...], n_out: int, dropout: float
) -> nn.Sequential:
    layers = []
    for n in hidden:
        layers += [nn.Linear(n_in, n), nn.GELU(), nn.Dropout(dropout)]
        n_in = n
    return nn.Sequential(*layers, nn.Linear(n_in, n_out))
