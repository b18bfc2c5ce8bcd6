"""A slice of a network's loss: two parameters free, the rest frozen."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor, nn

from dldna import checks
from dldna.landscape.slice import toy
from dldna.landscape.slice.batched import Batched, Place
from dldna.landscape.slice.values import Window, as_dict, window_of
from dldna.objective.inputs import name_of
from dldna.records import Provenance, Surface


@dataclass(frozen=True, eq=False)
class Slice:
    r"""Mean squared error as a function of two of a network's parameters.

    .. math:: f(a, b) = \frac1N \sum_n (\hat y(x_n; a, b) - y_n)^2

    Nothing is projected: a gradient step of the two parameters stays on
    the surface that is drawn. Coordinates are the parameters' own values.

    Args:
        weights: matrices (out, in), one for each layer, float64.
        biases: vectors (out,).
        activation: of the hidden units: "relu", "sigmoid" or "tanh".
        free: two places (layer, row, column) from 0; column -1 means the
            bias of that row.
        x: inputs (N, n), float64.
        y: targets (N,).
        data: name of the data, as far as it is known.

    Raises:
        ValueError: unknown activation, or a place that is not there.

    Example:
        >>> from dldna.landscape import toy_network, toy_regression
        >>> data = toy_regression()
        >>> one = Slice.of(toy_network("tanh"), [(1, 0, 0), (1, 0, 1)], data)
        >>> error = toy_network("tanh")(data[0])[:, 0] - data[1]
        >>> torch.allclose(one.losses(one.start), error.square().mean())
        True

    References:
        Goodfellow, Vinyals, Saxe, Qualitatively characterizing neural
        network optimization problems, ICLR 2015, arXiv 1412.6544, on exact
        sections through a loss, along lines.
        Li, Xu, Taylor, Studer, Goldstein, Visualizing the loss landscape
        of neural nets, NeurIPS 2018, arXiv 1712.09913, on planes onto
        which paths must be projected, unlike here.
    """

    weights: list[Tensor]
    biases: list[Tensor]
    activation: str
    free: tuple[Place, Place]
    x: Tensor
    y: Tensor
    data: str = ""

    def __post_init__(self):
        checks.choice("activation", self.activation, toy.ACTIVATIONS)
        if len(self.free) != 2 or self.free[0] == self.free[1]:
            raise ValueError(
                f"free must be two different places, not {self.free}"
            )
        for layer, row, col in self.free:
            inside = 0 <= layer < len(self.weights)
            if inside:
                n, m = self.weights[layer].shape
                inside = 0 <= row < n and -1 <= col < m
            if not inside:
                raise ValueError(
                    f"no parameter at {(layer, row, col)}: give (layer, row, "
                    "column) counted from 0, with column -1 for a bias"
                )
        if self.weights[-1].shape[0] != 1:
            raise ValueError("the network must have one output")

    @classmethod
    def of(
        cls,
        model: nn.Sequential,
        free: Sequence[Sequence[int]] = ((1, 0, 0), (1, 0, 1)),
        data: tuple[Tensor, Tensor] | None = None,
    ) -> Self:
        """Take the slice through a perceptron; the model is only read.

        Args:
            model: linear layers with one kind of activation between them
                (ReLU, sigmoid or tanh), one output.
            free: two places (layer, row, column); by default the first two
                weights between the first and the second hidden layer.
            data: x (N, n) and y (N,); the toy regression if left out.

        Returns:
            The slice, in float64, with copies of the weights.

        Raises:
            ValueError: another kind of network, or a place that is not
                there.

        Example:
            >>> from dldna.landscape import toy_network
            >>> one = Slice.of(toy_network("tanh"), [(0, 2, 1), (3, 0, -1)])
            >>> one.activation, one.names
            ('tanh', ['W1[3,2]', 'b4[1]'])
        """
        linear, kind = toy.perceptron(model)
        known = "toy regression" if data is None else name_of(data)
        x, y = toy.toy_regression() if data is None else data
        return cls(
            [m.weight.detach().double().clone() for m in linear],
            [m.bias.detach().double().clone() for m in linear],
            kind,
            tuple(tuple(int(i) for i in p) for p in free),
            x.double(),
            y.double(),
            known,
        )

    @property
    def start(self) -> Tensor:
        """(2,) what the free parameters are in the network, float64.

        Example:
            >>> from dldna.landscape import toy_network
            >>> net = toy_network()
            >>> torch.equal(Slice.of(net).start, net[2].weight[0, :2])
            True
        """
        w, b = self.weights, self.biases
        at = [b[k][i] if j < 0 else w[k][i, j] for k, i, j in self.free]
        return torch.stack(at)

    @property
    def provenance(self) -> Provenance:
        """What the slice goes through."""
        return Provenance(
            made="slice through two weights",
            model=f"{self.activation} perceptron",
            n_params=sum(t.numel() for t in (*self.weights, *self.biases)),
            data=self.data,
            n_samples=len(self.y),
            loss="mean squared error",
            device=str(self.x.device),
            dtype="float64",
        )

    @property
    def names(self) -> list[str]:
        """The two parameters as text, with all numbers counted from 1.

        Example:
            >>> from dldna.landscape import toy_network
            >>> Slice.of(toy_network(), [(1, 0, 0), (1, 0, -1)]).names
            ['W2[1,1]', 'b2[1]']
        """
        return [
            f"b{k + 1}[{i + 1}]" if j < 0 else f"W{k + 1}[{i + 1},{j + 1}]"
            for k, i, j in self.free
        ]

    @cached_property
    def _batched(self) -> Batched:
        return Batched(
            self.weights, self.biases, self.activation, self.free,
            self.x, self.y,
        )  # fmt: skip

    def losses(self, points: Tensor) -> Tensor:
        r"""The mean squared error at many points, on all samples.

        .. math:: f(a, b) = \frac1N \sum_n (\hat y(x_n; a, b) - y_n)^2

        Args:
            points: (..., 2) values of the two free parameters.

        Returns:
            (...) losses in float64, in squared units of y.

        Raises:
            RuntimeError: the last axis of ``points`` is not 2 long.

        Example:
            >>> from dldna.landscape import toy_network
            >>> one = Slice.of(toy_network())
            >>> one.losses(torch.zeros(5, 4, 2)).shape
            torch.Size([5, 4])
        """
        home = self.x.device
        points = torch.as_tensor(points, dtype=torch.float64, device=home)
        flat = self._batched.losses(points.reshape(-1, 2))
        return flat.view(points.shape[:-1])

    def gradient(
        self, points: Tensor, index: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        r"""Losses and exact gradients at many points.

        .. math:: \frac{\partial f}{\partial a} = \frac2N \sum_n
            (\hat y_n - y_n) \frac{\partial \hat y_n}{\partial a}

        Args:
            points: (P, 2) values of the two free parameters.
            index: (B,) numbers of the samples that count, a mini-batch;
                the mean is over these. All if left out.

        Returns:
            Losses (P,) and gradients (P, 2), in float64. At a kink of ReLU
            the derivative is 0, as in torch.

        Raises:
            ValueError: the second axis of ``points`` is not 2 long.
            IndexError: there is no sample of a number in ``index``.

        Example:
            >>> from dldna.landscape import toy_network
            >>> one = Slice.of(toy_network("tanh"))
            >>> loss, slope = one.gradient(one.start[None])
            >>> step = torch.tensor([1e-5, 0.0], dtype=torch.float64)
            >>> rise = one.losses(one.start + step) - loss
            >>> bool(abs(rise / 1e-5 - slope[0, 0]) < 1e-4)
            True
        """
        home = self.x.device
        points = torch.as_tensor(points, dtype=torch.float64, device=home)
        return self._batched.gradient(points, index)

    def surface(self, extent: Window = 5.0, resolution: int = 81) -> Surface:
        """The exact loss on a grid.

        Args:
            extent: half width around the origin, or (low, high, low,
                high) of the first and the second parameter.
            resolution: points along each axis.

        Returns:
            A record whose coordinates are the parameters' own values: its
            centre is the network with both parameters at 0.

        Raises:
            ValueError: an empty or negative window, or ``resolution`` is
                no whole number of at least 1.

        Example:
            >>> from dldna.landscape import toy_network
            >>> got = Slice.of(toy_network()).surface((0, 2, -1, 1), 3)
            >>> got.alphas.tolist(), got.betas.tolist(), got.losses.shape
            ([0.0, 1.0, 2.0], [-1.0, 0.0, 1.0], (3, 3))
        """
        window = window_of(extent)
        checks.count("resolution", resolution)
        kind = {"dtype": torch.float64, "device": "cpu"}
        a = torch.linspace(*window[:2], resolution, **kind)
        b = torch.linspace(*window[2:], resolution, **kind)
        losses = self.losses(torch.cartesian_prod(a, b)).view(len(a), len(b))
        return Surface(
            a.numpy(),
            b.numpy(),
            losses.numpy(),
            torch.ones(losses.shape, dtype=torch.bool, device="cpu").numpy(),
            self.losses(torch.zeros(2, device="cpu")).item(),
            directions=self.names,
            way="two weights",
            provenance=self.provenance.derived("surface of two weights"),
        )

    def minimum(
        self, extent: Window = 5.0, resolution: int = 81
    ) -> tuple[Tensor, float]:
        """The lowest point of the window, by ever finer grids.

        The best point of the first grid is the middle of a grid of 13 x 13
        that reaches one mesh width to each side. Its best point is the
        middle of the next, which reaches half as far, and so on 24 times.

        Args:
            extent: as for :meth:`surface`.
            resolution: points along each axis of the first grid, at least
                2. A basin narrower than its mesh may be missed.

        Returns:
            The point (2,) and its loss, in float64.

        Raises:
            ValueError: as for :meth:`surface`.

        Example:
            >>> from dldna.landscape import toy_network
            >>> net = toy_network("tanh", trained=True)
            >>> one = Slice.of(net)
            >>> bool(one.minimum(2.0)[1] <= one.surface(2.0).losses.min())
            True
        """
        low_a, high_a, low_b, high_b = window = window_of(extent)
        kind = {"dtype": torch.float64, "device": "cpu"}
        low = torch.tensor([low_a, low_b], **kind)
        high = torch.tensor([high_a, high_b], **kind)
        grid, n = self.surface(window, resolution), resolution
        best = torch.from_numpy(grid.losses).argmin().item()
        point = [grid.alphas[best // n], grid.betas[best % n]]
        point, mesh = torch.tensor(point, **kind), (high - low) / (n - 1)
        span = torch.linspace(-1, 1, 13, device="cpu")
        offsets = torch.cartesian_prod(span, span).double()
        for _ in range(24):
            around = (point + offsets * mesh).clamp(low, high)
            point = around[self.losses(around).argmin()]
            mesh = mesh / 2
        return point, self.losses(point).item()

    def to_dict(
        self,
        extent: Window = 5.0,
        resolution: int = 81,
        start: Sequence[float] | None = None,
        packed: bool = False,
    ) -> dict[str, Any]:
        """All that a page needs to go on without Python.

        Args:
            extent: as for :meth:`surface`.
            resolution: points along each axis of the grid.
            start: where a path begins; the network's own values if left
                out.
            packed: the grid as base64 of float32, row by row, with its
                shape beside it, instead of nested lists.

        Returns:
            JSON values: ``widths``, ``activation``, ``weights`` (out by
            in), ``biases``, ``free``, ``x``, ``y``, ``names``, ``extent``
            (a low, a high, b low, b high), ``grid`` (rows: the second
            parameter; columns: the first), its ``shape``, ``start``.
            Numbers of ``grid``, ``x`` and ``y`` have seven digits.

        Raises:
            ValueError: as for :meth:`surface`.

        Example:
            >>> from dldna.landscape import toy_network
            >>> got = Slice.of(toy_network()).to_dict(2.0, resolution=3)
            >>> got["widths"], got["extent"], len(got["grid"])
            ([3, 3, 3, 3, 1], [-2.0, 2.0, -2.0, 2.0], 3)
        """
        return as_dict(self, extent, resolution, start, packed)
