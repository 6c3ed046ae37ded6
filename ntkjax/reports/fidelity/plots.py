"""The figures of a fidelity report, each an `<svg>` element as a string.

Names of kernels are drawn as they are (`parse_math=False`), never read as formulas.
"""

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from scipy.optimize import isotonic_regression

from ntkjax.fidelity.cosines import OutputCosines
from ntkjax.fidelity.result import FidelityResult
from ntkjax.reports.numbers import count_text, error_text, interval_text
from ntkjax.reports.svg import BLUE, GREEN, INK, ORANGE, PURPLE, draw


MANY_POINTS = 500
"""More points than this are embedded as a picture, which keeps the page small."""


def scores_figure(
    name: str,
    approx: Float[np.ndarray, " m"],
    exact: Float[np.ndarray, " m"],
    factor: float,
) -> str:
    """Mean scores of the candidates, one kernel: approximate over exact.

    The line is approx = exact / a*: where all points would lie if only the factor were
    wrong. It is left out if a* is 0.
    """

    def paint(axes: Axes) -> None:
        axes.scatter(
            exact,
            approx,
            s=9,
            color=BLUE,
            alpha=0.7,
            linewidths=0,
            rasterized=len(exact) > MANY_POINTS,
        )
        if factor != 0:
            ends = np.array([exact.min(), exact.max()])
            axes.plot(ends, ends / factor, color=ORANGE, linewidth=1.2)
        axes.set_title(name, parse_math=False, weight="bold")
        axes.set_xlabel("exact")
        axes.set_ylabel("approximate")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(3))
            axis.set_major_formatter(FuncFormatter(_tick))

    description = f"Mean scores of {len(exact)} candidates: {name} against exact."
    return draw(2.1, 2.0, paint, description)


def cosine_figure(cosines: OutputCosines) -> str:
    """Histogram of the signed cosines of outputs' gradients, with their mean."""
    edges = np.array(cosines.edges)
    shares = np.array(cosines.histogram) / cosines.num_pairs
    mean = cosines.signed.mean

    def paint(axes: Axes) -> None:
        axes.bar(edges[:-1], shares, np.diff(edges) * 0.9, align="edge", color=BLUE)
        axes.axvline(0, color=INK, linewidth=0.6)
        axes.axvline(mean.value, color=ORANGE, linewidth=1.5)
        left = mean.value > 0
        axes.annotate(
            f"mean {mean.value:.3f}",
            (mean.value, 1),
            xytext=(-4 if left else 4, -2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right" if left else "left",
            va="top",
        )
        axes.set_xlim(-1, 1)
        axes.set_ylim(0, shares.max() * 1.25)
        axes.set_xlabel("cosine between the gradients of two outputs")
        axes.set_ylabel("share of pairs")
        axes.yaxis.set_major_locator(MaxNLocator(4))

    description = f"Histogram of {cosines.num_pairs} cosines, mean {mean.value:.3f}."
    return draw(4.4, 2.6, paint, description)


def cost_figure(result: FidelityResult) -> str:
    """Error after the best factor over cost, both logarithmic, with the names.

    A dashed line marks the cost of the exact kernel, whose error of zero has no place
    on a logarithmic axis; approximations of zero error are left out for that reason.
    """
    height = 3.6
    exact, *kernels = result.kernels
    # Open squares, since a sketch often lies on top of its kernel.
    groups = [(kernels, BLUE, "o", BLUE), (result.sketches, GREEN, "s", "none")]

    def paint(axes: Axes) -> None:
        axes.set_xscale("log")
        axes.set_yscale("log")
        labels = []
        for group, color, marker, fill in groups:
            points = [
                (k.cost, k.cross_terms.relative_error, k.name)
                for k in group
                if k.cross_terms.relative_error > 0
            ]
            for cost, error, _ in points:
                axes.plot(cost, error, marker, color=color, markersize=5, mfc=fill)
            labels += points
        axes.axvline(exact.cost, color=INK, alpha=0.4, linewidth=0.8, linestyle="--")
        costs = [cost for cost, _, _ in labels] + [exact.cost]
        # Room on the right for the labels of the most expensive kernels.
        axes.set_xlim(min(costs) / 1.4, max(costs) * 4.5)
        axes.set_xlabel("forward passes per example (dashed: exact kernel)")
        axes.set_ylabel("relative error after the best factor")
        axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: count_text(x)))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda y, _: error_text(y)))
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_minor_formatter(NullFormatter())
        _label_points(axes, labels, 0.85 * height)

    description = (
        "Relative error after the best factor against cost, one point per kernel."
    )
    return draw(4.6, height, paint, description)


def ranking_figure(result: FidelityResult) -> str:
    """Spearman of the mean scores with its interval, one row per approximate kernel."""
    rows = [(kernel, BLUE) for kernel in result.kernels[1:]]
    rows += [(kernel, GREEN) for kernel in result.sketches]
    if result.stability:
        rows.append((result.stability, PURPLE))

    def paint(axes: Axes) -> None:
        for row, (kernel, color) in enumerate(rows):
            spearman = kernel.mean_score.spearman
            axes.plot([spearman.low, spearman.high], [row, row], color=color)
            axes.plot(spearman.value, row, "o", color=color, markersize=5)
        axes.set_yticks(range(len(rows)))
        axes.set_yticklabels([k.name for k, _ in rows], parse_math=False)
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0, labelsize=8)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=INK, alpha=0.15, linewidth=0.6)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_xlabel("Spearman with the exact mean scores")

    described = ", ".join(
        f"{k.name} {interval_text(k.mean_score.spearman)}" for k, _ in rows
    )
    height = 0.7 + 0.21 * len(rows)
    return draw(4.6, height, paint, f"Spearman: {described}.")


def _label_points(
    axes: Axes, points: list[tuple[float, float, str]], height: float
) -> None:
    """Names to the right of (x, y), moved up or down until none of a column overlap.

    `height` is that of the axes in inches.
    """
    step = 10.0  # points between the middles of two labels
    low, high = axes.get_ylim()
    per_point = np.log(high / low) / (height * 72)
    for cost in sorted({cost for cost, _, _ in points}):
        column = sorted((error, name) for x, error, name in points if x == cost)
        wanted = np.array([np.log(error / low) / per_point for error, _ in column])
        for (error, name), at, place in zip(
            column, wanted, _spread(wanted, step), strict=True
        ):
            axes.annotate(
                name,
                (cost, error),
                xytext=(9, place - at),
                textcoords="offset points",
                va="center",
                parse_math=False,
                arrowprops={
                    "arrowstyle": "-",
                    "linewidth": 0.4,
                    "color": INK,
                    "shrinkA": 0,
                    "shrinkB": 3,
                },
            )


def _spread(places: np.ndarray, step: float) -> np.ndarray:
    """Rising places at least `step` apart, moved as little as the mean square allows.

    Subtracting i·step turns "at least a step apart" into "not falling"; the nearest
    sequence that does not fall is the isotonic regression.
    """
    offsets = step * np.arange(len(places))
    return isotonic_regression(places - offsets).x + offsets


def _tick(value: float, _: object) -> str:
    return f"{value:.3g}".replace("e+0", "e").replace("e-0", "e-").replace("-", "−")
