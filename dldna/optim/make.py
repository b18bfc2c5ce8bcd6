"""Optimizers by name."""

from collections.abc import Iterable
from typing import Any

import torch

from dldna import checks
from dldna.optim.adabelief import AdaBelief
from dldna.optim.adafactor import Adafactor
from dldna.optim.adagrad import Adagrad
from dldna.optim.adam import Adam, AdamW, NAdam, RAdam
from dldna.optim.entropy_sgd import EntropySGD
from dldna.optim.layerwise import LAMB, LARS
from dldna.optim.lion import Lion
from dldna.optim.muon import Muon
from dldna.optim.pal import PAL
from dldna.optim.prodigy import DAdaptAdam, Prodigy
from dldna.optim.rmsprop import RMSprop
from dldna.optim.sam import ASAM, SAM
from dldna.optim.schedule_free import ScheduleFreeAdamW, ScheduleFreeSGD
from dldna.optim.sgd import SGD
from dldna.optim.shampoo import Shampoo
from dldna.optim.soap import SOAP
from dldna.optim.sophia import SophiaG, SophiaH

OPTIMIZERS: dict[str, type[torch.optim.Optimizer]] = {
    cls.__name__: cls
    for cls in (
        SGD,
        Adagrad,
        RMSprop,
        Adam,
        AdamW,
        NAdam,
        RAdam,
        AdaBelief,
        Adafactor,
        LARS,
        LAMB,
        Lion,
        SophiaH,
        SophiaG,
        Muon,
        Shampoo,
        SOAP,
        ScheduleFreeSGD,
        ScheduleFreeAdamW,
        Prodigy,
        DAdaptAdam,
        SAM,
        ASAM,
        EntropySGD,
        PAL,
    )
}
"""Every optimizer of this package by its class name."""

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "SGD+": ("SGD", {"momentum": 0.9}),
    "AMSGrad": ("Adam", {"amsgrad": True}),
}
"""Names in use for an optimizer with certain settings."""


def make(name: str, params: Iterable, **hyper: Any) -> torch.optim.Optimizer:
    """Build an optimizer by its name, in any case of letters.

    Args:
        name: a key of :data:`OPTIMIZERS` or :data:`VARIANTS`.
        params: parameters, or dicts of them with their own settings.
        **hyper: the optimizer's own arguments.

    Returns:
        The optimizer.

    Raises:
        ValueError: unknown name; the message suggests the nearest one.

    Example:
        >>> w = torch.nn.Parameter(torch.zeros(3))
        >>> type(make("adamw", [w], lr=0.1)).__name__
        'AdamW'
        >>> make("Adan", [w])  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        ValueError: unknown optimizer 'Adan': did you mean 'Adam'? Known: ...
    """
    known = {k.lower(): k for k in (*OPTIMIZERS, *VARIANTS)}
    name = known.get(str(name).lower(), name)
    checks.choice("optimizer", name, list(known.values()))
    name, settings = VARIANTS.get(name, (name, {}))
    return OPTIMIZERS[name](params, **(settings | hyper))
