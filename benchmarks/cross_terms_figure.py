"""The figure of `benchmarks.cross_terms`."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, ScalarFormatter

from benchmarks.drawing import COLORS, MARKERS, draw_svg
from ntkjax.reports.svg import INK


def figure(result: dict) -> str:
    """Left: the ratio against the width. Right: ratios of the measured models."""

    def paint(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, width_ratios=(1, 1.25))
        _law(left, result["law"]["cells"])
        _models(right, result["summary"])

    return draw_svg(9.0, 4.4, "cross_terms", paint)


def _law(axes: Axes, cells: list[dict]) -> None:
    """One line per shared strength, at the largest vocabulary and B = 0."""
    vocab_size = max(cell["V"] for cell in cells)
    chosen = [c for c in cells if c["V"] == vocab_size]
    strengths = sorted({c["strength"] for c in chosen}, reverse=True)
    for index, strength in enumerate(strengths):
        line = _line(chosen, "decoder, B = 0", strength)
        axes.plot(
            *line,
            color=COLORS[index],
            marker=MARKERS[index],
            markersize=4.5,
            linewidth=1.2,
            label=f"λ = {strength:g}",
        )
    isotropic = _line(chosen, "isotropic", 0.0)
    axes.plot(
        *isotropic,
        color=INK,
        marker="x",
        markersize=4.5,
        linewidth=0.8,
        alpha=0.7,
        label="λ = 0, B = I",
    )
    widths = isotropic[0]
    law = [isotropic[1][0] * (d / widths[0]) ** -0.5 for d in widths]
    axes.plot(widths, law, "--", color=INK, linewidth=1, label="∝ d^(−1/2)")
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.xaxis.set_major_locator(FixedLocator(widths))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.set_xlabel("width d")
    axes.set_ylabel("|summed − exact| / exact, mean")
    axes.set_title(f"Random decoders, V = {vocab_size}, heads sharing λ", loc="left")
    low, high = axes.get_ylim()
    axes.set_ylim(low, high * (high / low) ** 0.3)
    axes.legend(frameon=False, ncols=2, loc="upper center", fontsize=7)


def _line(cells: list[dict], body: str, strength: float) -> tuple[list, list]:
    line = [c for c in cells if c["body"] == body and c["strength"] == strength]
    return [c["width"] for c in line], [c["ratio"] for c in line]


def _models(axes: Axes, summary: list[dict]) -> None:
    """Raw ratio (filled) and error after the best factor (open), factor by factor."""
    levels = list(dict.fromkeys(entry["level"] for entry in summary))
    models = list(dict.fromkeys(entry["model"] for entry in summary))
    for index, model in enumerate(models):
        shift = 0.3 * (index - (len(models) - 1) / 2)
        color, marker = COLORS[index], MARKERS[index]
        for entry in (e for e in summary if e["model"] == model):
            row = levels.index(entry["level"]) + shift
            errors = entry["kernels"]["summed"]
            for what, fill in (("median_ratio_pairs", color), ("relative_error", "w")):
                number = errors[what]
                axes.plot([number["min"], number["max"]], [row, row], color=color)
                axes.plot(
                    number["mean"], row, marker, color=color, mfc=fill, markersize=5
                )
        axes.plot([], [], marker, color=color, label=f"{model}, raw (median of pairs)")
        axes.plot([], [], marker, color=color, mfc="w", label=f"{model}, best factor")
    axes.axvline(1, color=INK, alpha=0.4, linewidth=0.8, linestyle=":")
    axes.set_xscale("log")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_yticks(range(len(levels)), levels)
    axes.set_ylim(len(levels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
    axes.set_xlabel("relative error of the summed kernel (1: as large as exact)")
    axes.set_title("One factor varied at a time", loc="left")
    axes.legend(
        frameon=False,
        fontsize=7,
        ncols=2,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.13),
    )
