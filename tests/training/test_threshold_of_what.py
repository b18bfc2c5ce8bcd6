"""Stability thresholds are those of optimizers."""

import pytest
import torch
from torch import nn

from dldna.training import stability_threshold


@pytest.mark.parametrize("thing", [None, 0.1, torch.optim.SGD, nn.Module()])
def test_what_is_no_optimizer_is_refused_in_words(thing):
    with pytest.raises(TypeError, match=r"threshold is that of an optimizer"):
        stability_threshold(thing)
