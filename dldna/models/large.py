"""ResNet-50 and VGG-11 from torchvision, fitted to small images."""

from torch import nn

from dldna._torchvision import torchvision
from dldna.checks import choice
from dldna.models.convolutional import image_shape


def resnet50(
    in_shape: tuple[int, int, int] = (3, 32, 32),
    num_classes: int = 10,
    stem: str = "imagenet",
) -> nn.Module:
    """ResNet-50, with torchvision's layers and another output.

    For ten classes it has 23,528,522 parameters with the stem
    ``imagenet`` and 23,520,842 with ``cifar``.

    Args:
        in_shape: (3, H, W), at least 32x32.
        num_classes: number of classes.
        stem: ``imagenet`` keeps the 7x7 convolution with stride 2 and
            the pooling: a 32x32 image is 8x8 after it. ``cifar`` takes a
            3x3 convolution with stride 1 and no pooling instead: more
            accurate, and 16 times the arithmetic.

    Returns:
        The network, its weights random.

    Raises:
        ImportError: torchvision is not installed.

    References:
        K. He, X. Zhang, S. Ren, J. Sun, Deep residual learning for image
        recognition, CVPR 2016, arXiv:1512.03385.
    """
    channels, _, _ = image_shape(in_shape, least=32)
    choice("stem", stem, ("imagenet", "cifar"))
    models = torchvision("ResNet-50").models
    net = models.resnet50(num_classes=num_classes)
    if stem == "cifar":
        net.conv1 = nn.Conv2d(channels, 64, 3, 1, 1, bias=False)
        net.maxpool = nn.Identity()
    elif channels != 3:
        net.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    return net


def vgg11(
    in_shape: tuple[int, int, int] = (3, 32, 32), num_classes: int = 10
) -> nn.Module:
    """VGG-11, with torchvision's layers and another output.

    For ten classes it has 128,807,306 parameters. A 32x32 image is one
    pixel after the convolutions; the adaptive pool copies it 49 times
    before the first dense layer, as in the published runs.

    Args:
        in_shape: (3, H, W), at least 32x32.
        num_classes: number of classes.

    Returns:
        The network, its weights random.

    Raises:
        ImportError: torchvision is not installed.

    References:
        K. Simonyan, A. Zisserman, Very deep convolutional networks for
        large-scale image recognition, ICLR 2015, arXiv:1409.1556.
    """
    channels, _, _ = image_shape(in_shape, least=32)
    models = torchvision("VGG-11").models
    net = models.vgg11(num_classes=num_classes)
    if channels != 3:
        net.features[0] = nn.Conv2d(channels, 64, 3, padding=1)
    return net
