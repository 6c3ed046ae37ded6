"""Two or three sentences that say what a fidelity run found.

The words are chosen by fixed limits, which stand here:

* a ranking *survives* if the low end of its Spearman interval is at least 0.9, is
  *lost* if the high end is below 0.5, and otherwise survives *in part*;
* a kernel is *cheap* if it costs at most half as much as the exact one.
"""

from collections.abc import Sequence

from ntkjax.fidelity.compare import KernelFidelity
from ntkjax.fidelity.result import FidelityResult
from ntkjax.reports.numbers import (
    count_text,
    error_text,
    interval_text,
    ratio_text,
)


SURVIVES = 0.9
LOST = 0.5
CHEAP = 0.5


def verdict(result: FidelityResult) -> list[str]:
    """Sentences on raw size, on ranking, and on the nearest cheap kernel.

    The first two speak of the summed kernel, or of the cheapest one if it was not run.
    """
    exact, *others = result.kernels
    if not others:
        return ["Only the exact kernel was computed, so there is nothing to compare."]
    subject = next(
        (kernel for kernel in others if kernel.name == "summed"),
        min(others, key=lambda kernel: kernel.cost),
    )
    return [
        _size(subject),
        _order(subject, result),
        *_nearest(exact, others),
    ]


def _size(kernel: KernelFidelity) -> str:
    errors = kernel.cross_terms
    return (
        f"The {kernel.name} kernel misses the exact one by "
        f"{_multiple(errors.raw_pairs.q50)} the exact value on the median pair; "
        f"after the best single factor a relative error of "
        f"{error_text(errors.relative_error)} is left."
    )


def _order(kernel: KernelFidelity, result: FidelityResult) -> str:
    spearman = kernel.mean_score.spearman
    shared = round(kernel.mean_score.top_overlap.value * result.top)
    by_chance = result.chance_overlap * result.top
    if spearman.low >= SURVIVES:
        outcome = "survives"
    elif spearman.high < LOST:
        outcome = "is lost"
    else:
        outcome = "survives in part"
    return (
        f"Its order of the candidates {outcome}: Spearman {interval_text(spearman)}, "
        f"and {shared} of the top {result.top} are the same, where chance would "
        f"give {error_text(by_chance)}."
    )


def _nearest(exact: KernelFidelity, others: Sequence[KernelFidelity]) -> list[str]:
    """One sentence on the cheap kernel with the highest Spearman, if any is cheap."""
    cheap = [kernel for kernel in others if kernel.cost <= CHEAP * exact.cost]
    if not cheap:
        return []
    best = max(
        cheap,
        key=lambda kernel: (
            kernel.mean_score.spearman.value,
            -kernel.cross_terms.relative_error,
        ),
    )
    spearman = best.mean_score.spearman
    rivals = [
        kernel.name
        for kernel in cheap
        if kernel is not best and kernel.mean_score.spearman.high >= spearman.low
    ]
    sentence = (
        f"Of the kernels at half the exact price or less, {best.name} orders the "
        f"candidates most like the exact kernel in this run (Spearman "
        f"{interval_text(spearman)}, {count_text(best.cost)} forward passes against "
        f"{count_text(exact.cost)})"
    )
    if rivals:
        return [
            f"{sentence}, but its interval overlaps {_names(rivals)}, so this run does "
            "not settle which of them is best."
        ]
    if len(cheap) > 1:
        return [f"{sentence}; its interval lies above those of the others."]
    return [f"{sentence}."]


def _multiple(ratio: float) -> str:
    return f"{ratio_text(ratio).removesuffix('×')} times"


def _names(names: list[str]) -> str:
    """`that of a`, `those of a and b`, `those of a, b and 4 others`."""
    if len(names) == 1:
        return f"that of {names[0]}"
    if len(names) <= 3:
        return f"those of {', '.join(names[:-1])} and {names[-1]}"
    return f"those of {', '.join(names[:2])} and {len(names) - 2} others"
