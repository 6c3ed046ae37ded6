"""`ntkjax train`: θ fine-tuned on files, resumable, written down."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Array

from ntkjax.checkpoints.adapter import adapter_files, write_adapter
from ntkjax.checkpoints.full import write_full_model
from ntkjax.checkpoints.loading import FoundModel, model_files
from ntkjax.checkpoints.mask import Mask
from ntkjax.commands.train.inputs import Texts, read_texts, read_training_mask
from ntkjax.commands.train.result import Measured, training_result
from ntkjax.commands.train.settings import TrainSettings, check_train_settings
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices import processes
from ntkjax.devices.mesh import replicate
from ntkjax.models.coverage import Coverage, coverage
from ntkjax.models.lora import LoraSettings
from ntkjax.runs.model import Prepared, prepare, resolve_lora
from ntkjax.runs.pinned_model import model_facts, pinned_model
from ntkjax.runs.progress import Clock, progress
from ntkjax.runs.shared_run import (
    hash_inputs,
    is_finished,
    open_shared_run,
    result_of_first,
)
from ntkjax.store.lines import new_lines
from ntkjax.store.results import read_result, write_result
from ntkjax.store.run_directory import add_to_manifest, plain_values
from ntkjax.store.run_path import RunPath
from ntkjax.training.loop import TrainedAdapter, train_adapter
from ntkjax.training.plan import Plan
from ntkjax.training.result import TrainingResult
from ntkjax.training.validation import Validation


RESULT = "train.json"


@dataclass(frozen=True)
class TrainRun:
    """What a run found.

    Attributes:
        result: What was trained, and every loss.
        coverage: Which modules carry θ.
        reused: Whether a finished run of the same settings was found.
    """

    result: TrainingResult
    coverage: list[Coverage]
    reused: bool


def run_train(settings: TrainSettings) -> TrainRun:
    """Trains, and writes the run directory. A finished one is read again.

    Raises:
        InputError: For anything in flags, files, model, adapter or mask that cannot be
            used.
    """
    clock = Clock()
    check_train_settings(settings)
    found = pinned_model(settings.model, settings.out)
    folder = found.folder
    lora = None
    if settings.parameters == "lora":
        lora = resolve_lora(settings.lora, settings.adapter)
    texts = read_texts(settings, folder)
    plan = Plan(texts.sources, settings.training, settings.seed, settings.mix)
    clock.lap("read texts")
    prepared = prepare(
        folder,
        lora,
        settings.adapter,
        dtype=settings.dtype,
        seed=settings.seed,
        devices=settings.devices,
    )
    clock.lap("load model")
    hashes = hash_inputs({"model": model_files(folder)})
    mask = read_training_mask(settings, prepared, hashes["model"])
    hashes |= hash_inputs(_files(settings))
    facts = model_facts(found, prepared.model)
    out = _open(settings, lora, hashes, facts)
    table = coverage(prepared.model)
    if is_finished(out / RESULT):
        result = read_result(out / RESULT, TrainingResult)
        return TrainRun(result, table, reused=True)

    before = (
        _loss(settings, prepared, prepared.theta, texts.validation),
        _loss(settings, prepared, prepared.theta, texts.retention),
    )
    clock.lap("losses before")
    trained = _train(settings, prepared, texts, mask, plan.num_steps)
    clock.lap("training")
    theta = trained.best_theta if settings.keep == "best" else trained.theta
    measured = Measured(*before, _loss(settings, prepared, theta, texts.retention))
    clock.lap("loss after")
    if not processes.is_first():
        result = result_of_first(out / RESULT, TrainingResult)
        return TrainRun(result, table, reused=False)
    _write(settings, prepared, theta, found)
    result = training_result(
        settings, prepared, texts, mask, trained, measured, clock.laps
    )
    names = ("versions", "device", "precision", "seed", "num_cut", "seconds")
    facts = {name: getattr(result, name) for name in names}
    add_to_manifest(out, {"command": "train", **facts})
    write_result(out / RESULT, result)  # last: it marks the run as finished
    return TrainRun(result, table, reused=False)


def _loss(
    settings: TrainSettings,
    prepared: Prepared,
    theta: dict[str, Array],
    examples: Sequence[TokenizedExample],
) -> float | None:
    """Mean loss over the target tokens of some examples; None without any."""
    if not examples:
        return None
    mesh = prepared.mesh
    size = settings.training.micro_batch or settings.training.batch_size
    loss = Validation(examples, size, settings.max_length, mesh)
    return loss(*replicate((prepared.model, theta), mesh))


def _train(
    settings: TrainSettings,
    prepared: Prepared,
    texts: Texts,
    mask: Mask | None,
    num_steps: int,
) -> TrainedAdapter:
    """The training, its history a line per step in `metrics.jsonl`."""
    metrics: RunPath = settings.out / "metrics.jsonl"
    if not processes.is_first():
        metrics = Path(os.devnull)
    with (
        new_lines(metrics) as add_line,
        progress("training", num_steps, "steps") as advance,
    ):
        return train_adapter(
            prepared.model,
            prepared.theta,
            texts.sources,
            settings.training,
            seed=settings.seed,
            max_length=settings.max_length,
            mix=settings.mix,
            validation=texts.validation,
            validate_every=settings.validate_every,
            mask=mask,
            mesh=prepared.mesh,
            checkpoints=settings.out / "checkpoints",
            save_every=settings.save_every,
            advance=advance,
            record=lambda row: add_line(json.dumps(row)),
        )


def _write(
    settings: TrainSettings,
    prepared: Prepared,
    theta: dict[str, Array],
    found: FoundModel,
) -> None:
    """What was trained: an adapter, or a whole model."""
    if settings.parameters == "full":
        write_full_model(settings.out / "model", theta, found.folder)
    else:
        out = settings.out / "adapter"
        write_adapter(out, theta, prepared.model, found.id)


def _open(
    settings: TrainSettings,
    lora: LoraSettings | None,
    hashes: dict[str, str],
    facts: dict,
) -> RunPath:
    """The run directory, claimed for these settings and these inputs."""
    # How often a checkpoint is written decides no number.
    resolved = plain_values(settings, without=("out", "save_every", "devices"))
    if lora is not None:
        resolved |= {"lora": plain_values(lora)}
    return open_shared_run(settings.out, resolved, hashes, facts)


def _files(settings: TrainSettings) -> dict[str, list[Path]]:
    """The files beside the model that decide a run, by what they are."""
    files = {
        "data": list(settings.data),
        "validation": list(settings.validation),
        "retain": list(settings.retain),
        "adapter": adapter_files(settings.adapter) if settings.adapter else [],
        "mask": [settings.mask] if settings.mask else [],
    }
    return {name: paths for name, paths in files.items() if paths}
