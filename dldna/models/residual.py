"""Residual networks for small images, with and without their skips."""

from torch import Tensor, nn
from torch.nn import functional as F

from dldna.checks import count
from dldna.models.convolutional import image_shape


class Block(nn.Module):
    r"""Two 3x3 convolutions with batch norm, and a way around them.

    .. math:: y = \mathrm{ReLU}(x' + F(x))

    Where the block halves the image, :math:`x'` is every second pixel of
    :math:`x` with channels of zeros added (no parameters); without skips
    :math:`y = \mathrm{ReLU}(F(x))`.

    Args:
        n_in: input channels.
        n_out: output channels.
        stride: 2 halves height and width.
        skip: whether there is a way around.
    """

    def __init__(self, n_in: int, n_out: int, stride: int, skip: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.stride, self.added, self.skip = stride, n_out - n_in, skip

    def forward(self, x: Tensor) -> Tensor:
        """(B, n_out, H / stride, W / stride) of (B, n_in, H, W)."""
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        if self.skip:
            y = y + self.around(x)
        return F.relu(y)

    def around(self, x: Tensor) -> Tensor:
        """The input, brought to the shape of the output."""
        if self.stride == 1 and self.added == 0:
            return x
        x = x[:, :, :: self.stride, :: self.stride]
        before = self.added // 2
        return F.pad(x, (0, 0, 0, 0, before, self.added - before))


class SmallResNet(nn.Module):
    """The residual networks for CIFAR: depth 6n + 2 in three stages.

    For three channels and ten classes: 269,722 parameters at depth 20,
    853,018 at depth 56. The shortcuts have none, so a network without
    them has the same parameters and can be compared weight by weight.

    Args:
        depth: 20, 56 or any other 6n + 2.
        in_shape: (C, H, W) of an image.
        num_classes: number of classes.
        skip: with skip connections, or plain.

    Raises:
        ValueError: the depth is not 6n + 2.

    Example:
        >>> sum(p.numel() for p in SmallResNet(20).parameters())
        269722

    References:
        K. He, X. Zhang, S. Ren, J. Sun, Deep residual learning for image
        recognition, CVPR 2016, arXiv:1512.03385 (section 4.2, option A).

        H. Li, Z. Xu, G. Taylor, C. Studer, T. Goldstein, Visualizing the
        loss landscape of neural nets, NeurIPS 2018, arXiv:1712.09913
        (with and without skips).
    """

    def __init__(
        self,
        depth: int = 20,
        in_shape: tuple[int, int, int] = (3, 32, 32),
        num_classes: int = 10,
        skip: bool = True,
    ):
        super().__init__()
        blocks, rest = divmod(count("depth", depth, 8) - 2, 6)
        if rest:
            raise ValueError(
                f"depth must be 6n + 2 (8, 14, 20, 32, 44, 56, ...), "
                f"not {depth}"
            )
        channels, _, _ = image_shape(in_shape, least=8)
        self.conv = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        self.bn = nn.BatchNorm2d(16)
        layers, n_in = [], 16
        for stage, wide in enumerate((16, 32, 64)):
            for k in range(blocks):
                stride = 2 if stage > 0 and k == 0 else 1
                layers.append(Block(n_in, wide, stride, skip))
                n_in = wide
        self.blocks = nn.Sequential(*layers)
        self.linear = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        x = self.blocks(F.relu(self.bn(self.conv(x))))
        return self.linear(x.mean(dim=(2, 3)))
