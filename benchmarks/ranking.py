"""Does the ranking of candidates survive a cheap kernel?

    uv run python -m benchmarks.ranking [--quick] [--out DIR]

How to read the table. Each line is a kernel at one point: its cost in forward passes
per example, and how far the order of the candidates by mean score agrees with the exact
kernel's: Spearman (mean over seeds, with the hull of the seeds' 95% intervals),
Kendall, and the overlap of the top N. Compare lines of equal cost. Points other than
the base point have a single seed on the larger model: compare them with the same seed
of the base point in `rows`, since seeds of the base point differ as much as points do.

What the results in `benchmarks/results` show. No kernel of one backward pass is best
everywhere. On the smaller model spectral_1 leads on average, the summed kernel follows
and a single random probe is worst. On the larger one a random probe leads, better still
when centered; summed and spectral_1, which agree with each other there, fall furthest,
though not at every point. With sixteen backward passes the order is nearly the exact
one, deflated_4_12 being the best of these on average. Sketching costs the exact order
little at the largest dimension and clearly more at the smallest; a sketch of the summed
kernel adds its own error to that of the kernel.
"""

import sys
from dataclasses import dataclass

from benchmarks.command import Benchmark, main, say
from benchmarks.ranking_figure import figure
from benchmarks.subjects import Subject
from benchmarks.sweep import Sizes, by_point, level, measure, over_seeds, runs
from ntkjax.math.ranking import chance_overlap


MEASURES = ("spearman", "kendall", "top_overlap")


@dataclass(frozen=True)
class Settings:
    """What is ranked by what.

    Attributes:
        sweep: Sizes of the sweep.
        kernels: The cheap kernels, from one backward pass to seventeen.
    """

    sweep: Sizes
    kernels: tuple[str, ...]


def settings(quick: bool) -> Settings:
    """The sizes of the published results, or tiny ones."""
    if quick:
        sizes = Sizes(3, 6, 8, 20, 2, 1, {"random": 1}, (64,), ("b",))
        return Settings(sizes, ("summed", "spectral_1", "random_1"))
    return Settings(
        Sizes(8, 24, 32, 400, 6, 3, {"stories260k": 2, "base4m": 1}, (256, 1024, 4096)),
        (
            "summed",
            "spectral_1",
            "random_1",
            "centered_random_1",
            "spectral_4",
            "random_4",
            "spectral_16",
            "random_16",
            "deflated_4_12",
        ),
    )


def measure_all(subjects: list[Subject], settings: Settings) -> dict:
    """Every point of the sweep, and its summary over seeds."""
    rows = []
    sizes = settings.sweep
    for subject in subjects:
        for factor, point, seed in runs(subject.name, sizes):
            found = measure(subject, factor, point, seed, sizes, settings.kernels)
            rows.append(found.row)
            say(f"{subject.name}: {level(found.row)}, seed {seed}")
    return {
        "chance_overlap": chance_overlap(sizes.top, sizes.candidates),
        "summary": [_entry(**group) for group in by_point(rows)],
        "rows": rows,
    }


def _entry(model: str, factor: str, level: str, rows: list[dict]) -> dict:
    """One model and point: agreement with the exact order, over seeds."""
    return {
        "model": model,
        "factor": factor,
        "level": level,
        "seeds": len(rows),
        "kernels": [
            {
                "name": kernel["name"],
                "cost": kernel["cost"],
                **{name: _agreement(rows, index, name) for name in MEASURES},
            }
            for index, kernel in enumerate(rows[0]["kernels"])
        ],
    }


def _agreement(rows: list[dict], index: int, measure: str) -> dict:
    """Of mean scores: over seeds, and the hull of the seeds' 95% intervals."""
    found = [row["kernels"][index]["mean_score"][measure] for row in rows]
    return {
        **over_seeds([estimate["value"] for estimate in found]),
        "low": min(estimate["low"] for estimate in found),
        "high": max(estimate["high"] for estimate in found),
    }


def table(result: dict) -> str:
    """Spearman, Kendall and overlap at every point."""
    chance = result["chance_overlap"]
    lines = [f"order of mean scores: mean over seeds (overlap by chance {chance:.2f})"]
    lines.append(
        f"{'':<26}{'kernel':<22}{'cost':>4}  Spearman [95%]       Kendall  top"
    )
    for entry in result["summary"]:
        for kernel in entry["kernels"]:
            s = kernel["spearman"]
            place = f"{entry['model']:>12} {entry['level']:<13}"
            shown = f"{s['mean']:5.2f} [{s['low']:5.2f}, {s['high']:5.2f}]"
            lines.append(
                f"{place}{kernel['name']:<22}{kernel['cost']:4.0f}  {shown}"
                f"{kernel['kendall']['mean']:9.2f}{kernel['top_overlap']['mean']:6.2f}"
            )
    return "\n".join(lines)


BENCHMARK = Benchmark("ranking", settings, measure_all, figure, table)


if __name__ == "__main__":
    sys.exit(main(BENCHMARK))
