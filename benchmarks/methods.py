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
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.records import RESULTS, commit, record
from benchmarks.world import BUDGET, LORA, MAX_LENGTH, TRAINING
from ntkjax.checkpoints.embedded import EMBEDDED_MODEL
from ntkjax.commands.demo.comparison import Laboratory, open_laboratory
from ntkjax.commands.demo.run import share_of
from ntkjax.commands.demo.settings import WARMUP
from ntkjax.commands.select.run import run_select
from ntkjax.commands.select.settings import SelectSettings
from ntkjax.data.examples import Example, read_examples
from ntkjax.data.world import make_world, write_world
from ntkjax.data.world_words import DOMAINS
from ntkjax.devices.mesh import data_mesh, one_cpu_device_per_core
from ntkjax.math.intervals import mean_interval
from ntkjax.runs.model import LoraOptions
from ntkjax.selection.methods.table import METHODS
from ntkjax.selection.options import SketchOptions
from ntkjax.store.atomic import write_json


SEEDS = (0, 1, 2)
SKETCH = SketchOptions(size=1024)
ALONE = "domain only"
CONTROLS = "random", "vote"
"""Chance, and the shortlist that ntk begins with."""


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
    """Means over worlds with intervals, and differences from the controls.

    `differences` are those from the random choice in each domain. `overall` has, of the
    mean over domains, the needed share and the difference from each control.
    """
    names = list(dict.fromkeys(row["method"] for row in rows))
    seeds = list(dict.fromkeys(row["seed"] for row in rows))
    values = {(row["method"], row["domain"], row["seed"]): row for row in rows}

    def column(method: str, domain: str, key: str) -> np.ndarray:
        return np.array([values[method, domain, seed][key] for seed in seeds], float)

    def mean(method: str, key: str) -> np.ndarray:
        return np.mean([column(method, domain, key) for domain in DOMAINS], axis=0)

    def less(accuracy: Callable[[str], np.ndarray], control: str) -> dict[str, dict]:
        if control not in names:
            return {}
        return {
            name: _interval(accuracy(name) - accuracy(control))
            for name in names
            if name != control
        }

    domains = {
        domain: {
            name: {
                "share": None
                if name == ALONE
                else _interval(column(name, domain, "share")),
                "accuracy": _interval(column(name, domain, "accuracy")),
            }
            for name in names
        }
        for domain in DOMAINS
    }
    differences = {
        domain: less(partial(column, domain=domain, key="accuracy"), CONTROLS[0])
        for domain in DOMAINS
    }
    chosen = [name for name in names if name != ALONE]
    overall = {
        "share": {name: _interval(mean(name, "share")) for name in chosen},
        **{c: less(partial(mean, key="accuracy"), c) for c in CONTROLS},
    }
    return {"domains": domains, "differences": differences, "overall": overall}


def _interval(values: np.ndarray) -> dict:
    return vars(mean_interval(values.tolist()))


if __name__ == "__main__":
    main()
