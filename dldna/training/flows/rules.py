r"""What an optimizer is to its flow: a speed, an edge and a memory."""

import math
from dataclasses import dataclass
from typing import Any, Self

from torch.optim import Optimizer

from dldna import checks
from dldna.training.dynamics import edge


@dataclass(frozen=True)
class FlowRule:
    r"""The numbers of an optimizer that its flow needs.

    The flow moves with :math:`\dot w=-r\,P^{-1}(\dots)`, time in steps of
    the optimizer, and the optimizer swings where an eigenvalue of
    :math:`P^{-1}H` reaches :math:`c`:

    ================  =====================  ========================
    optimizer         r                      c
    ================  =====================  ========================
    gradient descent  :math:`\eta`           :math:`2/\eta`
    heavy ball        :math:`\eta/(1-\mu)`   :math:`2(1+\mu)/\eta`
    RMSProp           :math:`\eta`           :math:`2/\eta`
    Adam              :math:`\eta`           :math:`2\sigma/\eta`
    ================  =====================  ========================

    with :math:`\sigma=(1+\beta_1)/(1-\beta_1)`;
    :math:`P=1` for the first two, and
    :math:`P=\mathrm{diag}(\sqrt\nu+\epsilon)` for the others, with the
    moving average :math:`\nu` of the squared gradient; in the scalar forms
    of the squared length of the gradient.

    Args:
        rate: :math:`r`.
        edge: :math:`c`.
        beta2: of the moving average; None where there is none.
        eps: :math:`\epsilon`.
        scalar: one :math:`\nu` for all weights.
        corrected: whether :math:`\nu` is divided by
            :math:`1-\beta_2^t`, as in Adam.

    Example:
        >>> FlowRule.sgd(0.5).edge, FlowRule.sgd(0.5, momentum=0.5).edge
        (4.0, 6.0)
    """

    rate: float
    edge: float
    beta2: float | None = None
    eps: float = 0.0
    scalar: bool = False
    corrected: bool = False

    @classmethod
    def sgd(cls, lr: float, momentum: float = 0.0) -> Self:
        """Gradient descent, or the heavy ball.

        Args:
            lr: the rate.
            momentum: 0 for gradient descent.
        """
        checks.positive("lr", lr)
        checks.fraction("momentum", momentum)
        return cls(lr / (1 - momentum), edge.heavy_ball_edge(lr, momentum))

    @classmethod
    def rmsprop(
        cls,
        lr: float,
        beta2: float = 0.99,
        eps: float = 1e-8,
        scalar: bool = False,
    ) -> Self:
        """RMSProp, one second moment for each weight or for all.

        Args:
            lr: the rate.
            beta2: of the moving average of the squared gradient.
            eps: added to its root.
            scalar: one average of the gradient's squared length.
        """
        checks.positive("lr", lr)
        checks.fraction("beta2", beta2)
        return cls(lr, 2 / lr, beta2, eps, scalar)

    @classmethod
    def adam(
        cls,
        lr: float,
        beta1: float = 0.9,
        beta2: float = 0.999,
        eps: float = 1e-8,
        scalar: bool = False,
    ) -> Self:
        """Adam, one second moment for each weight or for all.

        Args:
            lr: the rate.
            beta1: of the moving average of the gradient.
            beta2: of that of the squared gradient.
            eps: added to its root.
            scalar: one average of the gradient's squared length.
        """
        checks.positive("lr", lr)
        checks.fraction("beta1", beta1)
        checks.fraction("beta2", beta2)
        limit = edge.adam_edge(lr, beta1)
        return cls(lr, limit, beta2, eps, scalar, corrected=True)

    def renewed(self, step: int) -> float:
        """Share of the average that one step renews.

        Args:
            step: its number, from 1.
        """
        if self.beta2 is None:
            return 0.0
        past = self.beta2**step if self.corrected else 0.0
        return (1 - self.beta2) / (1 - past)


def rule_of(optimizer: Any) -> FlowRule:
    """The rule of an optimizer, from the step that it makes.

    Args:
        optimizer: torch's or dldna's SGD, RMSprop or Adam, or a rule.

    Raises:
        TypeError: neither an optimizer nor a rule.
        ValueError: an optimizer without a flow here, or settings which the
            flow does not know (weight decay, Nesterov, AMSGrad, ...).
    """
    if isinstance(optimizer, FlowRule):
        return optimizer
    if not isinstance(optimizer, Optimizer):
        raise TypeError(
            "optimizer must be an optimizer or a FlowRule, not a "
            f"{type(optimizer).__name__}"
        )
    kind, limit = edge.stability_threshold(optimizer)
    name = type(optimizer).__name__
    if math.isnan(limit):
        raise ValueError(
            f"no flow is known for {name} with these settings: give SGD, "
            "RMSprop or Adam with one group, or a FlowRule"
        )
    group = optimizer.param_groups[0]
    for setting in ("weight_decay", "nesterov", "dampening"):
        if group.get(setting):
            raise ValueError(
                f"the flow of {name} does not know {setting}="
                f"{group[setting]}: set it to 0"
            )
    lr = float(group["lr"])
    if kind == edge.SHARPNESS:
        return FlowRule.sgd(lr, float(group["momentum"]))
    if "betas" in group:
        beta1, beta2 = (float(b) for b in group["betas"])
        return FlowRule.adam(lr, beta1, beta2, float(group["eps"]))
    return FlowRule.rmsprop(lr, float(group["alpha"]), float(group["eps"]))
