"""The highest scores first; of equal scores the lower position."""

import numpy as np
from jaxtyping import Int64

from ntkjax.selection.pickers.picking import PickProblem
from ntkjax.selection.ranking import ranking


def top(problem: PickProblem) -> Int64[np.ndarray, " b"]:
    """The `most` highest scores. Cost: one sort."""
    return ranking(problem.scores)[: problem.most]
