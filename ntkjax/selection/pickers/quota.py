"""Each source has its share of the picks, as nearly as every prefix allows.

With shares q_s (Σ q_s = 1) and taken_s picks of source s among the first t, the next
pick is of the source with the largest deficit

    q_s (t + 1) − taken_s,

of equal deficits the first. Deficits are compared as whole numbers, without rounding.
"""

import math
from collections import Counter, deque
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Int64

from ntkjax.errors import InputError
from ntkjax.selection.pickers.picking import PickProblem
from ntkjax.selection.ranking import ranking


_LISTED = 20


def quota(problem: PickProblem) -> Int64[np.ndarray, " b"]:
    """The best candidates of each source, in turns that keep to the quotas.

    Without quotas the shares are those of the candidates (a stratified choice). A
    source that is used up drops out: the others go on with q_s and t among themselves.
    Sources that quotas do not name give none, so there may be fewer than `most`.
    Cost: one sort, and one step per pick and source.

    Raises:
        InputError: If quotas name a source that no candidate has.
    """
    weights = _weights(problem)
    waiting = {source: deque[int]() for source in weights}
    for position in map(int, ranking(problem.scores)):
        source = problem.sources[position]
        if source in waiting:
            waiting[source].append(position)
    taken = dict.fromkeys(weights, 0)
    picks: list[int] = []
    while waiting and len(picks) < problem.most:
        source = _largest_deficit(list(waiting), weights, taken)
        picks.append(waiting[source].popleft())
        taken[source] += 1
        if not waiting[source]:
            del waiting[source]
    return np.array(picks, np.int64)


def parse_quotas(values: Sequence[str]) -> dict[str, float]:
    """Shares from values of `quotas`; a source's name may contain `=`.

    >>> parse_quotas(["gsm8k=0.5", "aqua=0.5"])
    {'gsm8k': 0.5, 'aqua': 0.5}

    Raises:
        InputError: If a value is not SOURCE=SHARE, a share is not above 0, or a source
            is named twice.
    """
    quotas: dict[str, float] = {}
    for value in values:
        source, _, share = value.rpartition("=")
        if not source:
            raise _refusal(value, "expected SOURCE=SHARE, such as gsm8k=0.5.")
        if source in quotas:
            raise _refusal(value, f"{source} has a share already.")
        quotas[source] = _share(value, share)
    return quotas


def require_known_sources(quotas: Iterable[str], known: Sequence[str]) -> None:
    """Refuses quotas of a source that candidates do not have.

    Args:
        quotas: Names of sources.
        known: Those of the candidates.

    Raises:
        InputError: If one is not among them.
    """
    for source in quotas:
        if source not in known:
            listed = ", ".join(known[:_LISTED])
            more = f" and {len(known) - _LISTED} more" * (len(known) > _LISTED)
            raise _refusal(
                source,
                f"no candidate has this source; expected some of {listed}{more}.",
            )


def _refusal(value: str, reason: str) -> InputError:
    return InputError(reason, field="quotas", value=value)


def _share(value: str, share: str) -> float:
    try:
        number = float(share)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise _refusal(
            value,
            f"the share {share!r} is not a number above 0; expected SOURCE=SHARE, such "
            "as gsm8k=0.5.",
        )
    return number


def _weights(problem: PickProblem) -> dict[str, int]:
    """Shares as whole numbers, in the order of the quotas."""
    sizes = Counter(problem.sources)
    if problem.quotas is None:
        return dict(sizes)
    require_known_sources(problem.quotas, list(sizes))
    # repr and not the float itself: 0.1 means a tenth
    exact = {s: Fraction(repr(float(share))) for s, share in problem.quotas.items()}
    scale = math.lcm(*(share.denominator for share in exact.values()))
    return {source: int(share * scale) for source, share in exact.items()}


def _largest_deficit(
    sources: list[str], weights: Mapping[str, int], taken: Mapping[str, int]
) -> str:
    """Among these sources alone; every deficit is multiplied by their total weight."""
    total = sum(weights[source] for source in sources)
    next_size = sum(taken[source] for source in sources) + 1
    return max(sources, key=lambda s: weights[s] * next_size - taken[s] * total)
