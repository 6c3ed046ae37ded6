"""Queries take turns: each picks its best candidate that is not yet taken.

RDS+ (arXiv 2503.01807) picks so. Every query has its say, while one score for all of
them may leave a query without any candidate near it.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Int64

from ntkjax.selection.pickers.picking import PickProblem
from ntkjax.selection.ranking import ranking


def round_robin(problem: PickProblem) -> Int64[np.ndarray, " b"]:
    """Picks in turns, queries in their order.

    A query whose ranking is used up drops out. When all have, the rest follows by
    score. Cost: one step for each pick and each candidate that was taken already.

    Raises:
        ValueError: If there are no rankings.
    """
    if problem.rankings is None:
        raise ValueError("round_robin needs rankings, got None.")
    taken = np.zeros(len(problem.scores), bool)
    queues = deque(_not_taken(order, taken) for order in problem.rankings)
    picks: list[int] = []
    while queues and len(picks) < problem.most:
        position = next(queues[0], None)
        if position is None:
            queues.popleft()
            continue
        taken[position] = True
        picks.append(position)
        queues.rotate(-1)
    by_score = ranking(problem.scores)
    rest = by_score[~taken[by_score]]
    return np.concatenate([np.array(picks, np.int64), rest])[: problem.most]


def _not_taken(
    order: Int64[np.ndarray, " n"], taken: Bool[np.ndarray, " k"]
) -> Iterator[int]:
    """One ranking, less what is taken when its turn comes."""
    for position in order:
        if not taken[position]:
            yield int(position)
