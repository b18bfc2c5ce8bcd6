"""Flows: the smooth paths that optimizers follow, predicted before the run."""

from dldna.training.flows.flow import (
    central_flow,
    gradient_flow,
    stable_flow,
)
from dldna.training.flows.record import Flow
from dldna.training.flows.rules import FlowRule

__all__ = [
    "Flow",
    "FlowRule",
    "central_flow",
    "gradient_flow",
    "stable_flow",
]
