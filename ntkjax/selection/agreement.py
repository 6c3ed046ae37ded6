"""How far a selection differs from what embeddings alone would have chosen."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64

from ntkjax.math.ranking import spearman
from ntkjax.selection.ranking import ranking
from ntkjax.selection.shortlist import Votes


@dataclass(frozen=True)
class Agreement:
    """Shares of the N selected examples, and rank correlations of the scored ones.

    Attributes:
        embedding_overlap: Share that is also in the top N of the whole pool by mean
            similarity.
        embedding_overlap_chance: The same, expected of N examples drawn at random from
            the scored ones.
        vote_overlap: Share that is also in the top N of the whole pool by votes.
        vote_overlap_chance: Its expectation.
        spearman_embedding: Of score and mean similarity.
        spearman_votes: Of score and votes.
    """

    embedding_overlap: float
    embedding_overlap_chance: float
    vote_overlap: float
    vote_overlap_chance: float
    spearman_embedding: float
    spearman_votes: float


def agreement(
    votes: Votes,
    scored: Int64[np.ndarray, " k"],
    scores: Float[np.ndarray, " k"],
    selected: Int64[np.ndarray, " b"],
) -> Agreement:
    """Compares a selection with the plain embedding ranking and with the vote.

    Args:
        votes: Of the whole pool.
        scored: Pool rows that have a score: the shortlist, or all.
        scores: Their scores.
        selected: Pool rows chosen from them.
    """
    nearest = ranking(votes.similarity)[: len(selected)]
    voted = votes.order[: len(selected)]
    return Agreement(
        embedding_overlap=_share(selected, nearest),
        embedding_overlap_chance=_share(scored, nearest),
        vote_overlap=_share(selected, voted),
        vote_overlap_chance=_share(scored, voted),
        spearman_embedding=spearman(scores, votes.similarity[scored]),
        spearman_votes=spearman(scores, votes.votes[scored].astype(np.float64)),
    )


def _share(rows: np.ndarray, others: np.ndarray) -> float:
    """The share of `rows` that `others` names; of a random part of `rows` as well."""
    return float(np.isin(rows, others).mean())
