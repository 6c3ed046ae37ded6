"""Agreement of two score lists over the same items: do they order the items alike?

A list whose values are all equal orders nothing: its correlation with anything, itself
included, is taken to be 0, where scipy gives NaN and a warning.
"""

import numpy as np
import scipy
from jaxtyping import Float


def spearman(a: Float[np.ndarray, " m"], b: Float[np.ndarray, " m"]) -> float:
    """Spearman's ρ: the Pearson correlation of the ranks, ties sharing their mean rank.

    The same number as `scipy.stats.spearmanr`, without the p-value; 0 if `a` or `b` is
    constant.

    >>> spearman(np.array([1.0, 2.0, 3.0]), np.array([1.0, 3.0, 2.0]))
    0.5

    Raises:
        ValueError: If a score is not finite or there is none.
    """
    _check_scores(a, b)
    if _is_constant(a) or _is_constant(b):
        return 0.0
    ranks_a = scipy.stats.rankdata(a) - (len(a) + 1) / 2
    ranks_b = scipy.stats.rankdata(b) - (len(b) + 1) / 2
    # √(x·y) and not √x·√y, so that equal lists give exactly 1.
    squares = np.sum(ranks_a**2) * np.sum(ranks_b**2)
    return float(np.sum(ranks_a * ranks_b) / np.sqrt(squares))


def kendall(a: Float[np.ndarray, " m"], b: Float[np.ndarray, " m"]) -> float:
    """Kendall's τ-b: agreeing minus disagreeing pairs of items, corrected for ties.

    `scipy.stats.kendalltau`, but 0 if `a` or `b` is constant.

    Raises:
        ValueError: If a score is not finite or there is none.
    """
    _check_scores(a, b)
    if _is_constant(a) or _is_constant(b):
        return 0.0
    if len(a) == 2:  # scipy's p-value, which is not used, divides by zero
        return 1.0 if (a[0] < a[1]) == (b[0] < b[1]) else -1.0
    # "asymptotic" is the fast way to the p-value. Rounding takes away the last bits,
    # which keep τ of two equal orders from being exactly 1.
    found = scipy.stats.kendalltau(a, b, method="asymptotic")
    return round(float(found.statistic), 12)  # pyright: ignore[reportAttributeAccessIssue]


def top_overlap(
    a: Float[np.ndarray, " m"], b: Float[np.ndarray, " m"], top: int
) -> float:
    """Share of the N highest items that both lists name: |top-N(a) ∩ top-N(b)| / N.

    Of equal scores the item with the lower index comes first.

    Raises:
        ValueError: If a score is not finite or `top` is not in 1, …, m.
    """
    _check_scores(a, b)
    _check_top(top, len(a))
    shared = np.intersect1d(_top_items(a, top), _top_items(b, top))
    return len(shared) / top


def chance_overlap(top: int, num: int) -> float:
    """Expected `top_overlap` of two unrelated orders of `num` items: N / num.

    Raises:
        ValueError: If `top` is not in 1, …, num.
    """
    _check_top(top, num)
    return top / num


def _top_items(scores: np.ndarray, top: int) -> np.ndarray:
    return np.argsort(-scores, kind="stable")[:top]


def _is_constant(scores: np.ndarray) -> bool:
    return bool(np.all(scores == scores[0]))


def _check_scores(a: np.ndarray, b: np.ndarray) -> None:
    if len(a) == 0 or len(a) != len(b):
        raise ValueError(
            f"Expected two score lists of one length, {len(a)=} {len(b)=}."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("Scores must be finite to be ranked.")


def _check_top(top: int, num: int) -> None:
    if not 1 <= top <= num:
        raise ValueError(f"top must lie in 1, …, {num} (the number of items): {top=}.")
