"""Flows that predict runs, and descent in a part of the space."""

from dldna.training.flows.flow import (
    central_flow,
    gradient_flow,
    stable_flow,
)
from dldna.training.flows.projected import ProjectedRun, projected_descent
from dldna.training.flows.record import Flow
from dldna.training.flows.rules import FlowRule

__all__ = [
    "Flow",
    "FlowRule",
    "ProjectedRun",
    "central_flow",
    "gradient_flow",
    "projected_descent",
    "stable_flow",
]
