"""What is measured on fixed data at one point of a run."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dldna.landscape import Operator
from dldna.landscape.curvature.lanczos import lanczos, warm_start
from dldna.landscape.curvature.trace import trace_of
from dldna.objective import NotFinite
from dldna.params import exact
from dldna.training.callbacks import State
from dldna.training.dynamics import edge
from dldna.training.dynamics.noise import noise_of

LEAST = 8  # products beyond k, in which a fresh direction can show itself


@dataclass
class Instruments:
    """What to measure, and how well.

    Args:
        data: the fixed samples.
        k: number of top eigenpairs; 0 for none.
        noise: number of parts for the gradient noise; 0 for none.
        trace: number of products for the Hessian's trace; 0 for none.
        tol: bound of the relative residual of each eigenpair.
        max_products: most products for one measurement.
        options: of the operator.
    """

    data: Any
    k: int
    noise: int
    trace: int
    tol: float
    max_products: int
    options: dict[str, Any]

    def measure(self, state: State, warm: dict[str, Tensor]) -> dict:
        """Measure at the model's present weights.

        Args:
            state: where the run stands; its model is only read.
            warm: eigenvectors of the last measurement, by kind; the new
                ones take their place.

        Returns:
            Values by the names of the record's fields.
        """
        row = self.blank()
        _, row["threshold"] = edge.stability_threshold(state.optimizer)
        try:
            operator = Operator(
                state.model, state.loss_fn, self.data, **self.options
            )
        except NotFinite:
            return row
        g = operator.gradient()
        row["data_loss"] = operator.loss()
        row["data_grad_norm"] = float(exact(g).norm())
        if self.noise:
            noise = noise_of(operator, self.noise, seed=0)
            row["noise_trace"] = noise.provenance.notes["trace"]
            row["noise_scale"] = float(noise.value)
        if self.trace:
            found = trace_of(operator, self.trace)
            row["trace"] = float(found.value)
            row["trace_error"] = float(found.error)
        if self.k:
            self._curvature(state, operator, g, warm, row)
        return row

    def blank(self) -> dict:
        """A row in which nothing is known."""
        none = np.full(self.k, math.nan)
        return {
            "data_loss": math.nan,
            "data_grad_norm": math.nan,
            "eigenvalues": none,
            "residuals": none,
            "gradient_share": none,
            "preconditioned": math.nan,
            "threshold": math.nan,
            "noise_trace": math.nan,
            "noise_scale": math.nan,
            "trace": math.nan,
            "trace_error": math.nan,
        }

    def _curvature(self, state, operator, g, warm, row) -> None:
        k = min(self.k, operator.n)
        found = self._top(operator, None, k, warm, "plain", state.step)
        short = np.full(self.k - k, math.nan)
        values = found.values.numpy()
        row["eigenvalues"] = np.append(values, short)
        size = np.maximum(np.abs(values), 1e-300)
        row["residuals"] = np.append(found.residuals.numpy() / size, short)
        along = (exact(found.vectors) @ exact(g)).square().cumsum(0)
        total = max(row["data_grad_norm"] ** 2, 1e-300)
        row["gradient_share"] = np.append(along.cpu().numpy() / total, short)
        p = edge.preconditioner(state.model, state.optimizer)
        if p is not None:
            scale = operator.flat({n: p[n] for n in operator.names})
            scale = scale.to(**operator.cast).rsqrt()
            top = self._top(operator, scale, 1, warm, "scaled", state.step)
            row["preconditioned"] = float(top.values[0])

    def _top(self, operator, scale, k, warm, kind, step):
        """Top eigenpairs, searched from where the last ones were found."""
        generator = torch.Generator().manual_seed(step)
        start = torch.randn(
            operator.n, generator=generator, dtype=operator.dtype, device="cpu"
        ).to(operator.device)
        if kind in warm and warm[kind].shape == (k, operator.n):
            start = warm_start(warm[kind].to(start), start)

        def product(v: Tensor) -> Tensor:
            if scale is None:
                return operator @ v
            return scale * (operator @ (scale * v))

        found = lanczos(
            product,
            start,
            k,
            self.tol,
            which="largest",
            least=k + LEAST,
            max_products=self.max_products,
            generator=generator,
        )
        warm[kind] = found.vectors.cpu()
        return found
