"""The figure of `benchmarks.ranking`."""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.drawing import COLORS, MARKERS, draw_svg
from ntkjax.reports.svg import INK


def figure(result: dict) -> str:
    """Left: kernels at the base point, by cost. Right: the cheapest ones everywhere."""
    models = list(dict.fromkeys(entry["model"] for entry in result["summary"]))

    def paint(figure: Figure) -> None:
        left, *rest = figure.subplots(1, 1 + len(models))
        _kernels(left, [e for e in result["summary"] if e["factor"] == "base"])
        for axes, model in zip(rest, models, strict=True):
            _factors(axes, [e for e in result["summary"] if e["model"] == model])
            axes.set_title(f"{model}, one backward pass", loc="left")

    return draw_svg(3.4 * (1 + len(models)), 4.6, "ranking", paint)


def _kernels(axes: Axes, entries: list[dict]) -> None:
    """Every kernel at the base point, cheapest first, one marker per model."""
    order = lambda kernel: ("·" in kernel["name"], kernel["cost"])
    names = [kernel["name"] for kernel in sorted(entries[0]["kernels"], key=order)]
    labels = [f"{name} ({_costs(entries, name)})" for name in names]
    for index, entry in enumerate(entries):
        shift = 0.3 * (index - (len(entries) - 1) / 2)
        for kernel in entry["kernels"]:
            row = names.index(kernel["name"]) + shift
            _mark(axes, kernel, row, index)
        axes.plot([], [], MARKERS[index], color=COLORS[index], label=entry["model"])
    _finish(axes, labels)
    axes.set_title("Base point: kernel (cost in forward passes)", loc="left")


def _costs(entries: list[dict], name: str) -> str:
    """The cost of a kernel, one number for each model where they differ."""
    found = [k["cost"] for e in entries for k in e["kernels"] if k["name"] == name]
    return "/".join(f"{cost:.0f}" for cost in dict.fromkeys(found))


def _factors(axes: Axes, entries: list[dict]) -> None:
    """The kernels of the lowest price at every point of one model."""
    first = entries[0]["kernels"]
    cheapest = min(kernel["cost"] for kernel in first)
    names = [k["name"] for k in first if k["cost"] == cheapest and "·" not in k["name"]]
    for index, name in enumerate(names):
        shift = 0.2 * (index - (len(names) - 1) / 2)
        for row, entry in enumerate(entries):
            kernel = next(k for k in entry["kernels"] if k["name"] == name)
            _mark(axes, kernel, row + shift, index)
        axes.plot([], [], MARKERS[index], color=COLORS[index], label=name)
    _finish(axes, [entry["level"] for entry in entries])


def _mark(axes: Axes, kernel: dict, row: float, index: int) -> None:
    found = kernel["spearman"]
    color = COLORS[index]
    axes.plot([found["low"], found["high"]], [row, row], color=color, linewidth=0.9)
    axes.plot(found["mean"], row, MARKERS[index], color=color, markersize=4.5)


def _finish(axes: Axes, labels: list[str]) -> None:
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=INK, alpha=0.12, linewidth=0.6)
    axes.axvline(1, color=INK, alpha=0.4, linewidth=0.8, linestyle=":")
    axes.set_xlabel("Spearman with the exact mean scores")
    axes.legend(
        frameon=False,
        fontsize=7,
        ncols=2,
        loc="upper center",
        bbox_to_anchor=(0.5, -0.12),
    )
