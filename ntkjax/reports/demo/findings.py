"""Sentences that say what a demo found, and nothing beyond its intervals.

The words follow from one rule: the chosen examples *beat* other data if the 95%
interval of the paired difference in accuracy lies above zero, *are worse* if it lies
below, and otherwise *do not beat* them.
"""

from collections.abc import Sequence

from ntkjax.fidelity.compare import KernelFidelity
from ntkjax.math.bootstrap import Estimate
from ntkjax.reports.demo.result import DemoResult, OverSeeds
from ntkjax.reports.fidelity.verdict import CHEAP
from ntkjax.reports.numbers import (
    count_text,
    interval_text,
    percent_text,
    whole_text,
)


CHANCE = 0.25
"""Accuracy of guessing: questions of the world have four choices."""

RIVALS = {
    "random + domain": "as many random ones",
    "domain only": "the domain alone",
}
"""What the chosen examples are held against, the harder question first."""

ARMS = {
    "selected + domain": "the chosen examples and the domain",
    "random + domain": "random examples and the domain",
    "domain only": "the domain alone",
}
"""What the model was fine-tuned on, in words."""


def opening(result: DemoResult) -> list[str]:
    """Two sentences: the world, and what was done in it."""
    skills = _listed([f"the {skill}" for skill in result.needed])
    return [
        f"In a small world of generated text the {result.domain} domain asks for "
        f"{skills} of things, in words of its own; the answers stand in a pool of "
        f"{whole_text(result.num_pool)} examples, in other words and among much "
        "that does not help.",
        f"Given {whole_text(result.num_train)} examples of the domain, ntkjax chose "
        f"{whole_text(result.budget)} of the pool; then the model was fine-tuned "
        f"with and without them and asked {whole_text(result.num_questions)} "
        "questions of the domain.",
    ]


def help_findings(result: DemoResult) -> list[str]:
    """Whether the chosen examples helped: one sentence per rival, and warnings.

    The warnings compare with guessing and with the model as it is: beating a rival that
    fine-tuning has ruined is no great feat.
    """
    against = [
        _against(result.differences[f"selected + domain against {name}"], words)
        for name, words in RIVALS.items()
    ]
    return against + _warnings(result)


def chosen_finding(result: DemoResult) -> str:
    """The shares of needed skills; one selection, so there is no interval."""
    shares = result.shares
    kernel, vote, chance, pool = (
        percent_text(share)
        for share in (shares.kernel, shares.vote, shares.random, shares.pool)
    )
    if kernel == vote:
        than = "just as many"
    else:
        than = "more" if shares.vote > shares.kernel else "fewer"
    return (
        f"Of the {whole_text(result.budget)} examples that the kernel chose, "
        f"{kernel} teach a skill that the domain needs. The embedding vote alone, "
        f"which costs less, would have found {than}: {vote}. Random choice found "
        f"{chance}; the whole pool holds {pool}."
    )


def kernels_finding(kernels: Sequence[KernelFidelity]) -> str:
    """The best and the worst order among the cheap kernels; the exact one is first."""
    exact, *others = kernels
    cheap = [kernel for kernel in others if kernel.cost <= CHEAP * exact.cost]
    if not cheap:
        return "No kernel of this run costs half as much as the exact one or less."
    cheap.sort(key=lambda kernel: -kernel.mean_score.spearman.value)
    best, worst = cheap[0], cheap[-1]
    sentence = (
        f"Of the kernels at half the exact price or less, {best.name} orders pool "
        f"examples most like the exact kernel (Spearman {_spearman(best)}, "
        f"{count_text(best.cost)} forward passes against "
        f"{count_text(exact.cost)})"
    )
    if len(cheap) == 1:
        return f"{sentence}."
    sentence += f" and {worst.name} least ({_spearman(worst)})"
    if worst.mean_score.spearman.high < best.mean_score.spearman.low:
        return f"{sentence}."
    return f"{sentence}; their intervals overlap, so this run does not settle it."


def accuracy_text(estimate: Estimate) -> str:
    """Mean and interval, the interval cut at 0 and 100: `61.2% [55.0, 67.4]`."""
    low, high = (min(max(end, 0.0), 1.0) for end in (estimate.low, estimate.high))
    return f"{percent_text(estimate.value)} [{100 * low:.1f}, {100 * high:.1f}]"


def points_text(difference: Estimate) -> str:
    """A difference of accuracies in percentage points: `+9.2 [+4.1, +14.3]`."""
    ends = map(signed_points, (difference.low, difference.high))
    return f"{signed_points(difference.value)} [{', '.join(ends)}]"


def signed_points(difference: float) -> str:
    """One digit and a sign, `0` only for an exact zero: `+9.2`, `−0.02`, `0`."""
    points = 100 * difference
    if points == 0:
        return "0"
    text = f"{points:+.1f}" if abs(points) >= 0.05 else f"{points:+.1g}"
    return text.replace("-", "−")


def _against(difference: OverSeeds, rival: str) -> str:
    value, interval = points_text(difference).split(" ", 1)
    points = f"{value} percentage points, 95% interval {interval}"
    if difference.low > 0:
        return f"The chosen examples beat {rival}: {points}."
    if difference.high < 0:
        return f"The chosen examples are worse than {rival}: {points}."
    num_seeds = len(difference.values)
    return (
        f"The chosen examples do not beat {rival}: {points}. Zero lies in it, so "
        f"{num_seeds} seeds do not settle the question."
    )


def _warnings(result: DemoResult) -> list[str]:
    """Arms below the model as it is; chosen examples not above it or guessing."""
    arms, base = result.accuracy, result.base_accuracy
    found = [
        f"Fine-tuning on {words} left the model worse than it was: "
        f"{accuracy_text(arms[name])} right against {percent_text(base)}."
        for name, words in ARMS.items()
        if arms[name].high < base
    ]
    selected = arms["selected + domain"]
    floor = max(base, CHANCE)
    if selected.low <= floor and selected.high >= base:
        what = "the model as it is" if base > CHANCE else "guessing"
        found.append(
            f"With the chosen examples {accuracy_text(selected)} of the answers are "
            f"right, not reliably more than the {percent_text(floor)} of {what}."
        )
    return found


def _spearman(kernel: KernelFidelity) -> str:
    return interval_text(kernel.mean_score.spearman)


def _listed(names: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, last = names
    return f"{', '.join(first)} and {last}" if first else last
