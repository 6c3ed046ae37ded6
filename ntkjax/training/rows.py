"""The examples of one step as arrays, in the layout that the devices share."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int32

from ntkjax.data.batches import bucket_edges
from ntkjax.data.tokenizing import TokenizedExample


class Rows(NamedTuple):
    """Padded examples: `accumulation` backward passes over `n` rows each.

    Attributes:
        tokens: Token ids, 0 on padding.
        targets: True where a token is to be predicted; nowhere in an empty row.
    """

    tokens: Int32[np.ndarray, "accumulation n T"]
    targets: Bool[np.ndarray, "accumulation n T"]


class Layout(NamedTuple):
    """How the rows of a step are shared out.

    Attributes:
        accumulation: Backward passes per step.
        micro_batch: Examples per backward pass.
        num_groups: Data groups that share the rows of a backward pass.
    """

    accumulation: int
    micro_batch: int
    num_groups: int

    @property
    def num_rows(self) -> int:
        """Rows per backward pass: the examples, and empty rows for even shares."""
        return self.micro_batch + -self.micro_batch % self.num_groups

    def place(self, index: int) -> tuple[int, int]:
        """Backward pass and row of the example at `index` of the step."""
        return divmod(index, self.micro_batch)


def fill_rows(
    examples: Sequence[TokenizedExample], layout: Layout, max_length: int
) -> Rows:
    """The examples in the shortest bucket that holds them all; other rows are empty.

    Raises:
        ValueError: If an example is longer than `max_length`.
    """
    longest = max(len(example.tokens) for example in examples)
    if longest > max_length:
        raise ValueError(f"an example of {longest} tokens is beyond {max_length=}.")
    edges = bucket_edges(max_length)
    length = edges[int(np.searchsorted(edges, longest))]
    shape = (layout.accumulation, layout.num_rows, length)
    rows = Rows(np.zeros(shape, np.int32), np.zeros(shape, bool))
    for index, example in enumerate(examples):
        place = (*layout.place(index), slice(len(example.tokens)))
        rows.tokens[place] = example.tokens
        rows.targets[place] = example.targets
    return rows


def num_targets(rows: Rows) -> int:
    """Target tokens that can be predicted: all but those at the first place."""
    return int(rows.targets[..., 1:].sum())
