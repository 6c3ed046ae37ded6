"""Is the small world a measuring instrument? `uv run python -m benchmarks.world`.

For every domain and world seed, three fine-tunings of the embedded model: on the
domain's training set alone, with examples of the skills it needs, and with as many
distractors. The world is right when needed skills beat distractors in domain accuracy,
the interval of the mean difference over seeds excluding zero, in every domain. No
selection method is run.
"""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.records import run
from ntkjax.checkpoints.embedded import EMBEDDED_MODEL
from ntkjax.commands.demo.comparison import Laboratory, open_laboratory
from ntkjax.data.examples import Example, read_examples
from ntkjax.data.world import make_world, write_world
from ntkjax.data.world_words import DISTRACTORS, DOMAINS
from ntkjax.devices.mesh import data_mesh, one_cpu_device_per_core
from ntkjax.math.intervals import mean_interval
from ntkjax.models.lora import LoraSettings
from ntkjax.training.settings import TrainingSettings


SEEDS = (0, 1, 2, 3, 4)
BUDGET = 192
MAX_LENGTH = 24
LORA = LoraSettings(rank=8)
TRAINING = TrainingSettings(steps=100, batch_size=16, learning_rate=1e-2)


def main() -> int:
    settings = {
        "budget": BUDGET,
        "training": vars(TRAINING),
        "lora_rank": LORA.rank,
        "seeds": list(SEEDS),
    }
    return run("world", settings, measure)


def measure() -> dict:
    rows = rows_of(one_domain)
    found = differences(rows)
    for name, difference in found.items():
        print(name, difference)
    return {"rows": rows, "differences": found}


def rows_of(one_domain: Callable[[Laboratory, int, str], dict]) -> list[dict]:
    """A row for each seed and domain, said as soon as it is there."""
    one_cpu_device_per_core()
    laboratory = open_laboratory(
        EMBEDDED_MODEL, LORA, TRAINING, MAX_LENGTH, data_mesh()
    )
    rows = []
    for seed in SEEDS:
        for name in DOMAINS:
            rows.append(one_domain(laboratory, seed, name))
            print(rows[-1], file=sys.stderr, flush=True)
    return rows


def one_domain(laboratory: Laboratory, seed: int, name: str) -> dict:
    """Accuracies of the three arms, and of the model as it is."""
    world = make_world(seed)
    with tempfile.TemporaryDirectory() as folder:
        write_world(world, Path(folder))
        read = lambda file: read_examples([Path(folder) / file])
        pool, train = read("pool.jsonl"), read(f"{name}_train.jsonl")
        questions = laboratory.questions(read(f"{name}_eval.jsonl"))
    rng = np.random.default_rng([seed, 5])
    arms = {
        "domain only": [],
        "needed": draw(pool, world.domains[name].needed, rng),
        "distractors": draw(pool, tuple(DISTRACTORS), rng),
    }
    found = {
        arm: laboratory.accuracy(train + extra, questions, seed)
        for arm, extra in arms.items()
    }
    base = laboratory.base_accuracy(questions)
    return {"seed": seed, "domain": name, "base": base, **found}


def draw(pool: list[Example], sources: tuple[str, ...], rng) -> list[Example]:
    """`BUDGET` examples of these sources."""
    rows = [example for example in pool if example.source in sources]
    return [rows[i] for i in rng.choice(len(rows), BUDGET, replace=False)]


def differences(rows: list[dict]) -> dict:
    """Needed minus distractors: mean over seeds with its 95% t interval."""
    found = {}
    for name in DOMAINS:
        gaps = [r["needed"] - r["distractors"] for r in rows if r["domain"] == name]
        found[name] = vars(mean_interval(gaps))
    return found


if __name__ == "__main__":
    raise SystemExit(main())
