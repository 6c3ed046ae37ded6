"""Problems of picking, drawn at random with many ties."""

from dataclasses import replace

import numpy as np

from ntkjax.selection.pickers.picking import PickProblem


def random_pick_problem(seed: int, k: int = 12, **changes) -> PickProblem:
    """k candidates with few distinct scores, features with repeated rows."""
    rng = np.random.default_rng([41, seed])
    features = rng.standard_normal((k, 3)).astype(np.float32)
    features = features[rng.integers(0, k, k)]  # some rows twice
    lengths = rng.integers(0, k + 1, 3)  # rankings end early, some at once
    problem = PickProblem(
        scores=rng.integers(0, 4, k).astype(np.float64),
        rankings=tuple(rng.permutation(k)[:length] for length in lengths),
        features=lambda positions: features[positions],
        sources=tuple("abc"[i] for i in rng.integers(0, 3, k)),
        most=k,
        quotas=None,
    )
    return replace(problem, **changes)
