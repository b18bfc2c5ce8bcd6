"""Fans are those of a weight, and a shape is none."""

import numpy as np
import pytest
import torch
from torch import nn

from dldna.init import fans


@pytest.mark.parametrize("thing", [(3,), (3, 4), None, 5, nn.Linear(2, 1)])
def test_what_is_no_weight_is_refused_in_words(thing):
    with pytest.raises(TypeError, match=r"fans need a weight, a tensor, not"):
        fans(thing)


def test_arrays_have_fans_as_tensors_do():
    assert fans(np.zeros((3, 4))) == fans(torch.zeros(3, 4)) == (4, 3)
