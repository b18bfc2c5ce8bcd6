"""What looks in while a network trains."""

import math
import time

from torch import Tensor

from benchmarks.studies.desk import Desk, Paused, log
from benchmarks.studies.jobs import Training, asked, changed
from dldna.landscape import Recorder

HALF_MAX = 65_504.0  # the largest number of half precision
LEARNT = 0.95  # of the loss of guessing: below it a network has learnt


class FellBack(Exception):
    """A network that had learnt guesses again, or its loss is no number.

    Args:
        losses: the mean of each epoch or stretch so far.
    """

    def __init__(self, losses: list[float]):
        super().__init__(f"back at guessing after {len(losses)} epochs")
        self.losses = losses


def marks(points: tuple[int, ...], epochs: int, steps: int) -> set[int]:
    """The steps after which a point of the path is kept.

    Example:
        >>> sorted(marks((4, 2), 3, 8))
        [0, 2, 4, 6, 8, 12, 16, 20, 24]
    """
    if not points:
        return set()
    found = {0}
    for epoch in range(epochs):
        n = min(points[min(epoch, len(points) - 1)], steps)
        ends = (round(k * steps / n) for k in range(1, n + 1))
        found |= {epoch * steps + end for end in ends}
    return found


class Watch:
    """A callback: points of the path, lines of the log, and the pause.

    Args:
        desk: whom to ask whether to stop.
        job: what is trained.
        steps: of an epoch.
        give_up: whether to raise :class:`FellBack`; else a network trains
            to its end, whatever it does.
    """

    def __init__(
        self, desk: Desk, job: Training, steps: int, give_up: bool = False
    ):
        self.desk, self.job, self.steps = desk, job, steps
        self.give_up, self.means = give_up, []
        self.wanted = marks(job.points, job.epochs, steps)
        self.recorder = None
        if self.wanted:
            path = desk.state.path(job.name)
            self.recorder = Recorder(path, 1, job.precision, resume=True)
        self.left_out = 0
        self.stretch_losses: list[float] = []
        self.said, self.losses = time.monotonic(), []
        self.asked = False

    def on_start(self, state) -> None:
        """The first point, if it is not there."""
        if state.step == 0:
            self.point(state)

    def on_step(self, state) -> None:
        """A point where one is due; leave when the checkpoint is written."""
        if self.asked:
            raise Paused
        if state.step in self.wanted:
            self.point(state)
        self.stretch_losses.append(state.loss)
        self.losses.append(state.loss)
        if time.monotonic() - self.said > self.desk.say_seconds:
            self.say(state)
        if self.desk.asked():
            self.asked = state.save = True

    def on_epoch(self, state) -> None:
        """End where the loss is low enough, or back where it began."""
        mean = sum(self.stretch_losses) / len(self.stretch_losses)
        self.stretch_losses.clear()
        self.means.append(mean)
        guess = math.log(len(self.desk.dataset.classes))
        learnt = min(self.means) < LEARNT * guess
        if self.give_up and learnt and not mean < guess:
            raise FellBack(self.means)
        if mean <= self.job.until:
            state.stop = True

    def point(self, state) -> None:
        """Write the weights, where their numbers fit."""
        if self.recorder is None:
            return
        if self.job.precision == "float16" and not fits(state.model):
            self.left_out += 1
            return
        self.recorder.record(state.model, state.step, state.loss, state.epoch)

    def say(self, state) -> None:
        """One line of the log."""
        each = (
            len(self.losses) * self.job.batch / (time.monotonic() - self.said)
        )
        log(
            f"{self.job.name}: step {state.step} of "
            f"{self.steps * self.job.epochs}, loss "
            f"{sum(self.losses) / len(self.losses):.3f}, {each:.0f} images/s"
        )
        self.desk.state.note_speed(kind_of(self.job, self.desk.device), each)
        self.said, self.losses = time.monotonic(), []

    def state_dict(self) -> dict:
        """What a checkpoint keeps of this, and of what was asked for."""
        return {
            "left_out": self.left_out,
            "stretch_losses": list(self.stretch_losses),
            "means": list(self.means),
            "job": asked(self.job),
        }

    def load_state_dict(self, state: dict) -> None:
        """Go on, if it is the same job.

        Raises:
            ValueError: the checkpoint is of another.
        """
        other = changed(self.job, state["job"])
        if other is not None:
            part = self.desk.state.part(self.job.name)
            raise ValueError(
                f"{part} was begun with {other}; remove it to begin anew"
            )
        self.left_out = state["left_out"]
        self.stretch_losses = list(state["stretch_losses"])
        self.means = list(state["means"])

    def close(self) -> None:
        """Close the path's files."""
        if self.recorder is not None:
            self.recorder.close()


def kind_of(job: Training, device: str) -> str:
    """What is as fast as this: network, options, size of the batch."""
    options = "".join(f" {k}={v}" for k, v in job.options)
    return f"{job.model}{options}, batch {job.batch}, {device}"


def fits(model) -> bool:
    """Whether half precision holds all weights and statistics."""
    tensors = (t for t in model.state_dict().values() if _counts(t))
    return all(float(t.abs().max()) < HALF_MAX for t in tensors)


def _counts(tensor: Tensor) -> bool:
    return tensor.is_floating_point() and tensor.numel() > 0
