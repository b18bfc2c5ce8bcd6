"""What all runs of a tournament share: parted data, starts, marks."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dldna import checks, models, params
from dldna.data import Loader
from dldna.landscape.scan.fingerprint import digest
from dldna.torch_internals import Dropout
from dldna.training.ensemble import Ensemble
from dldna.training.evaluation import evaluate
from dldna.training.loop import train
from dldna.training.tournament.contestants import Contestant


class Setting:
    """What all runs share."""

    def __init__(
        self, make_model, data, epochs, batch_size, held, marks, seed, device
    ):
        self.make, self.label = make_model, "callable"
        if isinstance(make_model, str):
            self.label = make_model
            self.make = lambda s: models.make(
                make_model,
                seed=s,
                in_shape=data.shape,
                num_classes=len(data.classes),
            )
        self.epochs, self.batch_size = epochs, batch_size
        self.seed, self.device = seed, device
        if device is not None:
            params.usable_device(device)
        n = len(data.train_x)
        away = round(checks.fraction("held", held) * n)
        if not 0 < away < n:
            raise ValueError(
                f"held={held} of {n} samples leaves nothing to validate or "
                "to train on"
            )
        draw = torch.Generator().manual_seed(seed)
        order = torch.randperm(n, generator=draw, device="cpu")
        keep, out = order[away:], order[:away]
        self.train = data.train_x[keep], data.train_y[keep]
        self.valid = data.train_x[out], data.train_y[out]
        self.test = data.test_x, data.test_y
        steps = epochs * math.ceil(len(keep) / batch_size)
        ends = np.linspace(0, steps, min(marks, steps) + 1)[1:]
        self.marks = sorted({round(e) for e in ends})
        first = self.make(seed)
        self.first = params.of(first)
        self.n_params = params.count(self.first)
        if self.label == "callable":
            self.label = type(first).__name__
        like = next(first.parameters())
        self.place = str(device or like.device)
        self.dtype = str(like.dtype).removeprefix("torch.")
        flat = device is None and like.is_cpu
        self.stacks = flat and not any(
            isinstance(m, Dropout) for m in first.modules()
        )
        if self.stacks:
            way = Ensemble(first, self.train[0][:4]).way
            self.stacks = way == "perceptron"

    def identity(self) -> dict[str, Any]:
        """What must be the same for a tournament to go on."""
        return {
            "weights": digest(dict(self.first)),
            "data": digest(self.train, self.valid, self.test),
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "marks": self.marks,
            "seed": self.seed,
        }

    def fresh(self, seeds: int) -> list[int]:
        return [self.seed + 1 + k for k in range(seeds)]

    def loader(self, seed: int) -> Loader:
        return Loader(*self.train, self.batch_size, shuffle=True, seed=seed)

    def score(self, model: nn.Module, on: tuple[Tensor, Tensor]):
        """Loss and accuracy; a network of NaN has no right answers."""
        loss, accuracy = evaluate(model, Loader(*on, 1000))
        if not math.isfinite(loss):
            return math.inf, 0.0
        return loss, accuracy

    def run(self, who: Contestant, lr: float, seed: int, path, watch=()):
        """One training run; the model, and whether it diverged."""
        model = self.make(seed)
        if self.device is not None:
            model.to(self.device)
        history = train(
            model,
            who.build(model, lr),
            self.loader(seed),
            epochs=self.epochs,
            callbacks=watch,
            checkpoint=path,
            on_divergence="record",
            seed=seed,
            progress=False,
        )
        return model, "diverged" in history.provenance.notes
