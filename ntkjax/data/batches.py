"""Tokenized examples to padded batches, in few different lengths.

Rows are padded on the right with token 0, which the causal decoder cannot see from a
real token, and which has target False and pooling weight 0.
"""

import dataclasses
import typing
from collections.abc import Callable, Iterator, Sequence

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
"""No padded length is shorter, unless the limit is."""
_STEP = 8


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
    that are compiled, grows with log(max_length). A step of a training has the shortest
    that holds all its examples.
    """
    edges = [max_length]
    while (shorter := 8 * round(edges[-1] / 12)) >= SHORTEST:
        edges.append(shorter)
    return tuple(reversed(edges))


def padded_lengths(
    lengths: Int[np.ndarray, " n"],
    max_length: int,
    program_tokens: int,
    copies: float = 1.0,
) -> tuple[int, ...]:
    """Padded lengths that cost least for these examples, ascending, then `max_length`.

    The cost is the sum of all padded lengths, and `program_tokens` for each length that
    is used, since a program is compiled for it. All but the last are multiples of 8.

    >>> padded_lengths(np.array([20] * 50 + [100] * 50), 256, 1000)
    (24, 104, 256)

    Args:
        lengths: Tokens of each example, or of a sample of them. Longer ones than
            `max_length` count as so long.
        max_length: The longest padded length.
        program_tokens: What a program costs, in tokens.
        copies: Examples that each of `lengths` stands for.
    """
    places = -(-np.clip(lengths, SHORTEST, max_length) // _STEP)
    ends, counts = np.unique(places, return_counts=True)
    ends = np.minimum(_STEP * ends, max_length)
    until = np.concatenate([[0], np.cumsum(counts * copies)])
    # The least cost of the first k ends, and which end comes before the last of them.
    least, before = np.zeros(len(ends) + 1), np.zeros(len(ends) + 1, np.int64)
    for k in range(1, len(ends) + 1):
        costs = least[:k] + (until[k] - until[:k]) * ends[k - 1]
        before[k] = np.argmin(costs)
        least[k] = costs[before[k]] + program_tokens
    found, k = {max_length}, len(ends)
    while k:
        found.add(int(ends[k - 1]))
        k = int(before[k])
    return tuple(sorted(found))


def laid_out(
    lengths: Int[np.ndarray, " n"],
    padded: Sequence[int],
    rows_at: Callable[[int], int],
) -> Iterator[tuple[int, Int64[np.ndarray, " rows"]]]:
    """Padded length and rows of each batch; every row comes once.

    A row goes to the shortest padded length that holds it. What fills no batch there
    goes to the next longer one that is needed, so that little is computed for nothing
    and few programs are compiled for a handful of rows. The last batch is filled up
    with -1.

    Args:
        lengths: Tokens of each row.
        padded: Padded lengths, ascending.
        rows_at: Rows of a batch of that padded length.
    """
    places = np.searchsorted(np.array(padded[:-1], np.int64), lengths)
    used = np.unique(places)
    waiting = np.zeros(0, np.int64)
    for place in used:
        waiting = np.append(waiting, np.flatnonzero(places == place))
        size = rows_at(padded[place])
        while len(waiting) >= size:
            yield padded[place], waiting[:size]
            waiting = waiting[size:]
    if len(waiting):
        filled = np.full(rows_at(padded[used[-1]]), -1)
        filled[: len(waiting)] = waiting
        yield padded[used[-1]], filled


def bucketed(
    examples: Sequence[TokenizedExample],
    padded: Sequence[int],
    rows_at: Callable[[int], int],
    pooling: str,
    length_normalize: bool = True,
) -> Iterator[tuple[Int64[np.ndarray, " n"], Batch]]:
    """Row indices (-1 for a copy of the first) and batch, as they are `laid_out`."""
    lengths = lengths_of(examples)
    for length, rows in laid_out(lengths, padded, rows_at):
        batch = [examples[row] for row in np.where(rows < 0, rows[0], rows)]
        yield rows, make_batch(batch, pooling, length, length_normalize)


def lengths_of(examples: Sequence[TokenizedExample]) -> Int64[np.ndarray, " n"]:
    """Tokens of each example."""
    return np.array([len(example.tokens) for example in examples], np.int64)
