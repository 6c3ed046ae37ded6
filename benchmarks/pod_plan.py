"""What does a selection cost on a pod? `ntkjax plan` on four of them, as a page.

Reads nothing but `examples/configs/llama-3-8b`; the page is `docs/pod-plan.md`, whose
tables stand between marks. Numbers are plans, not measurements.

    uv run python -m benchmarks.pod_plan            # writes the tables anew
    uv run python -m benchmarks.pod_plan --check    # fails where they are stale
"""

import sys
from dataclasses import replace
from pathlib import Path

from ntkjax.commands.plan.changes import smallest_change
from ntkjax.commands.plan.costs.hardware import named_hardware
from ntkjax.commands.plan.plan import Plan, make_plan
from ntkjax.commands.plan.run import read_selection
from ntkjax.commands.plan.selection import Selection
from ntkjax.commands.plan.settings import PlanSettings
from ntkjax.commands.plan.tables import duration, fit_line, size_text
from ntkjax.commands.select.settings import with_defaults


ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "pod-plan.md"
CONFIG = ROOT / "examples" / "configs" / "llama-3-8b"
PODS = ("v5e-16", "v5p-128", "v6e-64", "h200x8")
BILLION = 10**9
KEPT = 0.01
SMALL = {
    "hidden_size": 384,
    "intermediate_size": 1024,
    "num_heads": 6,
    "num_kv_heads": 6,
    "head_dim": 64,
    "vocab_size": 32_000,
}
"""A model of 22 million numbers in its layers, for the first look at a large pool."""


def selection(num_pool: int, method: str = "ntk") -> Selection:
    """9,000 examples for 200 of a domain, 256 tokens each, with weights in bfloat16."""
    settings = PlanSettings(
        model=str(CONFIG),
        num_pool=num_pool,
        num_target=200,
        budget=9000,
        method=method,
        dtype="bfloat16",
    )
    resolved = with_defaults(settings)
    assert isinstance(resolved, PlanSettings)
    return read_selection(resolved, CONFIG)


def small(chosen: Selection) -> Selection:
    """The same with the small model."""
    config = chosen.cost.config
    layers = config.layers[:12]
    own = replace(config, **SMALL, layers=layers)
    return replace(chosen, cost=replace(chosen.cost, config=own))


def pool_tables() -> str:
    """1.8 million candidates: memory and the change, then the times of all pods."""
    lines = ["| | mesh | needs | as given |", "|---|---|---|---|"]
    plans = {}
    for pod in PODS:
        hardware = named_hardware(pod)
        plan = make_plan(selection(1_800_000), hardware)
        said = fit_line(plan).partition(":")[0]
        if not plan.fits:
            change = smallest_change(selection(1_800_000), hardware)
            said += f"; fits with `{change.flags}`" if change else ""
        lines.append(f"| {pod} | {_mesh(plan)} | {size_text(plan.needs)} | {said} |")
        plans[pod] = _plan(selection(1_800_000), pod)
    return "\n".join(lines) + "\n\n" + _times(plans)


def billion_table() -> str:
    """A billion candidates: what is looked at, by what, and for how long."""
    every, kept = selection(BILLION), selection(round(KEPT * BILLION))
    first = small(every)
    parts = {
        "8B embeddings of all": (every, "embeddings"),
        "small model, embeddings of all": (first, "embeddings"),
        "small model, vote": (first, "vote"),
        "n-grams of all, one host": (selection(BILLION, "dsir"), "hashes"),
        "8B embeddings of 1%": (kept, "embeddings"),
        "vote among 1%": (kept, "vote"),
        "scores of the shortlist": (kept, "scores"),
    }
    lines = ["| | " + " | ".join(PODS) + " |", "|---|" + "---:|" * len(PODS)]
    for name, (chosen, stage) in parts.items():
        cells = [duration(_seconds(chosen, stage, pod)) for pod in PODS]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    sizes = [
        size_text(_plan(each, PODS[0]).disk.total) for each in (every, first, kept)
    ]
    said = (
        f"On disk: {sizes[0]} where all have 8B embeddings; {sizes[1]} for those of "
        f"the small model, and {sizes[2]} for the 1% that is kept."
    )
    return "\n".join(lines) + "\n\n" + said


def _seconds(chosen: Selection, stage: str, pod: str) -> float:
    return next(row.seconds for row in _plan(chosen, pod).stages if row.name == stage)


def _plan(chosen: Selection, pod: str) -> Plan:
    """As given where it fits, else with the smallest change."""
    hardware = named_hardware(pod)
    plan = make_plan(chosen, hardware)
    change = None if plan.fits else smallest_change(chosen, hardware)
    return change.plan if change else plan


def _times(plans: dict[str, Plan]) -> str:
    stages = [row.name for row in next(iter(plans.values())).stages]
    lines = ["| | " + " | ".join(plans) + " |", "|---|" + "---:|" * len(plans)]
    for index, name in enumerate(stages):
        rows = [plan.stages[index] for plan in plans.values()]
        cells = [f"{duration(row.seconds)}, {row.binds}" for row in rows]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    totals = [f"**{duration(plan.seconds)}**" for plan in plans.values()]
    lines.append("| total | " + " | ".join(totals) + " |")
    meshes = [_mesh(plan) for plan in plans.values()]
    lines.append("| mesh | " + " | ".join(meshes) + " |")
    shares = [f"{plan.efficiency:.0%}" for plan in plans.values()]
    lines.append("| share of the roof | " + " | ".join(shares) + " |")
    disks = [size_text(plan.disk.total) for plan in plans.values()]
    lines.append("| disk | " + " | ".join(disks) + " |")
    losses = [duration(plan.disk.lost_seconds) for plan in plans.values()]
    lines.append("| a kill loses at most | " + " | ".join(losses) + " |")
    return "\n".join(lines)


def _mesh(plan: Plan) -> str:
    return f"data={plan.data},model={plan.model}"


TABLES = {"pool": pool_tables, "billion": billion_table}


def with_tables(page: str) -> str:
    """The page with every table made anew."""
    for name, make in TABLES.items():
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = before + begin + make() + end + after
    return page


def main(arguments: list[str]) -> int:
    """Writes the page, or with --check compares it; 1 where it is stale."""
    before = PAGE.read_text(encoding="utf-8")
    after = with_tables(before)
    if "--check" not in arguments:
        PAGE.write_text(after, encoding="utf-8")
        return 0
    if before != after:
        print(f"{PAGE.name} is stale: run python -m benchmarks.pod_plan")
    return int(before != after)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
