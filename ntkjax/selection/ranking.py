"""From scores to a selection: the highest first, up to a budget.

Of equal scores the example that stands first in the pool comes first.
"""

import numpy as np
from jaxtyping import Float, Int, Int64

from ntkjax.errors import InputError


def ranking(scores: Float[np.ndarray, " m"]) -> Int64[np.ndarray, " m"]:
    """Rows by descending score.

    >>> ranking(np.array([1.0, 3.0, 1.0])).tolist()
    [1, 0, 2]

    Raises:
        ValueError: If a score is not finite.
    """
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite to be ranked.")
    return np.argsort(-scores, kind="stable").astype(np.int64)


def num_within_tokens(tokens: Int[np.ndarray, " m"], budget: int) -> int:
    """The length of the longest prefix of an order with at most `budget` tokens in all.

    It ends before the first example that does not fit, so that no lower-ranked example
    is chosen because it is short.

    Args:
        tokens: Tokens of the examples in their order.
        budget: In tokens.

    Raises:
        InputError: If not even the first example fits.
    """
    used = np.cumsum(tokens, dtype=np.int64)
    count = int(np.searchsorted(used, budget, side="right"))
    if count == 0:
        needed = f"the highest-ranked example alone has {used[0]}" if len(used) else ""
        raise InputError(
            f"{needed or 'the pool is empty'}; raise it.",
            field="budget_tokens",
            value=budget,
        )
    return count


def check_budget(budget: int, available: int) -> None:
    """Refuses a budget that cannot be met.

    Raises:
        InputError: If there are fewer to choose from.
    """
    if budget > available:
        raise InputError(
            f"there are only {available} examples to choose from; choose at most "
            f"{available}.",
            field="budget",
            value=budget,
        )
