"""One pass over many tokenized examples: few padded lengths, rows split over devices.

What is computed for a batch is a module-level function `function(fixed, rows)`:
`fixed` (weights, θ, directions) is the same for all, `rows` holds each data group's
share of the batch. It is compiled once for each mesh and padded length, and all passes
of a process share the compiled programs.
"""

import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jax.sharding import Mesh
from jaxtyping import Float, Int64

from ntkjax.data.batches import Batch, bucketed
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import num_groups, replicate
from ntkjax.devices.programs import ROWS, WHOLE, on_mesh
from ntkjax.errors import InputError


Advance = Callable[[int], None]
"""Called with the number of examples that are done."""


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
    advance: Callable[[int], None] = lambda count: None,
) -> Float[np.ndarray, "n ..."]:
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
    program = data_parallel(function, batching.mesh)
    fixed = replicate(fixed, batching.mesh)
    started = (
        (rows, program(fixed, batch)) for rows, batch in batching.batches(examples)
    )
    places, values = [], []
    for rows, result in _one_behind(started):
        real = rows >= 0
        found = np.asarray(result)[real]
        finite = np.isfinite(found).reshape(len(found), -1).all(axis=1)
        if not finite.all():
            first = rows[real][~finite].min()
            raise not_finite(what, examples[first])
        places.append(rows[real])
        values.append(found)
        advance(len(found))
    return np.concatenate(values)[np.argsort(np.concatenate(places))]


def not_finite(what: str, example: TokenizedExample) -> InputError:
    """The error to raise when an example's numbers are not finite."""
    return InputError(
        f"the {what} of example {example.id!r} is NaN or infinite: the model overflows "
        "on this text; try --dtype float32, or look at the adapter's scale."
    )


def _one_behind(items: Iterator) -> Iterator:
    """The same items, each after the next has started: devices do not wait for us."""
    for item, _ in itertools.pairwise(itertools.chain(items, [None])):
        yield item
