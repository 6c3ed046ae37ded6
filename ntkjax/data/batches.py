"""Tokenized examples to padded batches, in few different lengths.

Rows are padded on the right with token 0, which the causal decoder cannot see from a
real token, and which has target False and pooling weight 0.
"""

import dataclasses
import typing
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, Int64

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.errors import InputError


POOLINGS = ("all", "response", "last", "weighted")
"""Mean over all tokens (both ends included), over the targets, the last token, and the
mean over all tokens in which token t = 1, …, T counts t times."""

SHORTEST = 16
"""No bucket is shorter, unless the limit is."""


# Unchecked because JAX also builds this class of leaves that are no arrays: axis
# numbers, shardings, shapes.
@typing.no_type_check
@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class Batch:
    """Padded examples, or one example without the leading axis (under `vmap`).

    Attributes:
        tokens: Token ids, 0 on padding.
        targets: True where a token is to be predicted.
        weights: Pooling weights ω, float32: each row sums to 1 (without length
            normalization to the number of pooled tokens) and is 0 on padding.
    """

    tokens: Int[Array, "*n T"]
    targets: Bool[Array, "*n T"]
    weights: Float[Array, "*n T"]


def pooling_weights(
    targets: Bool[np.ndarray, " T"], pooling: str, length_normalize: bool = True
) -> Float[np.ndarray, " T"]:
    """Weights ω_t of one example without padding, float32, Σ_t ω_t = 1.

    Args:
        targets: As in `TokenizedExample`: at least one is True.
        pooling: One of `POOLINGS`.
        length_normalize: If not, sums take the place of means: the weights times the
            number of pooled tokens. That is 1 for each pooled token, and 2t/(T+1) with
            `weighted`.

    Raises:
        InputError: If there is no such pooling.
    """
    positions = np.arange(1, len(targets) + 1)
    if pooling == "all":
        counts = np.ones(len(targets), int)
    elif pooling == "response":
        counts = targets.astype(int)
    elif pooling == "last":
        counts = (positions == len(targets)).astype(int)
    elif pooling == "weighted":
        counts = positions
    else:
        raise InputError(
            f"no such pooling; expected {', '.join(POOLINGS)}.",
            field="pooling",
            value=pooling,
        )
    num_pooled = 1 if length_normalize else np.count_nonzero(counts)
    return (counts * num_pooled / counts.sum()).astype(np.float32)


def make_batch(
    examples: Sequence[TokenizedExample],
    pooling: str,
    length: int | None = None,
    length_normalize: bool = True,
) -> Batch:
    """The examples padded on the right to one length.

    Args:
        examples: One or more.
        pooling: One of `POOLINGS`.
        length: The padded length; by default that of the longest example.
        length_normalize: As in `pooling_weights`.

    Raises:
        ValueError: If an example is longer than `length`.
    """
    longest = max(len(example.tokens) for example in examples)
    length = longest if length is None else length
    if longest > length:
        raise ValueError(f"an example of {longest} tokens does not fit into {length=}.")
    tokens = np.zeros((len(examples), length), np.int32)
    targets = np.zeros((len(examples), length), bool)
    weights = np.zeros((len(examples), length), np.float32)
    for row, example in enumerate(examples):
        real = slice(len(example.tokens))
        tokens[row, real] = example.tokens
        targets[row, real] = example.targets
        weights[row, real] = pooling_weights(example.targets, pooling, length_normalize)
    return Batch(jnp.asarray(tokens), jnp.asarray(targets), jnp.asarray(weights))


def bucket_edges(max_length: int) -> tuple[int, ...]:
    """Padded lengths: about a factor 1.5 apart, ascending, the last `max_length`.

    All but the last are multiples of 8. Their number, and so the number of programs
    that are compiled, grows with log(max_length).
    """
    edges = [max_length]
    while (shorter := 8 * round(edges[-1] / 12)) >= SHORTEST:
        edges.append(shorter)
    return tuple(reversed(edges))


def bucketed(
    examples: Sequence[TokenizedExample],
    batch_size: int,
    pooling: str,
    max_length: int,
    length_normalize: bool = True,
) -> Iterator[tuple[Int64[np.ndarray, " n"], Batch]]:
    """Row indices and batch, for batches of `batch_size` rows that hold every row once.

    A row goes to the shortest of `bucket_edges(max_length)` that holds it. A bucket
    with fewer rows than a batch joins the next longer one, so that nothing is compiled
    for a handful of rows (but for the longest). The last batch of a bucket is filled up
    with copies of its first row, at index -1.
    """
    edges = bucket_edges(max_length)
    lengths = np.array([len(example.tokens) for example in examples], np.int64)
    places = np.searchsorted(edges[:-1], lengths)
    used = np.unique(places)
    waiting = np.zeros(0, np.int64)
    for place in used:
        waiting = np.append(waiting, np.flatnonzero(places == place))
        if len(waiting) < batch_size and place != used[-1]:
            continue
        for start in range(0, len(waiting), batch_size):
            rows = waiting[start : start + batch_size]
            filled = np.append(rows, np.full(batch_size - len(rows), -1))
            sources = np.where(filled < 0, rows[0], filled)
            batch = [examples[row] for row in sources]
            length = edges[place]
            yield filled, make_batch(batch, pooling, length, length_normalize)
        waiting = waiting[:0]
