"""The warm-up of a selection: θ along a short training, kept epoch by epoch.

    STAGES/warmup-HASH/step-0000060.safetensors    θ and Adam's moments after 60 steps
    STAGES/warmup-HASH/history.json                losses and learning rates
    STAGES/warmup-HASH/seal.json                   what these files are

The folder appears in one step when the training is done; in a bucket, where folders
cannot be renamed, the seal comes last. Of several jobs that share the stages the first
one publishes, and all read what it wrote. A damaged one is removed and computed again.

Until then the snapshots are kept beside the checkpoints of the training, each sealed
before the checkpoint of its step: a training that goes on never misses one.
"""

import contextlib
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
import optax
from jax.sharding import Mesh

from ntkjax.checkpoints.checkpoint import read_tensors
from ntkjax.checkpoints.mask import theta_hash
from ntkjax.commands.select.pool_passes import Stages, Unfinished
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices import processes
from ntkjax.errors import InputError
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import Theta
from ntkjax.passes.loss_gradients import hash_of
from ntkjax.runs.progress import announce, progress
from ntkjax.selection.problem import Snapshot
from ntkjax.store.atomic import write_json, write_tensors
from ntkjax.store.folders import (
    discard_folder,
    make_folder,
    publish,
    remove_folder,
)
from ntkjax.store.polling import wait_until
from ntkjax.store.records import read_record, write_record
from ntkjax.store.run_directory import combined_hash, plain_values, read_json
from ntkjax.store.run_lock import in_turn
from ntkjax.store.run_path import RunPath, is_remote
from ntkjax.store.seals import (
    SEAL,
    Files,
    add_to_seal,
    damage,
    is_sealed,
    seal,
    sealed_files,
)
from ntkjax.store.shards import NO_PART
from ntkjax.training.loop import TrainedAdapter, train_adapter
from ntkjax.training.plan import Plan
from ntkjax.training.settings import TrainingSettings
from ntkjax.training.state import TrainingState, on_host


WARM_UP = "warm-up"
HISTORY = "history.json"
ROUNDS = "rounds.json"

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
    is_there = functools.partial(is_sealed, folder)
    part, parts = stages.part
    job = folder.with_name(f"{folder.name}.{stages.run}-{part}-of-{parts}")
    looks = processes.is_first()
    is_whole = processes.from_first(looks and _is_whole(folder, stages))
    if stages.part == NO_PART and not is_whole:
        raise Unfinished(WARM_UP, [0], 1)
    if stages.team is not None and part > 1:
        wait_until(is_there)  # the first part trains
    if not stages.finds(is_there):
        plan = Plan([examples], settings, seed, None)
        rounds = {"micro_batch": settings.micro_batch, "mesh": dict(mesh.shape)}
        train = functools.partial(
            *(train_adapter, model, theta, [examples], settings),
            seed=seed,
            max_length=max_length,
            mesh=mesh,
            checkpoints=job / "checkpoints",
            say=announce,
        )
        with _in_turn(folder, stages):
            if not stages.finds(is_there):
                _compute(_Keeper(job, plan, stages.writes, rounds), train, folder)
    wait_until(is_there)
    if not (looks and is_whole):
        _require_whole(folder)
    if stages.writes:
        remove_folder(job)  # also what a kill before this left
    return _read(folder, (settings.beta1, settings.beta2))


def _in_turn(
    folder: RunPath, stages: Stages
) -> contextlib.AbstractContextManager[None]:
    """Runs with the same warm-up wait for the first one; the processes of a team go on.

    Neither do those of other hosts or in a bucket wait, where the lock is not seen.
    """
    if stages.team is not None:
        return contextlib.nullcontext()

    def wait() -> None:
        announce(f"{folder}: another process computes this warm-up; waiting for it.")

    return in_turn(folder.with_name(f".{folder.name}.lock"), wait)


def _is_whole(folder: RunPath, stages: Stages) -> bool:
    """Whether a whole warm-up is published; a damaged one is removed.

    One of a bucket without a seal is left alone: another job may be about to write it.
    """
    if not folder.exists() or (is_remote(folder) and not is_sealed(folder)):
        return False
    fault = damage(folder)
    if fault is not None and stages.part != NO_PART:
        announce(f"{folder}: damaged ({fault}); the warm-up is computed again.")
        discard_folder(folder)
    return fault is None


def _require_whole(folder: RunPath) -> None:
    """Raises `InputError` if what another process published cannot be read."""
    fault = damage(folder)
    if fault is not None:
        raise InputError(f"{folder}: damaged ({fault}); run the same command again.")


def _compute(
    keeper: "_Keeper", train: Callable[..., TrainedAdapter], folder: RunPath
) -> None:
    """Trains and publishes; all processes of a team train, and one of them writes."""
    with progress(WARM_UP, keeper.plan.num_steps, "steps") as advance:
        trained = train(advance=advance, observe=keeper.observe)
    if keeper.writes:
        keeper.finish(trained.history)
        publish(keeper.found, folder, last=SEAL)


class _Keeper:
    """Keeps the snapshots of a training that may be killed and go on.

    Attributes:
        found: The folder of the snapshots, always sealed.
        plan: Of the training.
        writes: Whether this process keeps them.
    """

    def __init__(self, job: RunPath, plan: Plan, writes: bool, rounds: dict):
        self.found = job / "found"
        self.plan, self._steps_each = plan, _steps_between_snapshots(plan)
        self.writes = writes
        if writes:
            self._files = _kept_before(job, self.found, rounds)

    def observe(self, state: TrainingState) -> None:
        """Keeps a state where a snapshot is due."""
        step = state.step
        is_due = step % self._steps_each == 0 or step == self.plan.num_steps
        if is_due and self.writes:
            name = f"step-{step:07d}.safetensors"
            write_tensors(self.found / name, _snapshot(state, self._steps_each))
            self._files = add_to_seal(self.found, self._files, name)

    def finish(self, history: list[dict[str, Any]]) -> None:
        """Keeps the history, which is all that is missing at the end."""
        write_json(self.found / HISTORY, [_plain(row) for row in history])
        self._files = add_to_seal(self.found, self._files, HISTORY)


def _kept_before(job: RunPath, found: RunPath, rounds: dict) -> Files:
    """The seal of the snapshots that a killed process left; else an empty one.

    With a damaged snapshot the checkpoints go, too: they are of later steps. So does
    all that was begun with another micro-batch or mesh: scores follow from the bits.
    """
    fault = damage(found)
    if fault is None and read_record(job / ROUNDS) == rounds:
        return sealed_files(found)
    if (job / "checkpoints").exists():
        why = (
            f"damaged ({fault})" if fault else "begun with another micro-batch or mesh"
        )
        announce(f"{found}: {why}; the warm-up begins anew.")
    remove_folder(job)
    make_folder(found)
    write_record(job / ROUNDS, rounds)
    return seal(found)


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
        for part, tree in on_host(trees).items()
        for name, leaf in tree.items()
    }
    return arrays | {
        "num_steps": np.array(state.step, np.int64),
        "learning_rate": np.array(np.mean(rates)),
    }


def _read(
    folder: RunPath, betas: tuple[float, float]
) -> tuple[tuple[Snapshot, ...], list[dict[str, Any]]]:
    """Snapshots and history of a whole warm-up."""
    files = sealed_files(folder)
    snapshots = tuple(
        _read_snapshot(folder / name, file["sha256"], betas)
        for name, file in sorted(files.items())
        if name != HISTORY
    )
    return snapshots, read_json(folder / HISTORY)


def _read_snapshot(path: RunPath, digest: str, betas: tuple[float, float]) -> Snapshot:
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
        identity=combined_hash([(path.name, digest)]),
        betas=betas,
    )


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("step", "loss", "learning_rate")}
