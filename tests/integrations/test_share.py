"""An observer takes its share of the training's time, and no more."""

import numpy as np
import pytest
import torch
from torch import nn

from dldna.integrations import Observe
from dldna.integrations import share as shares


class Clock:
    """A clock that goes only when told to, and a sink that takes its time."""

    def __init__(self, cost=0.0):
        self.now, self.cost = 0.0, cost

    def perf_counter(self):
        return self.now

    def log(self, values, step):
        self.now += self.cost


def simulated(monkeypatch, *, every, overhead, cost, steps, stride=1):
    """Steps of one second each, measurements of ``cost`` seconds."""
    clock = Clock(cost)
    monkeypatch.setattr(shares, "time", clock)
    model = nn.Linear(1, 1)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    observe = Observe(every=every, overhead=overhead, sinks=[clock])
    worst = 0.0
    with observe.watch(model, sgd):
        for t in range(stride, steps + 1, stride):
            clock.now += stride
            observe(step=t)
            if len(observe.rows) > 1:  # what the first cost was not known
                worst = max(worst, observe.share.taken)
    return observe, worst


@pytest.mark.parametrize(
    ("every", "overhead", "cost"),
    [
        (1, 0.05, 0.01),
        (1, 0.5, 3.0),
        (2, 0.05, 3.0),
        (3, 0.5, 3.0),
        (7, 0.05, 0.01),
        (7, 0.05, 3.0),
        (50, 0.5, 0.01),
        (50, 0.05, 3.0),
    ],
)
def test_it_takes_its_share_and_no_more(
    monkeypatch, capsys, every, overhead, cost
):
    steps = 300
    observe, worst = simulated(
        monkeypatch, every=every, overhead=overhead, cost=cost, steps=steps
    )
    done, room = len(observe.rows), int(overhead * steps / cost)
    assert observe.due == steps // every
    assert worst <= overhead + 1e-9
    # Nor less than it may: each step that was due, or all that there is
    # room for, but for the wait until the next one is due.
    interval = cost / overhead
    waits = interval + every + 2
    assert done >= min(observe.due, int(steps / waits)) - 1
    assert done <= min(observe.due, room)
    said = capsys.readouterr().out
    notes = observe.record().provenance.notes
    assert notes["measured"] == done
    assert (done < observe.due) == bool(notes["less_often"])
    assert said.count("observe:") == (done < observe.due)
    if said:
        assert f"measured at {done} of {observe.due} steps" in said
    observe.close()
    assert not capsys.readouterr().out


def test_where_each_step_makes_room_for_one_each_is_measured(monkeypatch):
    observe, worst = simulated(
        monkeypatch, every=1, overhead=0.05, cost=0.049, steps=50
    )
    assert len(observe.rows) == 50
    assert worst <= 0.05


@pytest.mark.parametrize("stride", [3, 10, 25])
def test_calls_may_be_rarer_than_steps(monkeypatch, stride):
    observe, _ = simulated(
        monkeypatch, every=10, overhead=0.5, cost=0.1, steps=300, stride=stride
    )
    assert observe.due == 30
    assert len(observe.rows) == min(30, 300 // stride)
    assert all(np.isnan(row["param_change"]) for row in observe.rows)
