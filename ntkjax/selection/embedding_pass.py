"""Embeddings of target and candidates, and what cosines between them say.

The candidates' embeddings stay where their pass keeps them; they are read in tiles, and
no [n, k] matrix of cosines is held.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64

from ntkjax.devices.mesh import replicate
from ntkjax.passes.embeddings import embeddings
from ntkjax.passes.loss_gradients import hash_of
from ntkjax.selection.passes import Counts, Pass, on_target
from ntkjax.selection.problem import Columns, Outline, Problem
from ntkjax.selection.rows import rows_at, unit_rows
from ntkjax.selection.shortlist import Votes, reverse_knn


_COLUMN = "embedding"
_DECIMALS = 10
_ROWS = 4096


@dataclass(frozen=True, eq=False)
class Embedded:
    """Embeddings of both sides.

    Attributes:
        target: Of the target examples.
        columns: The candidates' pass.
    """

    target: Float32[np.ndarray, "n d"]
    columns: Columns

    def tiles(self) -> Iterator[Float[np.ndarray, "_ d"]]:
        """The candidates' embeddings in order, a few thousand at a time."""
        for tile in self.columns.tiles(_COLUMN):
            for start in range(0, len(tile), _ROWS):
                yield tile[start : start + _ROWS]

    def votes(self, num_neighbors: int) -> Votes:
        """Votes and mean cosine of every candidate; see `reverse_knn`."""
        return reverse_knn(self.target, self.tiles(), num_neighbors)

    def cosines(self) -> Iterator[Float64[np.ndarray, "n _"]]:
        """Cosines of target examples and candidates, a tile of candidates at a time.

        Rounded to 1e-10, so that equal candidates tie however tiles are cut.
        """
        target = unit_rows(self.target)
        for tile in self.tiles():
            yield np.round(target @ unit_rows(tile).T, _DECIMALS)

    def features(
        self, positions: Int64[np.ndarray, " n"]
    ) -> Float32[np.ndarray, "n d"]:
        """Embeddings of some candidates, of length 1: inner products are cosines."""
        return unit_rows(rows_at(self.tiles(), positions)).astype(np.float32)


def embedded(problem: Problem, pooling: str) -> Embedded:
    """Embeddings h̄ at the end of the warm-up, of target and candidates.

    Cost: F per example without the head, unless the candidates' pass is there already.

    Args:
        problem: The problem; its batching's own pooling plays no part.
        pooling: One of `ntkjax.data.batches.POOLINGS`.

    Raises:
        InputError: If an embedding is not finite; the example is named.
    """
    snapshot = problem.snapshot
    batching = replace(problem.batching, pooling=pooling, length_normalize=True)
    model, theta = replicate((problem.model, snapshot.theta), batching.mesh)

    def compute(examples, advance) -> dict[str, np.ndarray]:
        found = embeddings(model, theta, examples, batching, advance=advance)
        return {_COLUMN: found}

    decides = {"theta": snapshot.identity, "pooling": pooling}
    columns = problem.candidates.compute("embeddings", decides, compute)
    target, own = problem.target_tokens, batching.refitted
    # Kept, too: a start with other batches would round them otherwise.
    kept = problem.candidates.keep(
        "target embeddings",
        {**decides, "target": hash_of(target)},
        lambda: {_COLUMN: embeddings(model, theta, target, own)},
    )
    return Embedded(kept[_COLUMN].astype(np.float32), columns)


def embedding_passes(
    outline: Outline, counts: Counts, examples: int, stage: str
) -> list[Pass]:
    """What `embedded` and cosines with the target cost, called `stage`.

    The candidates' embeddings are read from disk for the cosines.

    Args:
        outline: Its config is used.
        counts: For the target.
        examples: Candidates.
        stage: Of the cosines.
    """
    width = outline.config.hidden_size
    products = 2.0 * examples * counts.target * width
    return [
        Pass("embeddings", "embedding", examples, is_shared=True, row_bytes=4 * width),
        on_target("embeddings of the target", "embedding", counts),
        Pass(stage, None, examples, host_flops=products, reads_embeddings=True),
    ]


def cosine_passes(outline: Outline, counts: Counts) -> list[Pass]:
    """Those of a method on cosines of embeddings."""
    return embedding_passes(outline, counts, counts.scored, "cosines")
