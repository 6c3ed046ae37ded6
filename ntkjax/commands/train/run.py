"""`ntkjax train`: θ fine-tuned on files, resumable, written down."""

import json
import os
from collections.abc import Sequence
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
from ntkjax.models.lora import LoraSettings
from ntkjax.models.stacking import stack_layers
from ntkjax.runs.ledger import Ledger
from ntkjax.runs.model import Prepared, prepare, resolve_lora
from ntkjax.runs.pinned_model import model_facts, pinned_model
from ntkjax.runs.progress import announce, progress
from ntkjax.runs.run import METRICS, MODEL, Outcome, Run, identify
from ntkjax.store.bucket import require_reachable
from ntkjax.store.lines import new_lines
from ntkjax.store.run_directory import plain_values
from ntkjax.store.run_path import RunPath
from ntkjax.training.loop import TrainedAdapter, train_adapter
from ntkjax.training.plan import Plan
from ntkjax.training.result import TrainingResult
from ntkjax.training.validation import Validation


RESULT = "train.json"

NOT_DECIDING = ("out", "save_every", "devices")
"""Settings that decide no number, and are no part of what a run is."""


def run_train(settings: TrainSettings) -> Outcome[TrainingResult]:
    """Trains, and writes the run directory. A finished one is read again.

    Raises:
        InputError: For anything in flags, files, model, adapter or mask that cannot be
            used.
    """
    ledger = Ledger()
    check_train_settings(settings)
    require_reachable(settings.out, "out")
    found = pinned_model(settings.model, settings.out)
    folder = found.folder
    lora = None
    if settings.parameters == "lora":
        lora = resolve_lora(settings.lora, settings.adapter)
    run = _identify(settings, lora, found)
    before = run.finished()
    if before is not None:
        return before
    texts = read_texts(settings, folder)
    plan = Plan(texts.sources, settings.training, settings.seed, settings.mix)
    ledger.book("read texts")
    prepared = prepare(
        folder,
        lora,
        settings.adapter,
        dtype=settings.dtype,
        seed=settings.seed,
        devices=settings.devices,
    )
    mask = read_training_mask(settings, prepared, run.inputs[MODEL])
    ledger.book("load model")
    facts = model_facts(found, prepared.model)
    relief = {"": "training.micro_batch"}
    with run.claimed(ledger, facts, relief, is_booked=False):
        losses = (
            _loss(settings, prepared, prepared.theta, texts.validation),
            _loss(settings, prepared, prepared.theta, texts.retention),
        )
        ledger.book("losses before")
        trained = _train(settings, prepared, texts, mask, plan.num_steps)
        ledger.book("training")
        theta = trained.best_theta if settings.keep == "best" else trained.theta
        measured = Measured(*losses, _loss(settings, prepared, theta, texts.retention))
        ledger.book("loss after")
        if not processes.is_first():
            return run.of_first()
        written = _write(settings, prepared, theta, found)
        result = training_result(
            settings, prepared, texts, mask, trained, measured, ledger.seconds()
        )
        names = ("versions", "device", "precision", "seed", "num_cut", "seconds")
        facts = {name: getattr(result, name) for name in names}
        return run.finish(result, [written, METRICS], facts)


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
    return loss(*replicate((prepared.model, stack_layers(theta)), mesh))


def _train(
    settings: TrainSettings,
    prepared: Prepared,
    texts: Texts,
    mask: Mask | None,
    num_steps: int,
) -> TrainedAdapter:
    """The training, its history a line per step in `metrics.jsonl`."""
    metrics: RunPath = settings.out / METRICS
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
            say=announce,
        )


def _write(
    settings: TrainSettings,
    prepared: Prepared,
    theta: dict[str, Array],
    found: FoundModel,
) -> str:
    """What was trained, an adapter or a whole model; gives the name of its folder."""
    if settings.parameters == "full":
        write_full_model(settings.out / "model", theta, found.folder)
        return "model"
    write_adapter(settings.out / "adapter", theta, prepared.model, found.id)
    return "adapter"


def _identify(
    settings: TrainSettings, lora: LoraSettings | None, found: FoundModel
) -> Run[TrainingResult]:
    resolved = plain_values(settings, without=NOT_DECIDING)
    if lora is not None:
        resolved |= {"lora": plain_values(lora)}
    files = {MODEL: model_files(found.folder), **_files(settings)}
    kind = TrainingResult
    return identify("train", settings.out, RESULT, kind, resolved, files)


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
