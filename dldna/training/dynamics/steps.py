"""What is measured at one step of a run."""

import math

import torch
from torch import Tensor, nn

from dldna import batches, guard
from dldna.objective import in_place
from dldna.params import exact
from dldna.training.callbacks import State

LAYER = ("layer_grad_norm", "layer_change", "layer_weight_norm")


class Steps:
    """Norms, angle and improvement of the steps that are due.

    Args:
        model: its parameters that can move are watched, layer by layer.
        per_layer: whether rows hold the norms of each layer.

    Raises:
        ValueError: no parameter can move.
    """

    def __init__(self, model: nn.Module, per_layer: bool):
        layers: dict[str, list[nn.Parameter]] = {}
        for name, p in model.named_parameters():
            if p.requires_grad:
                layers.setdefault(name.rpartition(".")[0], []).append(p)
        if not layers:
            raise ValueError("no parameter of the model can move")
        self.names = list(layers)
        self.params = [p for group in layers.values() for p in group]
        self.sizes = [sum(p.numel() for p in g) for g in layers.values()]
        self.per_layer = per_layer
        self.last: tuple[int, Tensor] | None = (0, self.weights())
        self.move: Tensor | None = None

    def weights(self) -> Tensor:
        """A copy of all parameters, layer by layer, in one vector."""
        return torch.cat([p.detach().reshape(-1) for p in self.params])

    def see(self, state: State, due: bool) -> dict | None:
        """Take note of a step; return its row if it is due.

        A row needs the weights of the step before, and its angle those of
        the one before that.
        """
        t, row = state.step, None
        point, move = self.weights(), None
        if self.last is not None and self.last[0] == t - 1:
            move = point - self.last[1]
            if due:
                row = self._row(state, point, move)
        self.last, self.move = (t, point), move
        return row

    def _row(self, state: State, point: Tensor, move: Tensor) -> dict:
        """How long, how far, which way, how much better."""
        gone = all(p.grad is None for p in self.params)
        none = math.nan if gone else 0.0  # gradients cleared: not known
        g = torch.cat([
            (torch.full_like(p, none) if p.grad is None else p.grad)
            .reshape(-1)
            for p in self.params
        ])  # fmt: skip
        vectors = exact(torch.stack([g.detach(), move, point]))
        squares = torch.stack(
            [part.square().sum(1) for part in vectors.split(self.sizes, 1)],
            1,
        )
        layers = squares.sqrt().cpu().numpy()
        grad, change, size = squares.sum(1).sqrt().tolist()
        row = {
            "steps": state.step,
            "epochs": state.epoch,
            "samples": state.samples,
            "loss": state.loss,
            "grad_norm": grad,
            "param_change": change,
            "weight_norm": size,
            "loss_improvement": self._improvement(state),
            "cosine": _cosine(vectors[1], self.move),
        }
        if self.per_layer:
            row |= dict(zip(LAYER, layers, strict=True))
        return row

    def _improvement(self, state: State) -> float:
        """Loss of the step's own batch, before minus after."""
        if state.batch is None:
            return math.nan
        device = self.params[0].device
        with guard.untouched(trains=True):
            fresh = _random_state(device)
            after = _loss(state, {})
            if torch.equal(fresh, _random_state(device)):
                return state.loss - after
        # the same random numbers at both ends
        with guard.untouched(trains=True):
            before = _loss(state, self._before())
        return before - after

    def _before(self) -> dict[int, Tensor]:
        """The parameters as they were before the step, by identity."""
        parts = self.last[1].split([p.numel() for p in self.params])
        return {
            id(p): part.view_as(p)
            for p, part in zip(self.params, parts, strict=True)
        }


@torch.no_grad()
def _loss(state: State, old: dict[int, Tensor]) -> float:
    """The batch's loss in the model's mode; its buffers are copies."""
    model = state.model
    modes = [module for module in model.modules() if module.training]
    point = {
        name: old.get(id(p), p.detach().clone())
        for name, p in model.named_parameters()
    }
    with in_place(model, training=modes) as put:
        put(point, dict(model.named_buffers()))
        output = batches.apply(model, batches.split(state.batch)[0])
        loss = batches.loss_caller(state.loss_fn)
        return float(loss(output, state.batch))


def _random_state(device: torch.device) -> Tensor:
    if device.type == "cuda":
        return torch.cuda.get_rng_state(device)
    return torch.random.get_rng_state()


def _cosine(move: Tensor, last: Tensor | None) -> float:
    if last is None:
        return math.nan
    last = exact(last)
    lengths = float(move.norm() * last.norm())
    return float(move @ last) / lengths if lengths > 0 else math.nan
