"""Greedy generation with a cache of keys and values.

Prompts of different lengths are padded on the right to one length and read at once;
then each row writes its next token over its own padding, until every row has ended.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Float, Int, Int32

from ntkjax.data.batches import Batch
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.precision import full_precision
from ntkjax.devices.side_by_side import tokens_at_once
from ntkjax.models.decoder import Cache
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import Theta
from ntkjax.passes.run_pass import Advance, Batching, run_pass


_NOTHING = -1
"""Stands where a row has no token: it is no id."""
_SIDE_BY_SIDE = 8


def generate(
    model: LanguageModel,
    theta: Theta,
    prompts: Sequence[TokenizedExample],
    *,
    max_length: int,
    max_new_tokens: int,
    stop_ids: Sequence[int],
    vocab_size: int,
    mesh: Mesh,
    tokens_per_batch: int | None = None,
    advance: Advance = lambda count: None,
) -> list[Int32[np.ndarray, " _"]]:
    """The most likely next token, again and again, after each prompt.

    A row ends with one of `stop_ids`, which is left out, or after `max_new_tokens`.

    Cost: F for the prompt and for each new token, which also looks at the whole cache;
    a batch runs until its last row ends.

    Args:
        model: The model.
        theta: Parameters.
        prompts: From `ntkjax.data.tokenizing.tokenize_prompts`.
        max_length: No prompt is longer; it decides the padded lengths.
        max_new_tokens: Most tokens to generate.
        stop_ids: End-of-text and the like; none for a model without.
        vocab_size: Token ids that the tokenizer knows; later rows of the head are
            never chosen.
        mesh: Devices that share the prompts of a batch.
        tokens_per_batch: As in `Batching`, but prompts of eight times as many tokens
            are continued side by side: each writes one token at a time.
        advance: Called with the number of prompts done.

    Raises:
        InputError: If a logit is not finite; the message names the example.
    """
    if not prompts:
        return []
    ends = tuple(sorted(set(stop_ids)))
    greedy = _Greedy(model, theta, max_new_tokens, ends, vocab_size)
    tokens = tokens_per_batch or tokens_at_once()
    how = Batching("all", _SIDE_BY_SIDE * tokens, max_length, mesh)
    what = "next logit"
    found = run_pass(_answers, greedy, prompts, how, what=what, advance=advance)
    ids = found.astype(np.int32)
    return [tokens[~np.isin(tokens, (_NOTHING, *ends))] for tokens in ids]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["model", "theta"],
    meta_fields=["max_new_tokens", "ends", "vocab_size"],
)
@dataclass(frozen=True)
class _Greedy:
    """What `generate` was given; a program is compiled for each of the last three."""

    model: LanguageModel
    theta: Theta
    max_new_tokens: int
    ends: tuple[int, ...]
    vocab_size: int


class _State(NamedTuple):
    """Where n rows stand after `count` new tokens each.

    Attributes:
        count: Tokens written so far.
        token: The last one of each row.
        written: All of them, `_NOTHING` after a row's end.
        finite: Whether all logits of a row were finite.
        ended: Whether a row has written one of the stop tokens.
        caches: Keys and values.
    """

    count: Int[Array, ""]
    token: Int[Array, " n"]
    written: Int[Array, "n new"]
    finite: Bool[Array, " n"]
    ended: Bool[Array, " n"]
    caches: Cache


def _answers(how: _Greedy, prompts: Batch) -> Float[Array, "n new"]:
    """The ids that each row wrote (float32 holds them); NaN after a bad logit."""
    with full_precision():
        written, finite = _continued(how, prompts)
    return jnp.where(finite[:, None], written.astype(jnp.float32), jnp.nan)


def _continued(
    how: _Greedy, prompts: Batch
) -> tuple[Int[Array, "n new"], Bool[Array, " n"]]:
    model, theta, max_new_tokens = how.model, how.theta, how.max_new_tokens
    n, T = prompts.tokens.shape
    lengths = jnp.sum(prompts.weights > 0, axis=1)

    def is_end(token: Int[Array, " n"]) -> Bool[Array, " n"]:
        return (token[:, None] == jnp.array(how.ends, jnp.int32)).any(axis=1)

    def read(tokens: Int[Array, " T"], cache: Cache, start, last):
        """The best token after tokens[last], and whether its logits are finite."""
        hidden, cache = model.extend(theta, tokens, cache, start)
        logits = model.logits(theta, hidden[last][None])[0, : how.vocab_size]
        best = jnp.argmax(logits).astype(jnp.int32)
        return best, jnp.isfinite(logits).all(), cache

    def step(state: _State) -> _State:
        starts, first = lengths + state.count - 1, jnp.zeros(n, jnp.int32)
        read_rows = jax.vmap(read)
        best, finite, caches = read_rows(
            state.token[:, None], state.caches, starts, first
        )
        token = jnp.where(state.ended, _NOTHING, best)
        return _State(
            state.count + 1,
            token,
            state.written.at[:, state.count].set(token),
            state.finite & (finite | state.ended),
            state.ended | is_end(token),
            caches,
        )

    empty = jax.vmap(lambda _: model.empty_cache(T + max_new_tokens))(lengths)
    start = jnp.zeros(n, jnp.int32)
    token, finite, caches = jax.vmap(read)(prompts.tokens, empty, start, lengths - 1)
    written = jnp.full((n, max_new_tokens), _NOTHING, jnp.int32).at[:, 0].set(token)
    state = _State(jnp.int32(1), token, written, finite, is_end(token), caches)
    running = lambda state: (state.count < max_new_tokens) & ~state.ended.all()
    state = jax.lax.while_loop(running, step, state)
    return state.written, state.finite
