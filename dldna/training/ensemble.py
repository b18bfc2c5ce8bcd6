r"""Many copies of one small model, evaluated in one pass.

Run :math:`r` has its own parameters; all runs are stored in one matrix of
shape (R, P). Runs are ordered by seed first: ``r = seed * S + setting``,
and the S runs of one seed see the same batch, so that the first layer of
a perceptron is one large product for all of them.
"""

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from dldna import params
from dldna.objective import batch_weight, ignored, reduction
from dldna.training.evaluation import evaluating

_ELEMENTWISE = (
    nn.ReLU,
    nn.LeakyReLU,
    nn.Tanh,
    nn.Sigmoid,
    nn.GELU,
    nn.SiLU,
    nn.ELU,
    nn.SELU,
    nn.Softplus,
    nn.Identity,
)


class Ensemble:
    """A model's forward pass for R parameter vectors at once.

    Args:
        model: the architecture; its parameters are not used or moved.
        example: a batch of inputs for one run, to try the fast path on.

    Attributes:
        way: "perceptron" (batched matrix products) or "vmap" (any model).
    """

    def __init__(self, model: nn.Module, example: Tensor):
        self.model = model
        self.like = params.of(model)
        self.layers = _perceptron(model)
        self.way = "vmap"
        if self.layers is not None and self._agrees(example[:4]):
            self.way = "perceptron"

    def _agrees(self, x: Tensor) -> bool:
        flat = params.flatten(self.like)
        flat = torch.stack([flat, flat * 1.1])
        try:
            fast = self._chain(self.views(flat), x[None])
        except (RuntimeError, IndexError, KeyError):
            return False
        slow = self._any(self.views(flat), x[None])
        return fast.shape == slow.shape and torch.allclose(
            fast, slow, rtol=1e-4, atol=1e-5
        )

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Cut (R, P) into named tensors (R, *shape) that share storage."""
        parts = flat.split([v.numel() for v in self.like.values()], dim=1)
        return {
            k: part.view(len(flat), *v.shape)
            for (k, v), part in zip(self.like.items(), parts, strict=True)
        }

    def __call__(self, named: dict[str, Tensor], x: Tensor) -> Tensor:
        """Outputs (R, B, ...) for inputs (K, B, ...) of K seeds."""
        if self.way == "perceptron":
            return self._chain(named, x)
        return self._any(named, x)

    def _any(self, named: dict[str, Tensor], x: Tensor) -> Tensor:
        runs = len(next(iter(named.values())))
        x = x.repeat_interleave(runs // len(x), dim=0)

        def one(point, inputs):
            return params.call(self.model, point, (inputs,))

        try:  # attention's fused kernel would be mapped copy by copy
            with sdpa_kernel(SDPBackend.MATH):
                return vmap(one, randomness="different")(named, x)
        except RuntimeError as error:
            if not re.search("vmap|atching rule|atched", str(error)):
                raise
            raise ValueError(
                f"{type(self.model).__name__} cannot run as many copies at "
                f"once ({str(error).strip().splitlines()[0]}): train its runs "
                "one by one, with dldna.training.train"
            ) from error

    def _chain(self, named: dict[str, Tensor], x: Tensor) -> Tensor:
        seeds, batch = x.shape[:2]
        h, first = x, True
        for kind, name, module in self.layers:
            if kind == "flatten":
                h = h.flatten(2)
            elif kind == "linear":
                w = named[f"{name}weight"]
                runs, out = w.shape[:2]
                if first:
                    wide = w.reshape(seeds, -1, w.shape[2])
                    h = torch.bmm(h, wide.transpose(1, 2))
                    h = h.view(seeds, batch, -1, out).transpose(1, 2)
                    h = h.reshape(runs, batch, out)
                    first = False
                    if module.bias is not None:
                        h = h + named[f"{name}bias"][:, None]
                elif module.bias is not None:
                    b = named[f"{name}bias"][:, None]
                    h = torch.baddbmm(b, h, w.transpose(1, 2))
                else:
                    h = torch.bmm(h, w.transpose(1, 2))
            elif kind == "prelu":
                slope = named[f"{name}weight"][:, None]
                h = torch.relu(h) - slope * torch.relu(-h)
            else:
                h = module(h)
        return h


def _perceptron(model: nn.Module) -> Sequence[tuple] | None:
    """The layers of a plain perceptron by kind, or None if it is not one."""
    found, names = [], {}
    for name, module in model.named_modules(remove_duplicate=False):
        if any(module.children()):
            continue
        first_name = names.setdefault(module, f"{name}." if name else "")
        if isinstance(module, nn.Flatten):
            found.append(("flatten", first_name, module))
        elif type(module) is nn.Linear:
            found.append(("linear", first_name, module))
        elif isinstance(module, nn.PReLU):
            found.append(("prelu", first_name, module))
        elif isinstance(module, _ELEMENTWISE):
            found.append(("act", first_name, module))
        else:
            return None
    return found


def one_kind(models: Sequence[nn.Module]) -> Tensor | None:
    """Which numbers of the models' parameters stand still: (P,) or None.

    Raises:
        ValueError: the models' buffers differ; all runs share the first's.
    """
    first = dict(models[0].named_buffers())
    for other in models[1:]:
        for name, buffer in other.named_buffers():
            if not torch.equal(buffer, first[name]):
                raise ValueError(
                    f"the buffer {name!r} differs from seed to seed, and "
                    "runs side by side share one: make it without the seed, "
                    "or train the runs one by one, with dldna.training.train"
                )
    named = dict(models[0].named_parameters())
    still = [
        torch.full((v.numel(),), not named[k].requires_grad, device="cpu")
        for k, v in params.of(models[0]).items()
    ]
    still = torch.cat(still).to(next(iter(named.values())).device)
    return still if still.any() else None


def per_run(loss_fn: Callable) -> Callable[[Tensor, Tensor], Tensor]:
    """Turn ``loss_fn(output, target) -> scalar`` into one loss for each run.

    Returns:
        A function of outputs (R, B, ...) and targets (K, B, ...), giving
        (R,).
    """
    home = loss_fn if not isinstance(loss_fn, nn.Module) else type(loss_fn)
    plain = home in (nn.functional.cross_entropy, nn.CrossEntropyLoss) and (
        not isinstance(loss_fn, nn.Module) or _is_default(loss_fn)
    )

    def losses(output: Tensor, target: Tensor) -> Tensor:
        runs = len(output)
        target = target.repeat_interleave(runs // len(target), dim=0)
        if plain and output.ndim == 3 and target.ndim == 2:
            each = nn.functional.cross_entropy(
                output.flatten(0, 1), target.flatten(), reduction="none"
            )
            return each.view(runs, -1).mean(1)
        return vmap(loss_fn)(output, target)

    return losses


@torch.no_grad()
def score(
    stacked: Ensemble,
    loss_fn: Callable,
    flat: Tensor,
    seeds: int,
    x: Tensor,
    y: Tensor,
    most: int = 2048,
) -> tuple[Tensor, Tensor]:
    """Mean loss and share of right answers of R runs, in eval mode.

    Both are those of :func:`dldna.training.evaluate`.

    Args:
        stacked: the model; its mode is afterwards as it was.
        loss_fn: ``loss_fn(output, target)``.
        flat: (R, P) parameters.
        seeds: number of seeds among the R runs.
        x, y: inputs (N, ...) and targets (N, ...).
        most: samples in one pass.

    Returns:
        (R,) and (R,); the shares are of targets that are not ignored, of
        which a sample may have several (tokens, pixels), and NaN for
        losses without classes.
    """
    loss = torch.zeros(len(flat), dtype=torch.float64, device="cpu")
    right, weight, answers = torch.zeros_like(loss), 0.0, 0
    views, losses = stacked.views(flat), per_run(loss_fn)
    with evaluating(stacked.model):
        for a, b in zip(x.split(most), y.split(most), strict=True):
            out = stacked(views, a.expand(seeds, *a.shape))
            targets = b.expand(seeds, *b.shape)
            share = batch_weight(loss_fn, (a, b))
            weight += share
            factor = 1.0 if reduction(loss_fn) == "sum" else share
            if share:
                loss += losses(out, targets).cpu().double() * factor
            if b.is_floating_point():
                right += torch.nan
            else:  # (R, B, C, ...) meets (B, ...)
                counted = b != ignored(loss_fn)
                answers += int(counted.sum())
                hits = (out.argmax(2) == b) & counted
                right += hits.flatten(1).sum(1).cpu()
    return loss / weight, right / max(answers, 1)


def _is_default(loss: nn.CrossEntropyLoss) -> bool:
    return (
        loss.weight is None
        and loss.reduction == "mean"
        and loss.label_smoothing == 0
        and loss.ignore_index == -100
    )
