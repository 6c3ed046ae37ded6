"""One pass over many tokenized examples: few padded lengths, rows split over devices.

What is computed for a batch is a module-level function `function(fixed, rows)`:
`fixed` (weights, θ, directions) is the same for all, `rows` holds each data group's
share of the batch. It is compiled once for each mesh and padded length, and all passes
of a process share the compiled programs.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int64, Shaped

from ntkjax.data.batches import Batch, bucketed
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import num_groups, replicate
from ntkjax.devices.programs import ROWS, WHOLE, on_mesh
from ntkjax.errors import InputError, setting


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
        batch_size: Examples per batch, rounded up to a multiple of the data groups.
        max_length: No example has more tokens.
        mesh: The devices.
        length_normalize: Means over the pooled tokens, or sums.
    """

    pooling: str
    batch_size: int
    max_length: int
    mesh: Mesh
    length_normalize: bool = True

    def batches(
        self, examples: Sequence[TokenizedExample]
    ) -> Iterator[tuple[Int64[np.ndarray, " n"], Batch]]:
        """Row indices (-1 where a batch was filled up) and batch, as `bucketed`."""
        groups = num_groups(self.mesh)
        size = -(-self.batch_size // groups) * groups
        return bucketed(
            examples, size, self.pooling, self.max_length, self.length_normalize
        )


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
    fixed = replicate(fixed, batching.mesh)
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
