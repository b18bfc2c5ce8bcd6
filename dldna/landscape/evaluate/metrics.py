"""Metrics that are measured in the same pass as the loss."""

from collections.abc import Callable
from typing import Any

from torch import Tensor

from dldna import batches as bt
from dldna.objective import batch_weight, ignored
from dldna.params import exact

SLACK = 0.02  # in probabilities, of types with few digits


def logits_of(output: Any) -> Tensor:
    """The tensor of scores in a model's output.

    A tensor is itself; of a dict or record the entry ``logits``; of a tuple
    the first item.
    """
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict) and "logits" in output:
        return output["logits"]
    if hasattr(output, "logits"):
        return output.logits
    if isinstance(output, (tuple, list)):
        return logits_of(output[0])
    raise TypeError(f"found no logits in a {type(output).__name__}")


def answers(batch: Any, ignore: int = -100) -> int:
    """How many answers a batch asks for: targets that are not ignored.

    Example:
        >>> import torch
        >>> answers((None, torch.tensor([[0, 1], [2, -100]])))
        3
    """
    target = bt.split(batch)[1]
    if not isinstance(target, Tensor) or target.is_floating_point():
        return bt.size(batch)
    return int((target != ignore).sum())


def accuracy(output: Any, batch: Any, ignore: int = -100) -> Tensor:
    """Fraction of right answers in a batch, a float64 scalar tensor.

    Classes are along dimension 1, as torch's cross-entropy has them, or
    along the last if only that fits the target. One output per sample is
    taken as a binary logit. Targets may be class numbers, probabilities, or
    -1 and 1; numbers of a regression have no right answers.

    Args:
        output: logits, (N, C), (N, C, ...) or (N, ..., C); or (N,).
        batch: the batch the output belongs to.
        ignore: the class number of targets that do not count.

    Raises:
        ValueError: output and target do not fit together, or the targets
            are neither classes nor probabilities, or have several labels.

    Example:
        >>> import torch
        >>> accuracy(torch.eye(3), (None, torch.tensor([0, 1, 1]))).item()
        0.6666666666666666
    """
    logits, target = logits_of(output), bt.split(batch)[1]
    if target is None:
        raise ValueError("accuracy needs targets, and the batch has none")
    if target.is_floating_point() and not _of_classes(target):
        raise ValueError(
            "accuracy needs targets that are classes or probabilities, and "
            f"these reach from {float(target.min()):.4g} to "
            f"{float(target.max()):.4g}: give a metric of your own"
        )
    counts = None if target.is_floating_point() else target != ignore
    if target.is_floating_point() and target.shape == logits.shape:
        if logits.ndim == 1 or logits.shape[1] == 1:
            target = target.reshape(-1) > 0.5
        else:
            if not _of_one_class(target):
                raise ValueError(
                    "accuracy needs one class for each answer, and these "
                    "targets have several labels or none: give a metric of "
                    "your own"
                )
            target = target.argmax(1)
    if logits.numel() == target.numel():
        right = (logits.reshape(-1) > 0) == (target.reshape(-1) > 0.5)
    elif logits.shape[:1] + logits.shape[2:] == target.shape:
        right = logits.argmax(1) == target
    elif logits.shape[:-1] == target.shape:
        right = logits.argmax(-1) == target
    else:
        raise ValueError(
            f"an output of shape {tuple(logits.shape)} and a target of "
            f"shape {tuple(target.shape)} do not fit together"
        )
    if counts is None:
        return exact(right).mean()
    counts = counts.to(right.device).reshape(right.shape)
    return exact(right & counts).sum() / exact(counts).sum()


def _of_classes(target: Tensor) -> bool:
    """Whether numbers can be probabilities, or the classes -1 and 1."""
    likely = (target >= -SLACK) & (target <= 1 + SLACK)
    return bool(likely.all() or (target.abs() == 1).all())


def _of_one_class(target: Tensor) -> bool:
    """Whether numbers along axis 1 share out one class, 0 and 1 or signs."""
    shared = (exact(target).sum(1) - 1).abs() <= SLACK
    return bool(shared.all() or ((target == 1).sum(1) == 1).all())


def weight_in(metric: Callable | None, batch: Any, loss_fn: Callable) -> float:
    """What a batch counts in the mean of a metric, or of the loss (None).

    The loss counts as :func:`dldna.objective.batch_weight` says, the
    accuracy by its answers, another metric by samples.

    Example:
        >>> import torch
        >>> batch = torch.zeros(2, 3), torch.tensor([0, -100])
        >>> weight_in(accuracy, batch, torch.nn.CrossEntropyLoss())
        1
    """
    if metric is None:
        return batch_weight(loss_fn, batch)
    if metric is accuracy:
        return answers(bt.inner(batch), ignored(loss_fn))
    return bt.size(batch)


METRICS = {"accuracy": accuracy}
OWN = {
    *("loss", "alpha", "beta", "evaluated", "finite"),
    *("length", "low", "high"),
}
"""Names under which records and their files keep something else."""
