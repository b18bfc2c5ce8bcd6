"""Optimizers as readers write them: plain descent, in every form."""

import torch
from torch.optim import SGD, Optimizer

from dldna.published import optimizers as ours
from dldna.published.optimizers import BaseOptimizer

NAMES = ("SGD", "Adam", "AdamW", "RMSprop", "Momentum")


def moved(self):
    """A plain step."""
    with torch.no_grad():
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p -= self.rate * p.grad


def _made(name, base, init, **more):
    def step(self):
        with torch.no_grad():
            for p in self.params:
                if p.grad is not None:
                    p -= self.lr * p.grad

    return type(name, (base,), {"__init__": init, "step": step, **more})


def as_printed(self, params, lr):
    BaseOptimizer.__init__(self, params, lr)
    self.momentum, self.buffers = 0.9, [None] * len(self.params)


def without_super(self, params, lr):
    self.params, self.lr = list(params), lr


def rate_first(self, params, lr):
    self.lr = lr
    BaseOptimizer.__init__(self, params, lr)


def own_state(self, params, lr):
    BaseOptimizer.__init__(self, params, lr)
    self.state = [torch.zeros_like(p) for p in self.params]


def own_state_without_super(self, params, lr):
    self.params, self.lr, self.state = list(params), lr, {"steps": 0}


def of_torch(self, params, lr):
    Optimizer.__init__(self, params, {})
    self.rate = lr


def odd_groups(self, params, lr):
    Optimizer.__init__(self, params, {"lr": None, "momentum": None,
                                      "betas": None})  # fmt: skip
    self.rate = lr


def torchs_with_a_list(self, params, lr):
    of_torch(self, params, lr)
    self.state = [1, 2]


def wants_closure(self, closure):
    closure()
    moved(self)


def zero_grad(self):
    for p in self.params:
        p.grad = None


def kinds(name):
    """Each form of a class of this name, by what is odd about it."""
    found = {
        "as printed": _made(name, BaseOptimizer, as_printed),
        "without super": _made(name, BaseOptimizer, without_super),
        "rate first": _made(name, BaseOptimizer, rate_first),
        "own state": _made(name, BaseOptimizer, own_state),
        "own state, no super": _made(name, BaseOptimizer,
                                     own_state_without_super),
        "own zero_grad": _made(name, BaseOptimizer, as_printed,
                               zero_grad=zero_grad),
        "from nothing": _made(name, object, without_super,
                              zero_grad=zero_grad),
        "step alone": _made(name, object, without_super),
        "torch's": type(name, (Optimizer,),
                        {"__init__": of_torch, "step": moved}),
        "torch's, odd groups": type(name, (Optimizer,),
                                    {"__init__": odd_groups, "step": moved}),
        "torch's, own state": type(
            name, (Optimizer,),
            {"__init__": torchs_with_a_list, "step": moved}),
        "torch's, closure": type(
            name, (Optimizer,),
            {"__init__": of_torch, "step": wants_closure}),
    }  # fmt: skip
    for where, home in (("torch's", torch.optim), ("ours", ours)):
        parent = getattr(home, name, None)
        if parent is not None:
            found[f"from {where} of that name"] = type(
                name, (parent,), {"rate": 0.1, "step": moved}
            )
    return found


FEW = [("SGD", what) for what in kinds("SGD")]
NAMED = ("as printed", "torch's")
READERS = [
    *FEW,
    *(
        (name, what)
        for name in NAMES[1:]
        for what in kinds(name)
        if what in NAMED or what.startswith("from ")
    ),
]


def optimizer(name, what, params):
    """One of them, with rate 0.1."""
    return kinds(name)[what](params, lr=0.1)


def plain(params):
    """What all of them do."""
    return SGD(params, lr=0.1)
