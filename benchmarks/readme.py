"""Puts tables of results files into README and docs: `python -m benchmarks.readme`.

A table stands between `<!-- table: NAME -->` and `<!-- end of table -->` and is written
from `benchmarks/results/` alone; a test fails when the two differ.
"""

import io
import json
import re
from pathlib import Path

from rich.console import Console

from benchmarks.readme_methods import (
    dualsft,
    dualsft_masks,
    methods,
    points,
    real_methods,
)
from benchmarks.readme_models import tested_models
from ntkjax.math.bootstrap import Estimate
from ntkjax.reports.demo.result import DemoResult
from ntkjax.reports.demo.tables import demo_summary
from ntkjax.reports.numbers import error_text, interval_text, ratio_text, share_text
from ntkjax.store.results import result_from


ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"
PAGES = (
    ROOT / "README.md",
    ROOT / "docs" / "methods.md",
    ROOT / "docs" / "architecture.md",
)
_MARK = re.compile(
    r"<!-- table: (?P<name>[^>]*?) -->\n.*?<!-- end of table -->\n", re.DOTALL
)


def main() -> None:
    for path in PAGES:
        path.write_text(rewritten(path.read_text(encoding="utf-8")), encoding="utf-8")


def rewritten(text: str) -> str:
    """A page with every table made anew."""

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
            interval_text(Estimate(**row["spearman"])),
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


def demo() -> str:
    """What `ntkjax demo` prints, in 80 columns."""
    result = read("demo")
    console = Console(width=80, record=True, file=io.StringIO(), legacy_windows=False)
    # The file names versions and device once, for the whole of it.
    known = {name: result[name] for name in ("versions", "device")}
    found = {"schema": DemoResult.schema, **result["demo"], **known}
    console.print(demo_summary(result_from(found, DemoResult)))
    text = "\n".join(line.rstrip() for line in console.export_text().splitlines())
    return (
        f"```text\n{text.strip()}\n```\n\n({result['seconds']:.0f} s and "
        f"{result['peak_mib']:,} MiB on {result['device']}, compilation included; "
        "`benchmarks/results/demo.json`.)"
    )


def selection() -> str:
    """Shares of needed skills and accuracies in the small world."""
    result = read("selection")
    rows = [
        "| domain | chosen by | needed skills [95%] | accuracy after [95%] |",
        "|---|---|---:|---:|",
    ]
    for domain, found in result["domains"].items():
        for name, accuracy in found["accuracy"].items():
            share = found["share"].get(name)
            shown = "" if share is None else points(share)
            rows.append(f"| {domain} | {name} | {shown} | {points(accuracy)} |")
    settings = result["settings"]
    rows += [
        "",
        f"(Percent, means over {len(settings['seeds'])} worlds; {settings['budget']} "
        "examples chosen; `benchmarks/results/selection.json`.)",
    ]
    return "\n".join(rows)


def real_run() -> str:
    """base4m on financial news: what selection costs, and what it gives."""
    result = read("real_run")
    select, fourfold = result["select"], result["fourfold_pool"]
    rows = [
        "| fine-tuned on | accuracy [95%] | NLL per token [95%] |",
        "|---|---:|---:|",
    ]
    for name, arm in result["arms"].items():
        overall = arm["overall"]
        nll = interval_text(Estimate(**overall["nll"]))
        rows.append(f"| {name} | {points(overall['accuracy'])} | {nll} |")
    rows += [
        "",
        f"(`select` took {select['seconds']:.0f} s, {select['peak_mib']:,} MiB; with "
        f"the pool four times over {fourfold['seconds_ratio']:.1f} times the seconds "
        f"and {fourfold['peak_ratio']:.2f} times the memory. On {result['device']}; "
        "`benchmarks/results/real_run.json`.)",
    ]
    return "\n".join(rows)


def processes() -> str:
    """What two processes bring, and what kills of several leave behind."""
    rates, kills = read("two_processes"), read("process_kills")
    of_all = sum(kill["whom"] is None for kill in kills["kills"])
    rows = [
        "| several processes on one machine | measured |",
        "|---|---|",
        f"| examples per second of two processes on a core each | "
        f"{rates['ratio_of_medians']:.2f} times those of one |",
        f"| {len(kills['kills'])} kills of one of up to four processes, or of all "
        f"({of_all} times), each run then finished by 1 to 4 | "
        f"{len(kills['problems'])} half-written shards or runs that chose other "
        f"examples, scores {error_text(kills['largest_difference'])} apart at most |",
        "| the others had ended after a kill | within "
        f"{kills['longest_until_ended']:.0f} s |",
        "",
        "(`benchmarks/results/two_processes.json`, `process_kills.json`.)",
    ]
    return "\n".join(rows)


TABLES = {
    "demo": demo,
    "dualsft": lambda: dualsft(read("dualsft")),
    "dualsft_masks": lambda: dualsft_masks(read("dualsft_masks")),
    "processes": processes,
    "methods": lambda: methods(read("methods")),
    "real_methods": lambda: real_methods(read("real_methods")),
    "real_models": real_models,
    "real_run": real_run,
    "selection": selection,
    "tested_models": lambda: tested_models(
        read("tested_models"), read("peft_roundtrip")
    ),
    "verbs": verbs,
}


if __name__ == "__main__":
    main()
