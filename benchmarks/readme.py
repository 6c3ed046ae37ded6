"""Puts tables of results files into the README: `python -m benchmarks.readme`.

A table stands between `<!-- table: NAME -->` and `<!-- end of table -->` and is written
from `benchmarks/results/` alone; a test fails when the two differ.
"""

import json
import re
from pathlib import Path

from ntkjax.reports.numbers import error_text, interval_text, ratio_text, share_text


ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
_MARK = re.compile(
    r"<!-- table: (?P<name>[^>]*?) -->\n.*?<!-- end of table -->\n", re.DOTALL
)


def main() -> None:
    path = ROOT / "README.md"
    path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")


def rewritten(text: str) -> str:
    """The README with every table made anew."""

    def table(match: re.Match) -> str:
        name, *arguments = match["name"].split()
        body = TABLES[name](*arguments)
        return f"<!-- table: {match['name']} -->\n\n{body}\n\n<!-- end of table -->\n"

    return _MARK.sub(table, text)


def read(name: str) -> dict:
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def real_models(model: str) -> str:
    """Rows of `ntkjax fidelity` on one real model."""
    result = read("real_models")
    found = result[model]
    rows = [
        "| kernel | cost | cross-term ratio | error after factor | Spearman [95%] "
        "| Kendall | top-10 overlap |",
        "|---|---:|---:|---:|---:|---:|---:|",
    ]
    for name, row in found["kernels"].items():
        cells = (
            name,
            f"{row['cost']:.0f}",
            ratio_text(row["cross_term_ratio"]),
            error_text(row["relative_error_after_factor"]),
            interval_text(row["spearman"]),
            share_text(row["kendall"]["value"]),
            share_text(row["top_overlap"]["value"]),
        )
        rows.append(f"| {' | '.join(cells)} |")
    rows += [
        "",
        f"({found['seconds']:.0f} s in all on {result['device']}, compilation "
        "included; `benchmarks/results/real_models.json`.)",
    ]
    return "\n".join(rows)


def verbs() -> str:
    """What the verbs and sketches cost."""
    result = read("verbs")
    head, directional = result["head"], result["directional"]
    sketch, memory = result["sketch"], result["memory"]
    examples = " × ".join(map(str, head["examples"]))
    speedup = sketch["speedup"]
    lines = [
        "| what | measured |",
        "|---|---|",
        f"| `directional` along one direction, {directional['weights'] / 1e6:.0f}M "
        f"weights, {directional['batch']} × {directional['tokens']} tokens | "
        f"{directional['directions_1']['ratio']:.1f} forward passes |",
        f"| the same along four | {directional['directions_4']['ratio']:.1f} forward "
        "passes |",
        f"| exact kernel through the head against the full vocabulary, "
        f"{head['model']}, {examples} examples | {head['ratio']:.0f} times faster, "
        f"{head['relative_difference']:.0e} apart |",
        f"| shift sketch against dense signs, {sketch['timed']['P']:,} → "
        f"{sketch['timed']['k']:,} numbers | {speedup:.0f} times faster, mean squared "
        f"error {sketch['mean_error_ratio']:.2f} times as large |",
        f"| peak memory of a {' × '.join(map(str, memory['examples']))} gram with "
        f"{memory['probes']} probes on {memory['model']} | {memory['peak_mib']:,.0f} "
        "MiB |",
        "",
        f"(On {result['device']}; `benchmarks/results/verbs.json`.)",
    ]
    return "\n".join(lines)


TABLES = {"real_models": real_models, "verbs": verbs}


if __name__ == "__main__":
    main()
