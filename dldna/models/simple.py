"""The dense network of the published chapter."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn


class SimpleNetwork(nn.Module):
    """A dense network: Linear, activation, ..., Linear.

    With the default sizes it has 283,914 parameters. The activation is
    one module, used after every hidden layer; a PReLU adds its one shared
    slope.

    Args:
        act_func: the activation, an instance such as ``nn.ReLU()``.
        input_shape: number of input features.
        num_labels: number of classes.
        hidden_shape: widths of the hidden layers.
        no_act: leave the activations out (a deep linear network).

    Attributes:
        layers: the ``nn.Sequential`` of all layers.
        config: what the network was made with; JSON values.

    Example:
        >>> import torch
        >>> net = SimpleNetwork(nn.ReLU())
        >>> sum(p.numel() for p in net.parameters())
        283914
        >>> net(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
        >>> net.config["model_name"]
        'SimpleNetwork-ReLU'
    """

    def __init__(
        self,
        act_func: nn.Module,
        input_shape: int = 784,
        num_labels: int = 10,
        hidden_shape: Sequence[int] = (256, 192, 128, 64),
        no_act: bool = False,
    ):
        super().__init__()
        if not isinstance(act_func, nn.Module):
            raise TypeError(
                "act_func must be an instance such as nn.ReLU(), not "
                f"{act_func!r}"
            )
        name = type(act_func).__name__
        widths = [input_shape, *hidden_shape]
        layers = []
        for n_in, n_out in pairwise(widths):
            layers.append(nn.Linear(n_in, n_out))
            if not no_act:
                layers.append(act_func)
        layers.append(nn.Linear(widths[-1], num_labels))
        self.flatten = nn.Flatten()
        self.layers = nn.Sequential(*layers)
        self.config = {
            "model_name": f"SimpleNetwork-{name}",
            "act_func": "No Activation" if no_act else name,
            "input_shape": input_shape,
            "num_labels": num_labels,
            "hidden_shape": list(hidden_shape),
        }

    def forward(self, x: Tensor) -> Tensor:
        """Logits (B, num_labels) of inputs (B, ...)."""
        return self.layers(self.flatten(x))
