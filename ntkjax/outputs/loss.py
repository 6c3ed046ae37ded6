"""The loss of one example: mean negative log-likelihood of its target tokens.

    ℓ(θ, x) = −1/|R| Σ_{t ∈ R} log softmax(logits_{t−1})[token_t]

over the target tokens R. Logits are formed for a block of positions at a time, so that
no [T, V] array is kept, and only where a target follows. Where the head is frozen the
loss's gradient by the hidden states, [T, d], is formed with it: then a derivative in
either direction costs two products with the head, at the targets and the rest of a
block.

Whatever else is computed from logits is computed `in_blocks`, over all positions, and
again in the backward pass.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ntkjax.data.batches import Batch
from ntkjax.devices.precision import at_least_float32
from ntkjax.models.language_model import LanguageModel
from ntkjax.models.modules import softcapped


@partial(
    jax.tree_util.register_dataclass, data_fields=["model"], meta_fields=["block_size"]
)
@dataclass(frozen=True)
class Loss:
    """f(θ, x) = ℓ(θ, x), a scalar. Cost: F with the head.

    Attributes:
        model: The model.
        block_size: Positions whose logits are held at once; by default those of
            `positions_at_once`.
    """

    model: LanguageModel
    block_size: int | None = None

    def __call__(self, theta, x: Batch) -> Float[Array, ""]:
        hidden = self.model.hidden(theta, x.tokens)[:-1]
        size = self.block_size
        if size is None:
            size = positions_at_once(len(hidden), self.model.config.vocab_size)
        following = x.tokens[1:], x.targets[1:]
        losses = target_losses(self.model, theta, hidden, *following, size)
        return mean_over_targets(losses, x)


def positions_at_once(length: int, vocab_size: int) -> int:
    """Positions of a block of logits, of a text with so many.

    Half the text, so that prompts cost less than responses, but not more than are
    needed to use the head well, and of a wide vocabulary fewer. Short texts stand
    side by side: 512 tokens of them have 128 MiB of logits at most.

    >>> positions_at_once(127, 49152), positions_at_once(2047, 49152)
    (64, 256)
    >>> positions_at_once(127, 262144)
    32
    """
    narrow = -(-length * _LOGITS // (512 * vocab_size))
    return max(1, min(_MOST_POSITIONS, -(-length // 2), narrow))


_MOST_POSITIONS = 256
_LOGITS = 2**25


def target_losses(
    model: LanguageModel,
    theta,
    states: Float[Array, "n d"],
    tokens: Int[Array, " n"],
    is_target: Bool[Array, " n"],
    block_size: int,
) -> Float[Array, " n"]:
    """−log softmax(logits_i)[token_i] of n positions, 0 where the token is no target.

    Args:
        model: The model.
        theta: Parameters.
        states: Final hidden states.
        tokens: What they predict.
        is_target: Which of these are targets.
        block_size: Positions whose logits are held at once.
    """
    if model.trains_head(theta):
        at = lambda position: _loss(logits_at(model, theta, position[0]), position[1])
        losses = in_blocks(at, (states, tokens), block_size)
        return jnp.where(is_target, losses, 0)
    order = jnp.argsort(~is_target, stable=True)
    count = jnp.sum(is_target, dtype=jnp.int32)
    size = min(block_size, len(tokens))
    cap, head = model.config.final_softcap, model.head
    losses = _first_losses(size, cap, head, states[order], tokens[order], count)
    return jnp.zeros_like(losses).at[order].set(losses)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _first_losses(
    block_size: int,
    softcap: float | None,
    head: Float[Array, "d V"],
    states: Float[Array, "n d"],
    tokens: Int[Array, " n"],
    count: Int[Array, ""],
) -> Float[Array, " n"]:
    """The losses at the first `count` positions, 0 at the others."""
    losses = lambda states, tokens: _losses(softcap, head, states, tokens)
    return _of_first(losses, (states, tokens), count, block_size)


@_first_losses.defjvp
def _first_losses_and_rates(block_size: int, softcap: float | None, primals, tangents):
    """With the gradient by each state, which any tangent needs; the head has none."""
    head, states, tokens, count = primals

    def with_gradient(states, tokens):
        at = lambda states: _losses(softcap, head, states, tokens)
        losses, pullback = jax.vjp(at, states)
        return losses, pullback(jnp.ones_like(losses))[0]

    losses, gradient = _of_first(with_gradient, (states, tokens), count, block_size)
    wide = losses.dtype
    return losses, jnp.sum(gradient.astype(wide) * tangents[1].astype(wide), axis=1)


def _of_first(function: Callable, positions, count: Int[Array, ""], block_size: int):
    """The function at the first `count` positions, block by block; 0 at the others.

    Args:
        function: Of the arrays of a block of positions to arrays with that axis.
        positions: Arrays with a leading axis [n].
        count: May differ from call to call: later blocks are not computed.
        block_size: Positions at a time.
    """
    n = len(positions[0])
    whole = -(-n // block_size) * block_size
    padded = [jnp.pad(x, [(0, whole - n)] + [(0, 0)] * (x.ndim - 1)) for x in positions]

    def block(index):
        start = index * block_size
        cut = jax.lax.dynamic_slice_in_dim
        return function(*(cut(leaf, start, block_size) for leaf in padded))

    def add(index, found):
        put = jax.lax.dynamic_update_slice_in_dim
        start = index * block_size
        return jax.tree.map(lambda x, own: put(x, own, start, 0), found, block(index))

    empty = jax.tree.map(
        lambda leaf: jnp.zeros((whole, *leaf.shape[1:]), leaf.dtype),
        jax.eval_shape(block, count),
    )
    found = jax.lax.fori_loop(0, (count + block_size - 1) // block_size, add, empty)

    def first(leaf: Array) -> Array:
        inside = (jnp.arange(n, dtype=count.dtype) < count).reshape(
            n, *[1] * (leaf.ndim - 1)
        )
        return jnp.where(inside, leaf[:n], 0)

    return jax.tree.map(first, found)


def _losses(
    softcap: float | None,
    head: Float[Array, "d V"],
    states: Float[Array, "n d"],
    tokens: Int[Array, " n"],
) -> Float[Array, " n"]:
    logits = softcapped(states @ head, softcap)
    return jax.vmap(_loss)(logits.astype(at_least_float32(logits.dtype)), tokens)


def _loss(logits: Float[Array, " V"], token: Int[Array, ""]) -> Float[Array, ""]:
    return jax.nn.logsumexp(logits) - logits[token]


def logits_at(
    model: LanguageModel, theta, state: Float[Array, " d"]
) -> Float[Array, " V"]:
    """The logits at one position, in float32 or wider."""
    logits = model.logits(theta, state[None])[0]
    return logits.astype(at_least_float32(logits.dtype))


def in_blocks(
    function: Callable[..., Float[Array, ""]], positions, block_size: int
) -> Float[Array, " n"]:
    """The function of every position, computed again in the backward pass.

    Args:
        function: Of one position to a scalar.
        positions: A pytree with a leading axis [n].
        block_size: Positions computed side by side.
    """
    return jax.lax.map(jax.checkpoint(function), positions, batch_size=block_size)


def mean_over_targets(values: Float[Array, " n"], x: Batch) -> Float[Array, ""]:
    """The mean over target tokens, of values at the n = T - 1 that can be predicted."""
    targets = x.targets[1:].astype(values.dtype)
    return jnp.sum(targets * values) / jnp.sum(targets)
