"""Which method finds what helps? `uv run python -m benchmarks.methods`.

For every method of `ntkjax select`, every domain and three seeds of the small world:
the share of needed skills among the chosen (the world knows the truth), and the domain
accuracy after fine-tuning on domain and chosen examples, for the same number of steps
and examples per step in every arm. Intervals are Student's t over world seeds;
differences are taken seed by seed. No setting was chosen by looking at a selection:
warm-up and fine-tuning are those of `benchmarks.selection`.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import RESULTS, commit, record
from benchmarks.world import BUDGET, LORA, MAX_LENGTH, TRAINING
from ntkjax.data.examples import Example, read_examples
from ntkjax.data.world import make_world, write_world
from ntkjax.data.world_words import DOMAINS
from ntkjax.devices.mesh import data_mesh, one_cpu_device_per_core
from ntkjax.math.intervals import mean_interval
from ntkjax.models.embedded import EMBEDDED_MODEL
from ntkjax.pipeline.comparison import Laboratory, open_laboratory
from ntkjax.pipeline.demo import share_of
from ntkjax.pipeline.demo_settings import WARMUP
from ntkjax.pipeline.select import run_select
from ntkjax.pipeline.select_settings import SelectSettings
from ntkjax.pipeline.setup import LoraOptions
from ntkjax.selection.methods.table import METHODS
from ntkjax.selection.options import SketchOptions
from ntkjax.store.atomic import write_json


SEEDS = (0, 1, 2)
SKETCH = SketchOptions(size=1024)
ALONE = "domain only"
CONTROL = "random"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=list(SEEDS))
    chosen = parser.parse_args()
    one_cpu_device_per_core()
    made_by, started = commit(), time.perf_counter()
    laboratory = open_laboratory(
        EMBEDDED_MODEL, LORA, TRAINING, MAX_LENGTH, data_mesh()
    )
    rows = []
    for seed in chosen.seeds:
        with tempfile.TemporaryDirectory() as folder:
            rows += one_world(laboratory, seed, chosen.methods, Path(folder))
    settings = {
        "budget": BUDGET,
        "warmup": vars(WARMUP),
        "training": vars(TRAINING),
        "lora_rank": LORA.rank,
        "sketch_size": SKETCH.size,
        "seeds": chosen.seeds,
    }
    findings = {"methods": chosen.methods, "rows": rows, **summary(rows)}
    seconds = time.perf_counter() - started
    result = record("methods", settings, seconds, findings, made_by)
    write_json(RESULTS / "methods.json", result)


def one_world(
    laboratory: Laboratory, seed: int, methods: Sequence[str], folder: Path
) -> list[dict]:
    """A row for each domain and arm; domains share what passes find."""
    world = make_world(seed)
    write_world(world, folder)
    rows = []
    for domain in DOMAINS:
        train = read_examples([folder / f"{domain}_train.jsonl"])
        asked = read_examples([folder / f"{domain}_eval.jsonl"])
        questions = laboratory.questions(asked)
        needed = world.domains[domain].needed
        for method in (ALONE, *methods):
            chosen: list[Example] = []
            if method != ALONE:
                chosen = selected(method, domain, seed, folder)
            data = train + chosen
            row = {
                "seed": seed,
                "domain": domain,
                "method": method,
                "share": share_of(chosen, needed) if chosen else None,
                "accuracy": laboratory.accuracy(data, questions, seed),
                "mean_tokens": mean_tokens(laboratory, data),
            }
            print(row, file=sys.stderr, flush=True)
            rows.append(row)
    return rows


def selected(method: str, domain: str, seed: int, folder: Path) -> list[Example]:
    """What a method chooses from the pool for a domain."""
    out = folder / "runs" / domain / method
    run_select(
        SelectSettings(
            model="embedded",
            target=(folder / f"{domain}_train.jsonl",),
            pool=(folder / "pool.jsonl",),
            out=out,
            method=method,
            budget=BUDGET,
            max_length=MAX_LENGTH,
            lora=LoraOptions(rank=LORA.rank),
            **own_settings(method),
            stages=folder / "stages",
            rows_per_shard=4096,
            seed=seed,
        )
    )
    return read_examples([out / "selected.jsonl"])


def own_settings(method: str) -> dict[str, Any]:
    """Settings that only some methods take."""
    settings: dict[str, Any] = {}
    if METHODS[method].warmup != "none":
        settings["training"] = WARMUP
    if method in ("less", "cosine"):
        settings["sketch"] = SKETCH
    return settings


def mean_tokens(laboratory: Laboratory, examples: Sequence[Example]) -> float:
    """Tokens of an example, on average: arms of equal steps see about equally many."""
    return float(np.mean([len(e.tokens) for e in laboratory.encode(examples)]))


def summary(rows: list[dict]) -> dict:
    """Means over seeds with intervals, and differences from the random choice."""
    domains: dict[str, dict] = {}
    differences: dict[str, dict] = {}
    for domain in DOMAINS:
        own = [row for row in rows if row["domain"] == domain]
        methods = list(dict.fromkeys(row["method"] for row in own))
        column = lambda method, key, own=own: np.array(
            [row[key] for row in own if row["method"] == method], float
        )
        interval = lambda values: vars(mean_interval(values.tolist()))
        domains[domain] = {
            method: {
                "share": None if method == ALONE else interval(column(method, "share")),
                "accuracy": interval(column(method, "accuracy")),
            }
            for method in methods
        }
        if CONTROL in methods:
            control = column(CONTROL, "accuracy")
            differences[domain] = {
                method: interval(column(method, "accuracy") - control)
                for method in methods
                if method != CONTROL
            }
    return {"domains": domains, "differences": differences}


if __name__ == "__main__":
    main()
