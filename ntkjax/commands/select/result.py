"""What a selection found: the parts of its result, and `scores.parquet`.

The arrays hold a number or two for each row of the pool; only texts that are shown or
compared are read from disk.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float64, Int32, Int64

from ntkjax.data.examples import Example, text_of
from ntkjax.data.near_duplicates import (
    Duplicate,
    duplicates_against,
    duplicates_within,
)
from ntkjax.data.pool import Pool
from ntkjax.selection.result import (
    Distributions,
    Duplicates,
    LengthSample,
    RankedText,
    RankedTexts,
    Repeat,
    Repeats,
    ScoresHistogram,
    SourceCounts,
    VotesHistogram,
)
from ntkjax.selection.shortlist import Votes
from ntkjax.store.atomic import write_atomically
from ntkjax.store.run_path import RunPath


NO_SOURCE = "(no source)"
_BLOCK = 4096
_SHOWN = 20
_POINTS = 2000
_BINS = 30


@dataclass(frozen=True, eq=False)
class Selection:
    """Numbers for every row of the pool, and what was chosen.

    Attributes:
        tokens: Tokens of each row.
        votes: Votes and similarities; None without a shortlist.
        scored: Rows that have a score, ascending.
        scores: Their scores.
        order: `scored` by rank, as pool rows.
        selected: The chosen rows, in rank order.
    """

    tokens: Int32[np.ndarray, " m"]
    votes: Votes | None
    scored: Int64[np.ndarray, " k"]
    scores: Float64[np.ndarray, " k"]
    order: Int64[np.ndarray, " k"]
    selected: Int64[np.ndarray, " b"]

    @property
    def is_selected(self) -> Bool[np.ndarray, " m"]:
        """Whether each row was chosen."""
        chosen = np.zeros(len(self.tokens), bool)
        chosen[self.selected] = True
        return chosen

    @property
    def score_of(self) -> Float64[np.ndarray, " m"]:
        """Score of each row, NaN where there is none."""
        found = np.full(len(self.tokens), np.nan)
        found[self.scored] = self.scores
        return found

    @property
    def rank_of(self) -> Int64[np.ndarray, " m"]:
        """Rank of each row from 1, 0 where there is none."""
        found = np.zeros(len(self.tokens), np.int64)
        found[self.order] = np.arange(1, len(self.order) + 1)
        return found


def write_scores(pool: Pool, found: Selection, path: RunPath) -> None:
    """Writes `scores.parquet`: a row per pool example, null where nothing is known.

    Columns: id, source, tokens, votes, similarity (mean cosine to the domain), score,
    rank, stage. `stage` is where the example fell out: `shortlist`, `ranking` (scored,
    but below the cut), or `selected`.
    """
    import pyarrow as pa
    from pyarrow import parquet

    schema = pa.schema(
        [
            ("id", pa.string()),
            ("source", pa.string()),
            ("tokens", pa.int32()),
            ("votes", pa.int64()),
            ("similarity", pa.float64()),
            ("score", pa.float64()),
            ("rank", pa.int64()),
            ("stage", pa.string()),
        ]
    )
    scores, ranks, chosen = found.score_of, found.rank_of, found.is_selected
    stages = np.where(chosen, "selected", np.where(ranks > 0, "ranking", "shortlist"))

    def write(beside: Path) -> None:
        with parquet.ParquetWriter(beside, schema) as writer:
            for start in range(0, len(pool), _BLOCK):
                rows = np.arange(start, min(start + _BLOCK, len(pool)))
                unknown = [None] * len(rows)
                votes = found.votes
                columns = [
                    pool.ids(rows),
                    pool.sources(rows),
                    found.tokens[rows],
                    unknown if votes is None else votes.votes[rows],
                    unknown if votes is None else votes.similarity[rows],
                    pa.array(scores[rows], mask=np.isnan(scores[rows])),
                    pa.array(ranks[rows], mask=ranks[rows] == 0),
                    stages[rows].tolist(),
                ]
                arrays = [
                    column if isinstance(column, pa.Array) else pa.array(column, field)
                    for column, field in zip(columns, schema.types, strict=True)
                ]
                writer.write_table(pa.Table.from_arrays(arrays, schema=schema))

    write_atomically(path, write)


def duplicates_of(
    pool: Pool,
    selected: Int64[np.ndarray, " b"],
    target: Sequence[Example],
    holdout: Sequence[Example] | None,
) -> Duplicates:
    """Near-duplicates among the chosen, with the target and with holdout files."""
    chosen = pool.read(selected)
    texts = [text_of(example) for example in chosen]

    def against(others: Sequence[Example]) -> Repeats:
        repeats = duplicates_against(texts, (text_of(other) for other in others))
        return _repeats(repeats, chosen, others)

    return Duplicates(
        within=_repeats(duplicates_within(texts), chosen, chosen),
        target=against(target),
        holdout=None if holdout is None else against(holdout),
    )


def _repeats(
    repeats: list[Duplicate], texts: Sequence[Example], others: Sequence[Example]
) -> Repeats:
    kinds = Counter(repeat.kind for repeat in repeats)
    rows = tuple(
        Repeat(
            kind=repeat.kind,
            first_id=texts[repeat.first].id,
            second_id=others[repeat.second].id,
            words=repeat.words,
        )
        for repeat in repeats
    )
    return Repeats(exact=kinds["exact"], ngram=kinds["13-gram"], rows=rows)


def source_names(pool: Pool, rows: Int64[np.ndarray, " n"]) -> list[str]:
    """Where these rows come from; `NO_SOURCE` where they do not say."""
    return [source or NO_SOURCE for source in pool.sources(rows)]


def sources_of(pool: Pool, found: Selection) -> tuple[SourceCounts, ...]:
    """A row per source, by its number of chosen examples, then by its name."""
    everything = np.arange(len(pool))
    kinds = {"all": everything, "scored": found.scored, "top": found.selected}
    counts = {kind: Counter(source_names(pool, rows)) for kind, rows in kinds.items()}
    ordered = sorted(counts["all"], key=lambda name: (-counts["top"][name], name))
    return tuple(
        SourceCounts(
            source=name,
            pool=counts["all"][name],
            shortlisted=None if found.votes is None else counts["scored"][name],
            selected=counts["top"][name],
            pool_share=counts["all"][name] / len(pool),
            selected_share=counts["top"][name] / len(found.selected),
        )
        for name in ordered
    )


def distributions_of(found: Selection, seed: int) -> Distributions:
    """Histograms, and a sample of the scored examples."""
    return Distributions(
        votes=None if found.votes is None else _votes_histogram(found, found.votes),
        scores=_scores_histogram(found),
        length_score=_length_sample(found, seed),
    )


def _votes_histogram(found: Selection, of: Votes) -> VotesHistogram:
    votes = of.votes
    width = max(1, -(-int(votes.max() + 1) // _BINS))
    edges = np.arange(0, votes.max() + 1 + width, width)
    return VotesHistogram(
        edges=tuple(edges.tolist()),
        pool=_counts(votes, edges),
        selected=_counts(votes[found.selected], edges),
    )


def _scores_histogram(found: Selection) -> ScoresHistogram:
    edges = _edges(found.scores)
    return ScoresHistogram(
        edges=tuple(edges.tolist()),
        scored=_counts(found.scores, edges),
        selected=_counts(found.score_of[found.selected], edges),
    )


def _counts(values: np.ndarray, edges: np.ndarray) -> tuple[int, ...]:
    return tuple(np.histogram(values, edges)[0].tolist())


def _edges(scores: Float64[np.ndarray, " k"]) -> Float64[np.ndarray, " edges"]:
    """Edges of bins of one width, or of one bin where all scores are about equal.

    Float64 may have no numbers for edges between such scores.
    """
    low, high = float(scores.min()), float(scores.max())
    size = max(abs(low), abs(high))
    if high - low > 1e-12 * size:
        return np.histogram_bin_edges(scores, _BINS)
    margin = size / 1000 or 0.5
    return np.array([low - margin, high + margin])


def _length_sample(found: Selection, seed: int) -> LengthSample:
    rng = np.random.default_rng([seed, 4])
    size = min(_POINTS, len(found.scored))
    sample = np.sort(rng.choice(len(found.scored), size, replace=False))
    rows = found.scored[sample]
    return LengthSample(
        tokens=tuple(found.tokens[rows].tolist()),
        score=tuple(found.scores[sample].tolist()),
        selected=tuple(found.is_selected[rows].tolist()),
    )


def texts_of(pool: Pool, found: Selection) -> RankedTexts:
    """Rows at the top, around the cut and at the bottom of the ranking."""
    order, cut = found.order, len(found.selected)
    half = _SHOWN // 2
    scores, ranks, chosen = found.score_of, found.rank_of, found.is_selected

    def shown(row: int, example: Example) -> RankedText:
        return RankedText(
            rank=int(ranks[row]),
            id=example.id,
            source=example.source,
            tokens=int(found.tokens[row]),
            votes=None if found.votes is None else int(found.votes.votes[row]),
            score=float(scores[row]),
            prompt=example.prompt,
            response=example.response,
            selected=bool(chosen[row]),
        )

    def texts(rows: np.ndarray) -> tuple[RankedText, ...]:
        return tuple(map(shown, rows.tolist(), pool.read(rows)))

    return RankedTexts(
        best=texts(order[:_SHOWN]),
        cut=texts(order[max(0, cut - half) : cut + half]),
        worst=texts(order[-_SHOWN:]),
    )
