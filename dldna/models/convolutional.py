"""Small convolutional networks."""

from torch import Tensor, nn

from dldna.checks import count


class SmallCNN(nn.Module):
    """Two convolutions, pooled, and two dense layers.

    For images 1x28x28 and ten classes it has 52,138 parameters; no batch
    norm and no dropout, so that its loss is a plain function of its
    weights.

    Args:
        in_shape: (C, H, W) of an image, H and W at least 4.
        num_classes: number of classes.
        width: channels of the first convolution; the second has twice
            as many.

    Example:
        >>> sum(p.numel() for p in SmallCNN().parameters())
        52138
    """

    def __init__(
        self,
        in_shape: tuple[int, int, int] = (1, 28, 28),
        num_classes: int = 10,
        width: int = 8,
    ):
        super().__init__()
        channels, height, side = image_shape(in_shape, least=4)
        count("width", width)
        self.features = nn.Sequential(
            nn.Conv2d(channels, width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(2 * width * (height // 4) * (side // 4), 64),
            nn.ReLU(),
            nn.Linear(64, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        return self.classifier(self.features(x))


class LeNet(nn.Module):
    """LeNet-5 for 32x32 images; 28x28 ones are padded to that.

    The layers are those of the paper, with full connections between the
    convolutions, max pooling, ReLU and a plain linear output: 61,706
    parameters for one channel and ten classes, 62,006 for three.

    Args:
        in_shape: (C, H, W), with H = W = 28 or 32.
        num_classes: number of classes.

    Example:
        >>> sum(p.numel() for p in LeNet().parameters())
        61706

    References:
        Y. LeCun, L. Bottou, Y. Bengio, P. Haffner, Gradient-based
        learning applied to document recognition, Proc. IEEE 86, 1998.
    """

    def __init__(
        self,
        in_shape: tuple[int, int, int] = (1, 28, 28),
        num_classes: int = 10,
    ):
        super().__init__()
        channels, height, width = image_shape(in_shape, least=28)
        if height != width or height not in (28, 32):
            raise ValueError(
                f"LeNet takes images of 28x28 or 32x32, not {height}x{width}"
            )
        padding = (32 - height) // 2
        self.features = nn.Sequential(
            nn.Conv2d(channels, 6, 5, padding=padding),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(400, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        return self.classifier(self.features(x))


class ArenaCNN(nn.Module):
    """The convolutional network of the published optimizer comparison.

    Three blocks of convolution, batch norm, ReLU and pooling with 32, 64
    and 128 channels, then a dense layer of 512 with dropout 0.5. For
    CIFAR-100 it has 1,194,084 parameters (1.19 M).

    Args:
        in_shape: (C, H, W), H and W multiples of 8.
        num_classes: number of classes.

    Example:
        >>> sum(p.numel() for p in ArenaCNN().parameters())
        1194084
    """

    def __init__(
        self,
        in_shape: tuple[int, int, int] = (3, 32, 32),
        num_classes: int = 100,
    ):
        super().__init__()
        channels, height, width = image_shape(in_shape, least=8)
        layers = []
        for wide in (32, 64, 128):
            layers += [
                nn.Conv2d(channels, wide, 3, padding=1),
                nn.BatchNorm2d(wide),
                nn.ReLU(),
                nn.MaxPool2d(2),
            ]
            channels = wide
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(128 * (height // 8) * (width // 8), 512),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(512, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, classes) of images (B, C, H, W)."""
        return self.classifier(self.features(x))


def image_shape(shape: tuple[int, ...], least: int) -> tuple[int, int, int]:
    """Check that a shape is (C, H, W) and large enough.

    Raises:
        ValueError: it is not.

    Example:
        >>> image_shape((1, 28, 28), least=4)
        (1, 28, 28)
    """
    if len(shape) != 3 or min(shape[1:]) < least:
        raise ValueError(
            f"this network wants images (C, H, W) of at least {least}x{least}"
            f" pixels, not {tuple(shape)}"
        )
    return tuple(shape)
