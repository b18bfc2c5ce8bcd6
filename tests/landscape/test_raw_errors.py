"""What a barrier and a recorder are given wrongly is said in words."""

import numpy as np
import pytest
from torch import nn

from dldna.landscape import Recorder, Trajectory
from dldna.landscape.curves import barrier


@pytest.mark.parametrize("losses", [[1.0, 2.0, 1.0], np.ones(3), None])
def test_a_barrier_is_that_of_a_line(losses):
    with pytest.raises(TypeError, match=r"a barrier is that of a Line, as"):
        barrier(losses)


def test_a_recorder_takes_a_network_each_time(tmp_path):
    with Recorder(tmp_path / "run") as recorder:
        for step in (0, 1):  # before the first, and after it
            with pytest.raises(TypeError, match=r"takes the network itself"):
                recorder.record(None, step=step)
            with pytest.raises(TypeError, match="not dict"):
                recorder.record({}, step=step)
            recorder.record(nn.Linear(2, 1), step=step)
    assert Trajectory(tmp_path / "run").steps.tolist() == [0, 1]
