"""Sophia: clipped steps scaled by an estimate of the curvature."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel

from dldna import checks
from dldna.optim.base_optimizer import evaluated
from dldna.optim.ops import Hyper, State, at_least, decay, ema
from dldna.optim.rule import register, zeros
from dldna.optim.shell import RuleOptimizer


def sophia(
    w: Tensor,
    g: Tensor,
    state: State,
    t: int,
    *,
    lr: Hyper = 1e-3,
    betas: tuple[Hyper, Hyper] = (0.96, 0.99),
    gamma: Hyper = 0.01,
    eps: Hyper = 1e-12,
    weight_decay: Hyper = 0.2,
) -> tuple[Tensor, State]:
    r"""Momentum over curvature, no weight faster than the learning rate.

    .. math::
        m_t = \beta_1 m_{t-1} + (1 - \beta_1) g_t, \qquad
        w_t = (1 - \eta\lambda) w_{t-1} - \eta \operatorname{clip}\!\left(
              \frac{m_t}{\max(\gamma h_t, \epsilon)}, 1\right)

    ``state["h"]`` is the curvature, refreshed every few steps by
    :func:`sophia_curvature`. Where it is negative or tiny, ``eps``
    stands in and the clipped step is a sign step.
    """
    m = ema(state["m"], g, betas[0])
    u = m / at_least(gamma * state["h"], eps)
    w = decay(w, lr * weight_decay) - lr * u.clamp(-1, 1)
    return w, {"m": m, "h": state["h"]}


def sophia_curvature(h: Tensor, estimate: Tensor, beta2: Hyper) -> Tensor:
    r"""``h = beta2 h + (1 - beta2) estimate``, on the refreshing steps."""
    return ema(h, estimate, beta2)


def hutchinson(
    loss: Tensor, params: Sequence[Tensor], z: Sequence[Tensor]
) -> list[Tensor]:
    r"""One estimate of the Hessian's diagonal: ``z * (H z)``.

    For independent entries of mean 0 and variance 1,
    :math:`E[z z^\top] = I`, and so :math:`E[z \odot Hz]` is the diagonal.

    Args:
        loss: a scalar with its graph.
        params: tensors it depends on.
        z: random directions, shaped as ``params``.

    Returns:
        One tensor for each of ``params``.

    Example:
        >>> w = torch.tensor([1.0, 2.0], requires_grad=True)
        >>> hutchinson((w**4).sum(), [w], [torch.tensor([1.0, -1.0])])
        [tensor([12., 48.])]
    """
    gradients = torch.autograd.grad(
        loss, params, create_graph=True, materialize_grads=True
    )
    pairs = zip(gradients, z, strict=True)
    slope = sum((g * z_i).sum() for g, z_i in pairs)
    if not slope.requires_grad:  # a loss that is linear in its parameters
        return [torch.zeros_like(p) for p in params]
    products = torch.autograd.grad(slope, params, materialize_grads=True)
    # detached: torch 2.4 fills in zeros that ask for a gradient
    return [z_i * h.detach() for z_i, h in zip(z, products, strict=True)]


def gauss_newton_bartlett(
    logits: Tensor, params: Sequence[Tensor], generator: torch.Generator
) -> list[Tensor]:
    r"""One estimate of the Gauss-Newton diagonal: :math:`B \hat g^2`.

    Labels are drawn from the network's own prediction; :math:`\hat g` is
    the gradient of the mean cross-entropy at these labels. The data's own
    labels would give the empirical Fisher matrix, which is another thing.

    Args:
        logits: shape (..., classes) with its graph.
        params: tensors it depends on.
        generator: source of the labels.

    Returns:
        One tensor, nowhere negative, for each of ``params``.
    """
    rows = logits.flatten(0, -2)
    chances = rows.detach().softmax(-1).to(generator.device)
    drawn = torch.multinomial(chances, 1, generator=generator).squeeze(-1)
    loss = F.cross_entropy(rows, drawn.to(rows.device))
    gradients = torch.autograd.grad(loss, params, materialize_grads=True)
    return [len(rows) * g * g for g in map(Tensor.detach, gradients)]


class _Sophia(RuleOptimizer):
    """What both estimators share: when to refresh, and from what."""

    rule = register(
        sophia,
        zeros("m", "h"),
        gamma=checks.positive,
        k=checks.count,
        seed=lambda name, value: checks.count(name, value, 0),
    )
    needs_curvature: ClassVar[str]
    once: ClassVar = ("seed",)

    def due(self) -> bool:
        """Whether the coming step refreshes the curvature."""
        return any(map(self._group_due, self.param_groups))

    def _group_due(self, group: dict[str, Any]) -> bool:
        return self._steps() % group["k"] == 0

    def _steps(self) -> int:
        steps = (s.get("step", 0) for s in self.state.values())
        return max(steps, default=0)

    def step(
        self,
        closure: Callable[[], Any] | None = None,
        curvature: Callable[[], Tensor] | None = None,
    ) -> Any:
        """Take one step.

        Args:
            closure: clears the gradients, computes the loss and its
                gradients, and returns the loss; or None if the gradients
                stand ready.
            curvature: evaluates the network on a batch (a part of the
                training batch will do) and returns, with its graph and
                without calling ``backward``, what ``needs_curvature``
                says: the ``"loss"`` or the ``"logits"``. It is called on
                the first of every ``k`` steps only, for the groups whose
                ``k`` it is.

        Returns:
            The closure's loss, or None.

        Raises:
            ValueError: a refresh is due and ``curvature`` is missing.
        """
        loss = evaluated(closure)
        self.check_together(self.param_groups)
        owners = [
            (group, p)
            for group in self.param_groups
            if self._group_due(group)
            for p in group["params"]
            if p.grad is not None
        ]
        if owners:
            self._refresh(owners, curvature)
        super().step()
        return loss

    def _refresh(
        self,
        owners: list[tuple[dict[str, Any], Tensor]],
        curvature: Callable[[], Tensor] | None,
    ) -> None:
        if curvature is None:
            raise ValueError(
                f"{type(self).__name__} refreshes its curvature on this "
                "step: call step(closure, curvature=f), where f() returns "
                f"the {self.needs_curvature} with its graph"
            )
        for _, p in owners:
            self.gradient(p)  # a sparse one has a sparse curvature
        draw = torch.Generator().manual_seed(
            1_000_003 * self.param_groups[0]["seed"] + self._steps()
        )
        with torch.enable_grad():
            estimates = self._estimate(curvature(), owners, draw)
        with torch.no_grad():
            for (group, p), estimate in zip(owners, estimates, strict=True):
                h = self._state(p, self._hyper(group))["h"]
                h.copy_(sophia_curvature(h, estimate, group["betas"][1]))

    def _estimate(
        self,
        value: Tensor,
        owners: list[tuple[dict[str, Any], Tensor]],
        draw: torch.Generator,
    ) -> list[Tensor]:
        raise NotImplementedError


class SophiaH(_Sophia):
    r"""Sophia with Hutchinson's estimator. Rule: :func:`sophia`.

    The step takes a second closure for the curvature::

        optimizer.step(closure, curvature=lambda: loss_fn(model(x), y))

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`, the largest step of a weight.
        betas: decay rates of gradient and curvature, each in [0, 1).
        gamma: :math:`\gamma`; larger means smaller steps, fewer clipped.
        eps: :math:`\epsilon`, floor of the denominator.
        weight_decay: :math:`\lambda`, decoupled.
        k: steps between two estimates of the curvature.
        gaussian: draw directions from the normal distribution instead of
            signs. Signs have the smaller variance, and are exact where the
            Hessian is diagonal.
        seed: source of the directions; those of a step depend on the seed
            and the step's number alone.
        maximize: climb instead of descending.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> sophia = SophiaH([w], lr=0.5, gamma=1.0, weight_decay=0.0)
        >>> loss = lambda: 2 * (w**2).sum()
        >>> loss().backward()
        >>> sophia.step(curvature=loss)
        >>> w.item()
        0.5

    References:
        Liu, H., Li, Hall, Liang, Ma, 2024, ICLR, arXiv 2305.14342.
        Hutchinson, 1990, Communications in Statistics 19.
    """

    needs_curvature = "loss"
    extras: ClassVar = {"k": 10, "gaussian": False, "seed": 0}

    def _refresh(self, *args: Any) -> None:
        # The fused kernels of attention have no second derivatives.
        with sdpa_kernel(SDPBackend.MATH):
            super()._refresh(*args)

    def _estimate(
        self,
        value: Tensor,
        owners: list[tuple[dict[str, Any], Tensor]],
        draw: torch.Generator,
    ) -> list[Tensor]:
        directions = []
        for group, p in owners:
            z = torch.randn(p.shape, generator=draw, device="cpu").to(p)
            if not group["gaussian"]:
                z = torch.where(z < 0, -1.0, 1.0).to(z)
            directions.append(z)
        found = hutchinson(value, [p for _, p in owners], directions)
        pairs = zip(found, owners, strict=True)
        return [-h if group["maximize"] else h for h, (group, _) in pairs]


class SophiaG(_Sophia):
    r"""Sophia with the Gauss-Newton-Bartlett estimator, for classifiers.

    The second closure returns logits of shape (..., classes)::

        optimizer.step(closure, curvature=lambda: model(x))

    Args:
        params: parameters, or dicts of them with their own settings.
        lr: learning rate :math:`\eta`, the largest step of a weight.
        betas: decay rates of gradient and curvature, each in [0, 1).
        gamma: :math:`\gamma`; larger means smaller steps, fewer clipped.
        eps: :math:`\epsilon`, floor of the denominator.
        weight_decay: :math:`\lambda`, decoupled.
        k: steps between two estimates of the curvature.
        seed: source of the labels; those of a step depend on the seed and
            the step's number alone.
        maximize: climb instead of descending; the curvature, nowhere
            negative, stays as it is.

    Example:
        >>> w = torch.nn.Parameter(torch.ones(2, 3))
        >>> optimizer = SophiaG([w], lr=0.5)
        >>> w.grad = torch.ones(2, 3)
        >>> optimizer.step(curvature=lambda: torch.eye(2) @ w)
        >>> bool((optimizer.state[w]["h"] >= 0).all())
        True

    References:
        Liu, H., Li, Hall, Liang, Ma, 2024, ICLR, arXiv 2305.14342.
    """

    needs_curvature = "logits"
    extras: ClassVar = {"gamma": 0.05, "k": 10, "seed": 0}

    def _estimate(
        self,
        value: Tensor,
        owners: list[tuple[dict[str, Any], Tensor]],
        draw: torch.Generator,
    ) -> list[Tensor]:
        return gauss_newton_bartlett(value, [p for _, p in owners], draw)
