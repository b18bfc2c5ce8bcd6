"""The toy regression and its network of forty parameters."""

import itertools
import math

import torch
from torch import Tensor, nn

from dldna import checks, params
from dldna.stored import stored

WIDTHS = (3, 3, 3, 3, 1)
ACTIVATIONS = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh}
NOISE = 0.1
"""Standard deviation of the noise on the targets: its square is the floor
of every loss."""


def toy_regression(seed: int = 0) -> tuple[Tensor, Tensor]:
    r"""1,000 points of a regression in three variables, with noise.

    .. math::
        y = x_1 x_2 - x_3^2 - x_2 + 0.1\, \mathcal{N}(0, 1), \qquad
        x \in \{-2, -2 + \tfrac49, \dots, 2\}^3

    No function of ``x`` has an expected mean squared error below
    :data:`NOISE` squared, .01; the best constant has 6.3555.

    Args:
        seed: of the noise.

    Returns:
        x (1000, 3), the last variable running fastest, and y (1000,),
        float64.

    Raises:
        RuntimeError: the seed is no whole number.
        ValueError: the seed does not fit into 64 bits.

    Example:
        >>> x, y = toy_regression()
        >>> x.shape, round(y.var(correction=0).item(), 2)
        (torch.Size([1000, 3]), 6.35)

    References:
        Hastie, Tibshirani, Friedman, The elements of statistical
        learning, Springer 2009, 7.3, on the error that no predictor can
        go below.
    """
    axis = torch.linspace(-2, 2, 10, dtype=torch.float64, device="cpu")
    x = torch.cartesian_prod(axis, axis, axis)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(
        len(x), generator=generator, dtype=x.dtype, device="cpu"
    )
    y = x[:, 0] * x[:, 1] - x[:, 2] ** 2 - x[:, 1] + NOISE * noise
    return x, y


def toy_network(
    activation: str = "relu", seed: int = 0, trained: bool = False
) -> nn.Sequential:
    r"""The 3-3-3-3-1 network: 30 weights, 10 biases, float64.

    .. math::
        \hat y(x) = W_4 h_3 + b_4, \qquad
        h_l = \sigma(W_l h_{l-1} + b_l), \qquad h_0 = x

    The start is torch's own, for weights and biases: uniform within
    :math:`\pm 1 / \sqrt{n}`, where :math:`n = 3` is the number of inputs
    of each layer, drawn in float32. Trained weights are stored: Adam at
    rate .01, batches of 64, 1,000 epochs (``benchmarks/two_weights.py``
    makes them).

    Args:
        activation: :math:`\sigma` of the nine hidden units: "relu",
            "sigmoid" or "tanh".
        seed: of the start; trained networks are there for seeds 0 to 4.
        trained: after training instead of at the start.

    Returns:
        The network; it takes x (N, 3) in float64 and gives (N, 1).

    Raises:
        ValueError: unknown activation, no trained network of that seed, or
            a seed that does not fit into 64 bits.
        RuntimeError: the seed is no whole number.

    Example:
        >>> sum(p.numel() for p in toy_network("tanh").parameters())
        40
        >>> x, y = toy_regression()
        >>> error = toy_network("tanh", trained=True)(x)[:, 0] - y
        >>> round(error.square().mean().item(), 1)  # a constant has 6.4
        0.7

    References:
        He, Zhang, Ren, Sun, Delving deep into rectifiers, ICCV 2015,
        arXiv 1502.01852, whose rule torch uses with a slope of
        :math:`\sqrt 5`.
        Kingma, Ba, Adam: a method for stochastic optimization, ICLR 2015,
        arXiv 1412.6980.
    """
    kind = ACTIVATIONS[checks.choice("activation", activation, ACTIVATIONS)]
    layers: list[nn.Module] = []
    generator = torch.Generator().manual_seed(seed)
    for i, (n, m) in enumerate(itertools.pairwise(WIDTHS)):
        linear = nn.utils.skip_init(nn.Linear, n, m)
        nn.init.kaiming_uniform_(
            linear.weight, a=math.sqrt(5), generator=generator
        )
        bound = 1 / math.sqrt(n)
        nn.init.uniform_(linear.bias, -bound, bound, generator=generator)
        layers += [kind()] * (i > 0) + [linear]
    net = nn.Sequential(*layers).double()
    if trained:
        known = stored("two_weights")["weights"][activation]
        if str(seed) not in known:
            raise ValueError(
                f"no trained network of seed {seed}: there are "
                + ", ".join(known)
            )
        flat = torch.tensor(
            known[str(seed)], dtype=torch.float64, device="cpu"
        )
        net.load_state_dict(params.unflatten(flat, params.of(net)))
    return net


def perceptron(model: nn.Module) -> tuple[list[nn.Linear], str]:
    """The linear layers of a perceptron, and the name of its activation.

    Raises:
        ValueError: it is built of anything else.
    """
    model = model if isinstance(model, nn.Sequential) else []
    linear = [m for m in model if isinstance(m, nn.Linear)]
    kinds = {type(m) for m in model} - {nn.Linear}
    names = {v: k for k, v in ACTIVATIONS.items()}
    in_turns = len(model) % 2 == 1 and linear == list(model[::2])
    if (
        len(kinds) != 1
        or not kinds <= names.keys()
        or not in_turns
        or any(m.bias is None for m in linear)
    ):
        raise ValueError(
            "a slice needs linear layers with biases and, between them, "
            "one of ReLU, sigmoid and tanh, as toy_network makes"
        )
    return linear, names[kinds.pop()]
