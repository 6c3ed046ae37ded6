"""The warm-up of a selection: θ along a short training, kept epoch by epoch.

    STAGES/warmup-HASH/step-0000060.safetensors    θ and Adam's moments after 60 steps
    STAGES/warmup-HASH/history.json                losses and learning rates

The folder appears in one step when the training is done; in a bucket, where folders
cannot be renamed, the history comes last. Of several jobs that share the stages the
first one publishes, and all read what it wrote. Where two mix their files in a bucket,
these differ by rounding at most, and passes know the snapshots by their content.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from ntkjax.checkpoints.checkpoint import read_tensors
from ntkjax.checkpoints.mask import theta_hash
from ntkjax.commands.select.pool_passes import Stages, Unfinished
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import Theta
from ntkjax.passes.loss_gradients import hash_of
from ntkjax.runs.progress import progress
from ntkjax.selection.problem import Snapshot
from ntkjax.store.atomic import write_json, write_tensors
from ntkjax.store.folders import make_folder, publish, remove_folder
from ntkjax.store.polling import wait_until
from ntkjax.store.run_directory import hash_files, plain_values, read_json
from ntkjax.store.run_path import RunPath
from ntkjax.store.shards import NO_PART
from ntkjax.training.loop import train_adapter
from ntkjax.training.plan import Plan
from ntkjax.training.settings import TrainingSettings
from ntkjax.training.state import TrainingState


WARM_UP = "warm-up"
HISTORY = "history.json"

MOST_SNAPSHOTS = 8
"""So many are kept at most: one for each epoch, or for several."""


def no_warm_up(theta: Theta) -> Snapshot:
    """The start as the only snapshot."""
    return Snapshot(theta, None, None, 0, 1.0, theta_hash(theta))


def warm_up(
    stages: Stages,
    model: LanguageModel,
    theta: Theta,
    examples: Sequence[TokenizedExample],
    settings: TrainingSettings,
    *,
    seed: int,
    max_length: int,
    mesh: Mesh,
) -> tuple[tuple[Snapshot, ...], list[dict[str, Any]]]:
    """Fine-tunes θ; what is published first is what everyone reads.

    Returns:
        Snapshots at the ends of epochs, oldest first, and the history of the steps.

    Raises:
        Unfinished: If it is not there and no part of the work is ours.
    """
    decides = {
        "start": theta_hash(theta),
        "examples": hash_of(examples),
        "training": plain_values(settings, without=("micro_batch",)),
        "seed": seed,
    }
    folder, _ = stages.path("warmup", decides)
    history = folder / HISTORY
    part, parts = stages.part
    job = folder.with_name(f"{folder.name}.{stages.run}-{part}-of-{parts}")
    if stages.team is not None and part > 1:
        wait_until(history.exists)  # the first part trains
    if not stages.finds(history):
        if stages.part == NO_PART:
            raise Unfinished(WARM_UP, [0], 1)
        found = job / "found"
        if stages.writes:
            make_folder(found)
        plan = Plan([examples], settings, seed, None)
        steps_each = _steps_between_snapshots(plan)

        def keep(state: TrainingState) -> None:
            is_due = state.step % steps_each == 0 or state.step == plan.num_steps
            if is_due and stages.writes:
                path = found / f"step-{state.step:07d}.safetensors"
                write_tensors(path, _snapshot(state, steps_each))

        with progress(WARM_UP, plan.num_steps, "steps") as advance:
            trained = train_adapter(
                model,
                theta,
                [examples],
                settings,
                seed=seed,
                max_length=max_length,
                mesh=mesh,
                checkpoints=job / "checkpoints",
                advance=advance,
                observe=keep,
            )
        if stages.writes:
            write_json(found / HISTORY, [_plain(row) for row in trained.history])
            publish(found, folder, last=HISTORY)
    wait_until(history.exists)
    if stages.writes:
        remove_folder(job)  # also what a kill before this left
    paths = sorted(folder.glob("step-*.safetensors"))
    betas = settings.beta1, settings.beta2
    snapshots = tuple(_read_snapshot(path, betas) for path in paths)
    return snapshots, read_json(history)


def _steps_between_snapshots(plan: Plan) -> int:
    """Those of an epoch, or of several where there would be too many snapshots."""
    num_epochs = -(-plan.num_steps // plan.steps_per_epoch)
    return -(-num_epochs // MOST_SNAPSHOTS) * plan.steps_per_epoch


def _snapshot(state: TrainingState, steps_each: int) -> dict[str, np.ndarray]:
    """Arrays of a snapshot by part and name, and its two numbers."""
    begin = (state.step - 1) // steps_each * steps_each
    rates = [row["learning_rate"] for row in state.history[begin:]]
    trees = {
        "theta": state.theta,
        "first": optax.tree.get(state.moments, "mu"),
        "second": optax.tree.get(state.moments, "nu"),
    }
    arrays = {
        f"{part}/{name}": np.asarray(leaf)
        for part, tree in jax.device_get(trees).items()
        for name, leaf in tree.items()
    }
    return arrays | {
        "num_steps": np.array(state.step, np.int64),
        "learning_rate": np.array(np.mean(rates)),
    }


def _read_snapshot(path: RunPath, betas: tuple[float, float]) -> Snapshot:
    stored = read_tensors(path)
    trees: dict[str, dict] = {"theta": {}, "first": {}, "second": {}}
    for name, array in stored.items():
        part, _, own_name = name.partition("/")
        if own_name:
            trees[part][own_name] = jnp.asarray(array)
    return Snapshot(
        theta=trees["theta"],
        first_moment=trees["first"],
        second_moment=trees["second"],
        num_steps=int(stored["num_steps"]),
        learning_rate=float(stored["learning_rate"]),
        identity=hash_files([path]),
        betas=betas,
    )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("step", "loss", "learning_rate")}
