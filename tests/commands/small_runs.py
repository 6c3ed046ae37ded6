"""One small run of each command, started in one way wherever it is written."""

import json
from typing import Any

from ntkjax.commands.evaluate.run import run_evaluate
from ntkjax.commands.evaluate.settings import EvaluateSettings
from ntkjax.commands.fidelity.run import run_fidelity
from ntkjax.commands.fidelity.settings import FidelitySettings
from ntkjax.commands.select.run import run_select
from ntkjax.commands.train.run import run_train
from ntkjax.commands.train.settings import TrainSettings
from ntkjax.runs.run import Outcome
from ntkjax.training.settings import TrainingSettings
from tests.commands.select.problem import settings_of


TRAINING = TrainingSettings(steps=6, batch_size=4, learning_rate=0.03)
BY_A_CLOCK = {"seconds", "stages"}
RESULTS = {
    "select": "selection.json",
    "train": "train.json",
    "fidelity": "fidelity.json",
    "evaluate": "evaluation.json",
}


def start(world, name: str, out) -> Outcome[Any]:
    """Runs a command in a directory, local or in a bucket.

    Args:
        world: With the problem of `tests.commands.select.problem`.
        name: The command; " all weights" after it trains them.
        out: The directory.
    """
    if name.startswith("select"):
        changes = {"warmup": "target", "training": TRAINING}
        if name != "select":
            changes |= {"parameters": "full", "adapter": None, "method": "less"}
        return run_select(settings_of(world, out=out, **changes))
    if name.startswith("train"):
        return run_train(train_settings(world, out, name != "train"))
    if name == "fidelity":
        settings = FidelitySettings(**world.settings(out=out))
        return run_fidelity(settings)
    data = (world.queries,)
    settings = EvaluateSettings(str(world.model), data, out, max_length=24)
    return run_evaluate(settings)


def train_settings(world, out, full: bool) -> TrainSettings:
    return TrainSettings(
        model=str(world.model),
        data=(world.queries, world.candidates),
        out=out,
        validation_share=0.2,
        max_length=24,
        save_every=2,
        parameters="full" if full else "lora",
        training=TRAINING,
    )


def contents(out) -> dict[str, object]:
    """What must be equal, by name; checkpoints are orbax's own."""
    found = {}
    for path in sorted(out.rglob("*")):
        name = path.relative_to(out).as_posix()
        is_lock = name.startswith(".run-")  # of local folders only
        if path.is_dir() or is_lock or name.startswith("checkpoints/"):
            continue
        found[name] = path.read_bytes()
        if path.suffix == ".json":
            found[name] = without_times(json.loads(found[name]))
            if name == "manifest.json":  # it has hashes of files with times
                found[name]["outputs"] = sorted(found[name].get("outputs", ()))
                del found[name]["checksum"]
        elif name in ("report.html", "metrics.jsonl") and b"seconds" in found[name]:
            found[name] = "there, with times"
    return found


def without_times(value):
    if isinstance(value, dict):
        return {
            k: without_times(inner) for k, inner in value.items() if k not in BY_A_CLOCK
        }
    return value
