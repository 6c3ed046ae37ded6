"""A random draw: the control that every method is to beat."""

import numpy as np

from ntkjax.math.seeds import stream
from ntkjax.selection.methods.method import Method, Words, no_passes
from ntkjax.selection.problem import Problem, Scored


def score(problem: Problem) -> Scored:
    """Uniform numbers in [0, 1) that depend on seed and position alone. Cost: none."""
    rng = np.random.default_rng(stream(problem.seed, "random choice"))
    return Scored(rng.random(len(problem.candidates)))


METHOD = Method(
    "random",
    "a random draw",
    score,
    no_passes,
    words=Words(
        "random number",
        "A random number between 0 and 1, decided by the seed and the example's place "
        "among the candidates. Neither target nor model plays a part in it.",
        highest="drawn at random",
        reads_model=False,
        reads_target=False,
    ),
    warmup="none",
    gives=(),
)
