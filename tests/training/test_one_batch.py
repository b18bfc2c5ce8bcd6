"""One batch in the place of a loader is one batch, in every room."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from dldna.training import evaluate, lr_range, train

torch.manual_seed(0)
X, Y = torch.randn(12, 4), torch.randint(3, (12,))


class Named(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(1)
        self.layer = nn.Linear(4, 3)

    def forward(self, x):
        return self.layer(x)


FORMS = {
    "pair": (X, Y),
    "list": [X, Y],
    "dict": {"x": X, "labels": Y},
    "spread": ((X,), Y),
}


def setting():
    model = Named()
    return model, torch.optim.SGD(model.parameters(), lr=0.1)


@pytest.mark.parametrize("form", FORMS)
def test_a_training_takes_one_batch_as_a_loader_of_it(form):
    one, of_one = FORMS[form], [FORMS[form]]
    runs = []
    for data in (one, of_one):
        model, sgd = setting()
        run = train(model, sgd, data, data, epochs=2, progress=False)
        runs.append((run.step_loss.tolist(), run.test_loss.tolist()))
    assert runs[0] == runs[1]
    assert len(runs[0][0]) == 2  # a step in each epoch
    assert runs[0][0][0] == pytest.approx(
        F.cross_entropy(Named()(X), Y).item()
    )


@pytest.mark.parametrize("form", FORMS)
def test_one_batch_is_evaluated_and_tried(form):
    model, sgd = setting()
    assert evaluate(model, FORMS[form]) == evaluate(model, [FORMS[form]])
    tried, same = (
        lr_range(model, sgd, data, steps=5, progress=False)
        for data in (FORMS[form], [FORMS[form]])
    )
    assert tried.losses.tolist() == same.losses.tolist()
