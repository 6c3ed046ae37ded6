"""The figures of a demo's page, each an `<svg>` element as a string.

Orange stands for the chosen examples, blue for what they are held against.
"""

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ntkjax.reports.demo.findings import CHANCE, accuracy_text
from ntkjax.reports.demo.result import DemoResult
from ntkjax.reports.numbers import percent_text
from ntkjax.reports.svg import BLUE, INK, ORANGE, draw


def accuracy_figure(result: DemoResult) -> str:
    """Accuracy per arm: mean and interval above, the single seeds below.

    The first row is the model without fine-tuning; a dashed line marks guessing.
    """
    arms = result.accuracy
    base = result.base_accuracy

    def paint(axes: Axes) -> None:
        axes.axvline(CHANCE, color=INK, alpha=0.5, linewidth=0.8, linestyle="--")
        axes.annotate(
            f"guessing {CHANCE:.0%}",
            (CHANCE, 1),
            xytext=(0, 2),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="center",
        )
        axes.plot(base, 0, "D", color=INK, markersize=4.5)
        for row, (name, arm) in enumerate(arms.items(), start=1):
            color = ORANGE if name.startswith("selected") else BLUE
            ends = [max(arm.low, 0), min(arm.high, 1)]
            axes.plot(ends, [row, row], color=color, linewidth=1.8)
            axes.plot(arm.value, row, "o", color=color, markersize=6)
            below = [row + 0.27] * len(arm.values)
            axes.plot(arm.values, below, "o", color=color, ms=3.5, alpha=0.6, mew=0)
        _rows(axes, ["as it is", *arms])
        axes.set_xlim(*_limits(result))
        axes.grid(axis="x", color=INK, alpha=0.15, linewidth=0.6)
        axes.set_xlabel("questions answered right")
        _percent_axis(axes)

    described = ", ".join(f"{name} {accuracy_text(arm)}" for name, arm in arms.items())
    description = f"Accuracy: without fine-tuning {percent_text(base)}, {described}."
    return draw(4.6, 2.4, paint, description)


def shares_figure(result: DemoResult) -> str:
    """Share of needed skills among the chosen, a bar each; the pool's is dashed."""
    shares = result.shares
    bars = [
        ("kernel", shares.kernel, ORANGE),
        ("vote alone", shares.vote, BLUE),
        ("random", shares.random, BLUE),
    ]

    def paint(axes: Axes) -> None:
        for row, (_, share, color) in enumerate(bars):
            axes.barh(row, share, height=0.62, color=color)
            axes.annotate(
                percent_text(share),
                (share, row),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
            )
        axes.axvline(shares.pool, color=INK, alpha=0.7, linewidth=0.8, linestyle="--")
        _rows(axes, [name for name, _, _ in bars])
        # Room on the right for the number of the longest bar.
        axes.set_xlim(0, 1.2 * max(*(share for _, share, _ in bars), shares.pool))
        axes.set_xlabel("needed skills among the chosen (dashed: in the pool)")
        _percent_axis(axes)

    described = ", ".join(f"{name} {percent_text(share)}" for name, share, _ in bars)
    pool = percent_text(shares.pool)
    description = f"Share of needed skills: {described}; in the pool {pool}."
    return draw(4.6, 1.6, paint, description)


def _limits(result: DemoResult) -> tuple[float, float]:
    """All marks and a margin, within 0 and 1 as far as dots allow."""
    marks = [CHANCE, result.base_accuracy]
    for arm in result.accuracy.values():
        marks += [arm.low, arm.high, *arm.values]
    return max(min(marks) - 0.04, -0.02), min(max(marks) + 0.04, 1.02)


def _rows(axes: Axes, names: list[str]) -> None:
    axes.set_yticks(range(len(names)))
    axes.set_yticklabels(names, parse_math=False)
    axes.set_ylim(len(names) - 0.45, -0.55)
    axes.tick_params(axis="y", length=0, labelsize=8)
    axes.spines["left"].set_visible(False)


def _percent_axis(axes: Axes) -> None:
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:.0%}"))
