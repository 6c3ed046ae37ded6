"""What a fine-tuning compiles: a step, and losses for validation.

Every data group holds the model and θ and takes its share of the examples; gradients
are summed over the groups. A program is compiled once per shape of its arguments: the
frozen weights, the learning rate, the number of targets and a mask are arguments.
"""

import functools
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int

from ntkjax.devices.precision import full_precision
from ntkjax.devices.programs import ROWS, SECOND, WHOLE, compiled, over_groups
from ntkjax.devices.side_by_side import backward_rows
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import Theta
from ntkjax.outputs.loss import target_losses
from ntkjax.training.rows import Rows


_LOGITS = 2**24
"""Numbers of a block of logits, per device: 64 MiB in float32."""


@dataclass(frozen=True)
class AdamW:
    """Constants of the optimizer (arXiv 1711.05101), but for the learning rate.

    Attributes:
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of squared gradients.
        weight_decay: Share of θ that is added to the update.
        max_grad_norm: Longer gradients are scaled down to this norm; 0 for none.
    """

    beta1: float
    beta2: float
    weight_decay: float
    max_grad_norm: float

    def start(self, theta: Any) -> optax.OptState:
        """Moments before the first step; θ may be on the host."""
        return self._rule().init(theta)

    def update(
        self, gradient: Theta, moments: optax.OptState, theta: Theta
    ) -> tuple[Theta, optax.OptState]:
        """What is to be subtracted η times from θ, and the new moments."""
        with jax.numpy_dtype_promotion("standard"):  # optax mixes float32 and int32
            return self._rule().update(gradient, moments, theta)

    def _rule(self) -> optax.GradientTransformation:
        clip = optax.clip_by_global_norm(self.max_grad_norm)
        return optax.chain(
            clip if self.max_grad_norm else optax.identity(),
            optax.scale_by_adam(self.beta1, self.beta2),
            optax.add_decayed_weights(self.weight_decay),
        )


def loss_sums(
    model: LanguageModel,
    theta: Theta,
    tokens: Int[Array, "n T"],
    targets: Bool[Array, "n T"],
) -> Float[Array, " n"]:
    """−Σ_t log p(token_t | tokens before) over the target tokens of each example.

    Logits are formed for a block of positions at a time and formed again in the
    backward pass, so that no [n, T, V] array is kept.
    """
    hidden = jax.vmap(model.hidden, in_axes=(None, 0))(theta, tokens)[:, :-1]
    n, T, d = hidden.shape
    states, following = hidden.reshape(n * T, d), tokens[:, 1:].reshape(n * T)
    block = max(1, _LOGITS // model.config.vocab_size)
    is_target = targets[:, 1:].reshape(n * T)
    losses = target_losses(model, theta, states, following, is_target, block)
    return jnp.sum(losses.reshape(n, T), axis=1)


@functools.cache
def step_program(mesh: Mesh, constants: AdamW):
    """Compiled (model, θ, moments, rows, η, targets, mask) ↦ one step of AdamW.

    The loss is the mean over all target tokens of the step, however its rows are
    shared out. Gives θ, moments, the norm of the gradient (before clipping), and the
    sum of each row's losses, [accumulation, n].

    With a mask, booleans like θ, the gradient is 0 where it is False, before clipping
    and moments; and θ keeps its bits there, whatever the optimizer says.
    """
    gradients = over_groups(
        _group_gradient, mesh, (WHOLE, WHOLE, SECOND), (ROWS, SECOND)
    )

    def step(model, theta, moments, rows, rate, num_targets, mask):
        found, sums = gradients(model, theta, rows)
        with full_precision():
            zero = jax.tree.map(jnp.zeros_like, theta)
            mean = lambda leaf: jnp.sum(leaf, axis=0) / num_targets
            gradient = _where(mask, jax.tree.map(mean, found), zero)
            update, moments = constants.update(gradient, moments, theta)
        moved = jax.tree.map(lambda leaf, change: leaf - rate * change, theta, update)
        theta = _where(mask, moved, theta)
        return theta, moments, optax.tree.norm(gradient), sums

    return compiled(
        step,
        mesh,
        (WHOLE, WHOLE, WHOLE, SECOND, WHOLE, WHOLE, WHOLE),
        (WHOLE, WHOLE, WHOLE, SECOND),
    )


def _group_gradient(model: LanguageModel, theta: Theta, rows: Rows):
    """Gradient of the summed losses of a group's rows, with an axis [1]; the losses."""
    *shape, tokens = rows.tokens.shape
    size = backward_rows(shape[-1], tokens)

    def add_rows(total, rows):
        def loss(theta):
            sums = loss_sums(model, theta, *rows)
            return jnp.sum(sums), sums

        gradient, sums = jax.grad(loss, has_aux=True)(theta)
        return jax.tree.map(jnp.add, total, gradient), sums

    with full_precision():
        zero = jax.tree.map(jnp.zeros_like, theta)
        total, sums = jax.lax.scan(
            add_rows, zero, jax.tree.map(lambda x: x.reshape(-1, size, tokens), rows)
        )
    return jax.tree.map(lambda leaf: leaf[None], total), sums.reshape(shape)


def _where(mask: Any, inside: Theta, outside: Theta) -> Theta:
    """The one where the mask is True, the other elsewhere; all the one without it."""
    if mask is None:
        return inside
    return jax.tree.map(jnp.where, mask, inside, outside)


def loss_sums_of(fixed, rows) -> Float[Array, " n"]:
    """`loss_sums` for a pass: of (model, θ), and of tokens and targets."""
    with full_precision():
        return loss_sums(*fixed, *rows)
