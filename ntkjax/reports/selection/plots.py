"""The figures of a selection report, each an `<svg>` element as a string.

Blue stands for all, orange for the chosen. No text of the pool is drawn.
"""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from ntkjax.reports.fidelity.plots import MANY_POINTS
from ntkjax.reports.numbers import count_text
from ntkjax.reports.svg import BLUE, ORANGE, draw
from ntkjax.selection.result import (
    LengthSample,
    ScoresHistogram,
    StepLoss,
    VotesHistogram,
)


STEEP = 20
"""Counts are drawn on a logarithmic axis if all outgrow the chosen so many times."""


def votes_figure(votes: VotesHistogram) -> str:
    """Histogram of the votes: the pool, and the chosen in front of it."""
    counts = votes.pool, votes.selected
    return _histogram(votes.edges, *counts, "votes of target examples", "votes")


def scores_figure(scores: ScoresHistogram) -> str:
    """Histogram of the scores: all that were scored, and the chosen in front."""
    counts = scores.scored, scores.selected
    return _histogram(scores.edges, *counts, "score", "scores")


def length_figure(sample: LengthSample) -> str:
    """Score over tokens, one point per example of the sample."""
    tokens, scores = np.array(sample.tokens), np.array(sample.score)
    selected = np.array(sample.selected, bool)

    def paint(axes: Axes) -> None:
        for rows, color in ((~selected, BLUE), (selected, ORANGE)):
            axes.scatter(
                tokens[rows],
                scores[rows],
                s=7,
                color=color,
                alpha=0.6,
                linewidths=0,
                rasterized=len(tokens) > MANY_POINTS,
            )
        axes.set_xlabel("tokens")
        axes.set_ylabel("score")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(5))
        axes.yaxis.set_major_formatter(_score_ticks(axes.yaxis))

    description = f"Score over tokens of {len(tokens)} examples."
    return draw(4.4, 2.8, paint, description)


def loss_figure(history: Sequence[StepLoss]) -> str:
    """Loss of the warm-up over its steps."""
    steps = [point.step for point in history]
    losses = [point.loss for point in history]

    def paint(axes: Axes) -> None:
        axes.plot(steps, losses, color=BLUE, linewidth=1.2, marker="o", markersize=2)
        axes.set_xlabel("step")
        axes.set_ylabel("loss")
        axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        axes.yaxis.set_major_locator(MaxNLocator(4))

    ends = f"from {losses[0]:.3g} to {losses[-1]:.3g}"
    description = f"Loss over {len(steps)} points, {ends}."
    return draw(4.4, 2.2, paint, description)


def _histogram(
    edges: Sequence[float | int],
    everyone: Sequence[int],
    chosen: Sequence[int],
    label: str,
    what: str,
) -> str:
    lefts, widths = np.array(edges[:-1]), np.diff(edges)
    is_steep = max(everyone) > STEEP * max(max(chosen), 1)

    def paint(axes: Axes) -> None:
        for counts, color in ((everyone, BLUE), (chosen, ORANGE)):
            axes.bar(
                lefts, counts, widths * 0.92, align="edge", color=color, log=is_steep
            )
        if is_steep:
            axes.set_ylim(bottom=0.6)
            axes.yaxis.set_major_locator(LogLocator(numticks=5))
            axes.yaxis.set_minor_formatter(NullFormatter())
        else:
            axes.yaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: count_text(y)))
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(_score_ticks(axes.xaxis))
        axes.set_xlabel(label)
        axes.set_ylabel("examples (logarithmic)" if is_steep else "examples")

    total, part = sum(everyone), sum(chosen)
    description = f"Histogram of {what}: {total} examples, {part} of them chosen."
    return draw(4.4, 2.4, paint, description)


def _score_ticks(axis: Axis) -> FuncFormatter:
    """Numbers with four digits, or so many that they tell neighboring ticks apart."""

    def text(value: float, _: int) -> str:
        low, high = axis.get_view_interval()
        size = max(abs(low), abs(high)) / ((high - low) or 1)
        digits = 4 if size <= 100 else min(math.ceil(math.log10(size)) + 2, 17)
        sign = "−" if value < 0 else ""
        return f"{sign}{abs(value):.{digits}g}"

    return FuncFormatter(text)
