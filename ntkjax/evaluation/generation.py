"""Greedy generation with a cache of keys and values.

Prompts of different lengths are padded on the right to one length and read at once;
then each row writes its next token over its own padding, until every row has ended.
"""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Bool, Int, Int32

from ntkjax.data.batches import Batch, bucketed
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import replicate
from ntkjax.devices.precision import full_precision
from ntkjax.devices.programs import ROWS, WHOLE, on_mesh
from ntkjax.errors import InputError
from ntkjax.models.decoder import Cache
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import Theta
from ntkjax.passes.likelihood import rows_per_batch


_NOTHING = -1
"""Stands where a row has no token: it is no id."""


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
    batch_size: int = 32,
    advance: Callable[[int], None] = lambda count: None,
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
        batch_size: Prompts continued side by side on all devices together.
        advance: Called with the number of prompts done.

    Raises:
        InputError: If a logit is not finite; the message names the example.
    """
    found: list[Int32[np.ndarray, " _"]] = [np.zeros(0, np.int32)] * len(prompts)
    size = rows_per_batch(batch_size, len(prompts), mesh)
    ends = tuple(sorted(set(stop_ids)))
    program = _program(mesh, max_new_tokens, ends, vocab_size)
    fixed = replicate((model, theta), mesh)
    for rows, batch in bucketed(prompts, size, "all", max_length):
        written, finite = (np.asarray(part) for part in program(*fixed, batch))
        for place in np.flatnonzero(rows >= 0).tolist():
            row, tokens = int(rows[place]), written[place]
            if not finite[place]:
                raise InputError(
                    f"example {prompts[row].id!r}: a logit is NaN or infinite while "
                    "its answer is generated; try --dtype float32, or look at the "
                    "adapter's scale."
                )
            found[row] = tokens[~np.isin(tokens, (_NOTHING, *ends))]
        advance(int((rows >= 0).sum()))
    return found


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


def _greedy(
    model: LanguageModel,
    theta: Theta,
    prompts: Batch,
    max_new_tokens: int,
    ends: tuple[int, ...],
    vocab_size: int,
) -> tuple[Int[Array, "n new"], Bool[Array, " n"]]:
    n, T = prompts.tokens.shape
    lengths = jnp.sum(prompts.weights > 0, axis=1)

    def is_end(token: Int[Array, " n"]) -> Bool[Array, " n"]:
        return (token[:, None] == jnp.array(ends, jnp.int32)).any(axis=1)

    def read(tokens: Int[Array, " T"], cache: Cache, start, last):
        """The best token after tokens[last], and whether its logits are finite."""
        hidden, cache = model.extend(theta, tokens, cache, start)
        logits = model.logits(theta, hidden[last][None])[0, :vocab_size]
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


@functools.cache
def _program(mesh: Mesh, max_new_tokens: int, ends: tuple[int, ...], vocab_size: int):
    def answers(model, theta, prompts):
        with full_precision():
            return _greedy(model, theta, prompts, max_new_tokens, ends, vocab_size)

    return on_mesh(answers, mesh, (WHOLE, WHOLE, ROWS), ROWS)
