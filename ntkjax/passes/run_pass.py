"""One pass over many tokenized examples: few padded lengths, rows split over devices.

What is computed for a batch is a module-level function `function(fixed, rows)`:
`fixed` (weights, θ, directions) is the same for all, `rows` holds each data group's
share of the batch. It is compiled once for each mesh and padded length, and all passes
of a process share the compiled programs.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int, Int64, Shaped

from ntkjax.data.batches import (
    Batch,
    bucketed,
    laid_out,
    lengths_of,
    padded_lengths,
)
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import num_groups, replicate
from ntkjax.devices.programs import ROWS, WHOLE, on_mesh
from ntkjax.devices.side_by_side import program_tokens, tokens_at_once
from ntkjax.errors import InputError, setting
from ntkjax.models.stacking import stack_layers


Advance = Callable[[int], None]
"""Called with the number of examples that are done."""

_CURE = (
    f": the model overflows on this text; try {setting('dtype')} float32, or look at "
    "the adapter's scale"
)


@dataclass(frozen=True)
class Batching:
    """How examples become batches on the devices.

    Attributes:
        pooling: One of `ntkjax.data.batches.POOLINGS`.
        tokens_per_batch: Tokens that each data group computes side by side, padding
            included, but at least one example; what suits the devices if it is None.
        max_length: No example has more tokens.
        mesh: The devices.
        length_normalize: Means over the pooled tokens, or sums.
        padded: Padded lengths, ascending, the last `max_length`; by default those that
            suit the examples of each pass.
        most_rows: No batch has more examples for each data group.
    """

    pooling: str
    tokens_per_batch: int | None
    max_length: int
    mesh: Mesh
    length_normalize: bool = True
    padded: tuple[int, ...] = ()
    most_rows: int | None = None

    def rows_at(self, length: int) -> int:
        """Examples of a batch of that padded length, on all devices together."""
        tokens = self.tokens_per_batch or tokens_at_once(self._platform)
        rows = max(1, tokens // length)
        return num_groups(self.mesh) * min(rows, self.most_rows or rows)

    def fitted(self, lengths: Int[np.ndarray, " n"], number: int) -> "Batching":
        """The same for so many examples, with the padded lengths that suit them.

        Args:
            lengths: Tokens of each example, or of a sample of them.
            number: Examples of all passes together.
        """
        groups = num_groups(self.mesh)
        program = program_tokens(groups, self._platform)
        copies = number / max(1, len(lengths))
        padded = padded_lengths(lengths, self.max_length, program, copies)
        return replace(self, padded=padded, most_rows=-(-number // groups))

    @property
    def refitted(self) -> "Batching":
        """The same with padded lengths that suit the examples of each pass."""
        return replace(self, padded=(), most_rows=None)

    def batches(
        self, examples: Sequence[TokenizedExample]
    ) -> Iterator[tuple[Int64[np.ndarray, " n"], Batch]]:
        """Row indices (-1 where a batch was filled up) and batch, as `bucketed`."""
        how = self
        if not self.padded:
            how = self.fitted(lengths_of(examples), len(examples))
        return bucketed(
            examples, how.padded, how.rows_at, how.pooling, how.length_normalize
        )

    def padding(self, lengths: Int[np.ndarray, " n"], rows_per_shard: int) -> float:
        """What passes over so long examples compute for nothing.

        Args:
            lengths: Tokens of each example.
            rows_per_shard: Examples of each pass.

        Returns:
            Its tokens as a share of the real ones.
        """
        shards = range(0, len(lengths), rows_per_shard)
        computed = sum(
            padded * len(rows)
            for start in shards
            for padded, rows in laid_out(
                lengths[start : start + rows_per_shard], self.padded, self.rows_at
            )
        )
        return computed / int(lengths.sum(dtype=np.int64)) - 1

    @property
    def _platform(self) -> str:
        return self.mesh.devices.flat[0].platform


@functools.cache
def data_parallel(function: Callable, mesh: Mesh) -> Callable:
    """The compiled `function(fixed, rows)`, its results joined along their first axis.

    Args:
        function: Defined at the top of a module, so that equal calls share a program.
        mesh: The devices.
    """
    return on_mesh(function, mesh, (WHOLE, ROWS), ROWS)


def run_pass(
    function: Callable,
    fixed,
    examples: Sequence[TokenizedExample],
    batching: Batching,
    *,
    what: str,
    advance: Advance = lambda count: None,
) -> Shaped[np.ndarray, "n ..."]:
    """What `function(fixed, batch)` finds for each example, in the order of `examples`.

    Args:
        function: As in `data_parallel`; one result per row of its batch.
        fixed: Its first argument. Arrays that `replicate` has put on the mesh already
            are not copied again.
        examples: One or more.
        batching: Batches and devices.
        what: What is computed, for messages.
        advance: Called with the number of examples done.

    Raises:
        InputError: If a number is not finite; the example is named.
        ValueError: If there is no example or one is too long.
    """
    if not examples:
        raise ValueError(f"no examples to compute the {what} of.")
    started = batch_results(function, fixed, examples, batching)
    return collect(started, examples, what=what, advance=advance)


def batch_results(
    function: Callable,
    fixed,
    examples: Sequence[TokenizedExample],
    batching: Batching,
    weights: Float[np.ndarray, " n"] | None = None,
) -> Iterator[tuple[Int64[np.ndarray, " _"], Any]]:
    """For each batch the rows it holds (-1 for a copy), and its result on the devices.

    Args:
        function: As in `data_parallel`.
        fixed: As in `run_pass`.
        examples: What the batches hold.
        batching: Batches and devices.
        weights: One for each example: then the function is given a pair of batch and
            weights, which are 0 for copies.
    """
    program = data_parallel(function, batching.mesh)
    fixed = replicate(stack_layers(fixed), batching.mesh)
    for rows, batch in batching.batches(examples):
        given = batch
        if weights is not None:
            counted = np.where(rows >= 0, weights[rows], 0)
            given = batch, jnp.asarray(counted, jnp.float32)
        yield rows, program(fixed, given)


def collect(
    started: Iterable[tuple[Int64[np.ndarray, " _"], Any]],
    examples: Sequence[TokenizedExample],
    *,
    what: str,
    cure: str = _CURE,
    advance: Advance = lambda count: None,
) -> Shaped[np.ndarray, "n ..."]:
    """The results of batches, finite, in the order of the examples.

    One batch is read while the next one is computed.

    Args:
        started: Rows (-1 for what is not to be read) and results, one for each row.
        examples: Which the rows number; each of them is in one batch.
        what: What is computed, for messages.
        cure: What to do about numbers that are not finite.
        advance: Called with the number of examples done.

    Raises:
        InputError: If a number is not finite; the example is named.
    """
    places, values = [], []
    for rows, result in _one_behind(iter(started)):
        real = rows >= 0
        found = np.asarray(result)[real]
        finite = np.isfinite(found).reshape(len(found), -1).all(axis=1)
        if not finite.all():
            first = rows[real][~finite].min()
            raise not_finite(what, examples[first], cure)
        places.append(rows[real])
        values.append(found)
        advance(len(found))
    return np.concatenate(values)[np.argsort(np.concatenate(places))]


def not_finite(what: str, example: TokenizedExample, cure: str = _CURE) -> InputError:
    """The error to raise when an example's numbers are not finite."""
    return InputError(f"the {what} of example {example.id!r} is NaN or infinite{cure}.")


def _one_behind(items: Iterator) -> Iterator:
    """The same items, each after the next has started: devices do not wait for us."""
    for item, _ in itertools.pairwise(itertools.chain(items, [None])):
        yield item
