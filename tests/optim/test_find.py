"""One table, one way to find an optimizer, for everybody who asks."""

import pytest
import torch

from dldna import optim
from dldna.optim import base_optimizer, rule
from dldna.optim.registry import ALSO, SHORT
from dldna.plotting import PLAYERS, playground
from dldna.training import CONTESTANTS, Contestant
from dldna.training.tournament.contestants import chosen

EVERY = [*optim.OPTIMIZERS, *optim.VARIANTS]


@pytest.mark.parametrize("name", EVERY)
def test_any_spelling_finds_the_same(name):
    found = optim.find(name)
    spellings = {
        name, name.lower(), name.upper(), found.key, f" {name} ",
        found.key.replace("_", "-"), found.key.replace("_", " "),
        found.key.title(),
    }  # fmt: skip
    for spelling in spellings:
        assert optim.find(spelling) == found
    w = torch.nn.Parameter(torch.ones(2, 2))
    optimizer = found.build([w])
    assert type(optimizer) is found.cls
    group = optimizer.param_groups[0]
    assert found.settings.items() <= group.items()


@pytest.mark.parametrize("name", ALSO)
def test_other_names_in_use(name):
    assert optim.find(name).name == ALSO[name]


def test_keys_are_unique_and_every_rule_is_found():
    keys = [optim.find(name).key for name in EVERY]
    assert len(set(keys)) == len(keys)
    assert set(SHORT) <= set(EVERY)
    for name in optim.RULES:
        assert optim.find(name).rule is optim.RULES[name]
    assert set(PLAYERS) <= {k.replace("sophiah", "sophia") for k in keys}


def test_everybody_asks_the_same_table():
    assert Contestant("mine", "D-Adaptation", 1.0).rule is None
    assert Contestant("mine", "sgd+", 1.0).settings == {"momentum": 0.9}
    net = torch.nn.Linear(2, 2)
    built = Contestant("mine", "nesterov", 0.1).build(net, 0.2)
    assert built.param_groups[0]["nesterov"]
    assert [c.name for c in chosen(["adamw", "ADAFACTOR"])] == [
        "AdamW",
        "AdaFactor",
    ]
    assert chosen(None) == list(CONTESTANTS.values())
    drawn = playground("golden", ["SGD+", "Adam", "Schedule-Free SGD"]).html
    assert "momentum" in drawn
    with pytest.raises(ValueError, match="Muon does not play"):
        playground("golden", ["Muon"])
    with pytest.raises(ValueError, match="each once"):
        playground("golden", ["SGD+", "momentum"])


def test_unknown_names_are_met_with_the_nearest():
    for name, nearest in (("Adan", "Adam"), ("sofia_h", "SophiaH")):
        with pytest.raises(ValueError, match=f"did you mean '{nearest}'"):
            optim.find(name)
    for name in (None, 3, "", "+"):
        with pytest.raises(ValueError, match="unknown optimizer"):
            optim.find(name)


def test_an_optimizer_enters_the_table_where_it_is_defined(monkeypatch):
    for table in (base_optimizer.OPTIMIZERS, rule.RULES):
        kept = dict(table)
        monkeypatch.setitem(table, "halving", None)  # put back afterwards
        table.clear()
        table.update(kept)
    monkeypatch.delitem(base_optimizer.OPTIMIZERS, "Halving", raising=False)

    def halving(w, g, state, t, *, lr=0.1):
        return w / 2, {}

    class Halving(optim.RuleOptimizer):
        rule = optim.register(halving, lambda w, **_: {})

    class _Hidden(Halving):
        pass

    try:
        w = torch.nn.Parameter(torch.ones(1))
        w.grad = torch.ones(1)
        optim.make("halving", [w]).step()
        assert w.item() == 0.5
        assert "_Hidden" not in base_optimizer.OPTIMIZERS
    finally:
        base_optimizer.OPTIMIZERS.pop("Halving")
        rule.RULES.pop("halving", None)
