"""Does selection find what helps? `uv run python -m benchmarks.selection`.

For every domain and world seed: NTK-Selector's selection, the embedding vote alone and
a random choice of equal size from the pool of the small world; the share of needed
skills among the chosen (the world knows the truth), and the domain accuracy after
fine-tuning on domain and chosen examples. Intervals are Student's t over world seeds.
The settings were fixed before the first selection was run.
"""

import tempfile
from pathlib import Path

import numpy as np

from benchmarks.records import run
from benchmarks.world import BUDGET, LORA, SEEDS, TRAINING, rows_of
from ntkjax.commands.demo.comparison import Laboratory
from ntkjax.commands.demo.run import pool_choices, selection_settings, share_of
from ntkjax.commands.demo.settings import WARMUP, DemoSettings
from ntkjax.commands.select.run import run_select
from ntkjax.data.examples import read_examples
from ntkjax.data.world import make_world, write_world
from ntkjax.data.world_words import DOMAINS
from ntkjax.math.intervals import mean_interval


METHODS = ("kernel", "vote", "random")


def main() -> int:
    settings = {
        "budget": BUDGET,
        "kernel": "summed",
        "warmup": vars(WARMUP),
        "training": vars(TRAINING),
        "lora_rank": LORA.rank,
        "seeds": list(SEEDS),
    }
    return run("selection", settings, measure)


def measure() -> dict:
    rows = rows_of(one_domain)
    return {"rows": rows, "domains": {d: summary(rows, d) for d in DOMAINS}}


def one_domain(laboratory: Laboratory, seed: int, name: str) -> dict:
    """Shares and accuracies of the three choices, and of the domain alone."""
    world = make_world(seed)
    needed = world.domains[name].needed
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder)
        write_world(world, files)
        demo = DemoSettings(files, domain=name, budget=BUDGET, world_seed=seed)
        run_select(selection_settings(demo, files))
        pool = read_examples([files / "pool.jsonl"])
        train = read_examples([files / f"{name}_train.jsonl"])
        asked = read_examples([files / f"{name}_eval.jsonl"])
        choices = pool_choices(pool, files / "selection", BUDGET, seed)
    questions = laboratory.questions(asked)
    return {
        "seed": seed,
        "domain": name,
        "share": {m: share_of(choices[m], needed) for m in METHODS},
        "share_in_pool": share_of(pool, needed),
        "accuracy": {
            "domain only": laboratory.accuracy(train, questions, seed),
            **{
                method: laboratory.accuracy(train + choices[method], questions, seed)
                for method in METHODS
            },
        },
    }


def summary(rows: list[dict], domain: str) -> dict:
    """Means over seeds with intervals, and differences seed by seed."""
    own = [row for row in rows if row["domain"] == domain]
    column = lambda kind, name: np.array([row[kind][name] for row in own])
    interval = lambda values: vars(mean_interval(values.tolist()))
    accuracy = {name: column("accuracy", name) for name in own[0]["accuracy"]}
    return {
        "share": {m: interval(column("share", m)) for m in METHODS},
        "accuracy": {name: interval(found) for name, found in accuracy.items()},
        "differences": {
            f"kernel - {other}": interval(accuracy["kernel"] - accuracy[other])
            for other in ("domain only", "vote", "random")
        },
    }


if __name__ == "__main__":
    raise SystemExit(main())
