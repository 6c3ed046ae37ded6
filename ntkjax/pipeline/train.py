"""`ntkjax train`: an adapter fine-tuned on files, resumable, written down."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntkjax.data.examples import Example, read_examples
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.models.adapter import adapter_files, write_adapter
from ntkjax.models.coverage import Coverage, coverage
from ntkjax.models.loading import find_model, model_files
from ntkjax.models.lora import LoraSettings
from ntkjax.pipeline import environment
from ntkjax.pipeline.fidelity_settings import stream
from ntkjax.pipeline.progress import Clock, progress
from ntkjax.pipeline.setup import (
    Prepared,
    count,
    prepare,
    resolve_lora,
    tokenize_files,
)
from ntkjax.pipeline.train_settings import TrainSettings, check_train_settings
from ntkjax.store.atomic import full_disk_named, write_json
from ntkjax.store.run_directory import (
    add_to_manifest,
    hash_files,
    open_run,
    plain_values,
    read_json,
)
from ntkjax.training.loop import TrainedAdapter, train_adapter
from ntkjax.training.plan import Plan


RESULT = "train.json"


@dataclass(frozen=True)
class TrainRun:
    """What a run found.

    Attributes:
        result: Content of `train.json`.
        coverage: Which matrices carry θ.
        reused: Whether a finished run of the same settings was found.
    """

    result: dict
    coverage: list[Coverage]
    reused: bool


@dataclass(frozen=True)
class _Texts:
    """Tokenized examples: a list per data file, and those held out."""

    sources: list[list[TokenizedExample]]
    validation: list[TokenizedExample]


def run_train(settings: TrainSettings) -> TrainRun:
    """Trains, and writes the run directory. A finished one is read again.

    Raises:
        InputError: For anything in flags, files, model or adapter that cannot be used.
    """
    clock = Clock()
    check_train_settings(settings)
    folder = find_model(settings.model)
    lora = resolve_lora(settings.lora, settings.adapter)
    texts, vocab_size = _read(settings, folder)
    plan = Plan(texts.sources, settings.training, settings.seed, settings.mix)
    clock.lap("read texts")
    prepared = prepare(
        folder,
        lora,
        settings.adapter,
        dtype=settings.dtype,
        seed=settings.seed,
        vocab_size=vocab_size,
    )
    clock.lap("load model")
    out = _open(settings, lora, folder)
    table = coverage(prepared.model)
    if (out / RESULT).exists():
        return TrainRun(read_json(out / RESULT), table, reused=True)

    trained = _train(settings, prepared, texts, plan.num_steps)
    clock.lap("training")
    theta = trained.best_theta if settings.keep == "best" else trained.theta
    write_adapter(out / "adapter", theta, prepared.model, settings.model)
    result = _result(settings, prepared, texts, trained, clock)
    names = ("versions", "device", "precision", "seed", "num_cut", "seconds")
    facts = {name: result[name] for name in names}
    add_to_manifest(out, {"command": "train", **facts})
    write_json(out / RESULT, result)  # last: it marks the run as finished
    return TrainRun(result, table, reused=False)


def _train(
    settings: TrainSettings, prepared: Prepared, texts: _Texts, num_steps: int
) -> TrainedAdapter:
    """The training, its history a line per step in `metrics.jsonl`."""
    metrics = settings.out / "metrics.jsonl"
    with (
        full_disk_named(metrics),
        metrics.open("w", encoding="utf-8", buffering=1) as lines,
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
            mesh=data_mesh(),
            checkpoints=settings.out / "checkpoints",
            save_every=settings.save_every,
            advance=advance,
            record=lambda row: print(json.dumps(row), file=lines),
        )


def _read(settings: TrainSettings, folder: Path) -> tuple[_Texts, int]:
    examples = read_examples(settings.data)
    held_out = _held_out(settings, len(examples))
    sources: list[list[Example]] = []
    names = [example.location.rpartition(":")[0] for example in examples]
    for name in dict.fromkeys(names):
        mine = [i for i, other in enumerate(names) if other == name]
        sources.append([examples[i] for i in mine if i not in held_out])
    if settings.validation:
        validation = read_examples(settings.validation)
    else:
        validation = [examples[i] for i in sorted(held_out)]
    chosen = {str(number): source for number, source in enumerate(sources)}
    chosen["validation"] = validation
    tokenized, vocab_size = tokenize_files(folder, chosen, settings.max_length)
    held = tokenized.pop("validation")
    return _Texts(list(tokenized.values()), held), vocab_size


def _held_out(settings: TrainSettings, num_examples: int) -> set[int]:
    """Which examples the validation share takes: a seeded draw."""
    share = settings.validation_share
    if not share:
        return set()
    number = round(share * num_examples)
    if not 0 < number < num_examples:
        left = "no example to validate on" if not number else "no example to train on"
        raise InputError(
            f"--validation-share {share}: leaves {left} out of {num_examples}."
        )
    rng = np.random.default_rng(stream(settings.seed, "validation"))
    return set(rng.permutation(num_examples)[:number].tolist())


def _result(
    settings: TrainSettings,
    prepared: Prepared,
    texts: _Texts,
    trained: TrainedAdapter,
    clock: Clock,
) -> dict[str, Any]:
    history = trained.history
    kept = trained.best_step if settings.keep == "best" else len(history)
    files = zip(settings.data, texts.sources, strict=True)
    cut = {str(path): _num_cut(source) for path, source in files}
    return {
        "model": settings.model,
        "adapter": None if settings.adapter is None else str(settings.adapter),
        "num_examples": {
            str(path): len(source)
            for path, source in zip(settings.data, texts.sources, strict=True)
        },
        "num_validation": len(texts.validation),
        "num_cut": {**cut, "validation": _num_cut(texts.validation)},
        "max_length": settings.max_length,
        "num_parameters": count(prepared.theta),
        "num_steps": len(history),
        "num_tokens": history[-1]["tokens"],
        "loss": _ends(history),
        "validation_loss": _validation_losses(history, trained.best_step),
        "kept": settings.keep,
        "kept_step": kept,
        "seed": settings.seed,
        "seconds": clock.laps,
        "versions": environment.versions(),
        "device": environment.device(),
        "precision": environment.precision(),
    }


def _num_cut(examples: Sequence[TokenizedExample]) -> int:
    return sum(example.was_cut for example in examples)


def _ends(history: list[dict[str, Any]]) -> dict[str, float]:
    """Mean loss over the first and the last tenth of the steps."""
    losses = [row["loss"] for row in history]
    tenth = -(-len(losses) // 10)
    return {
        "first": float(np.mean(losses[:tenth])),
        "last": float(np.mean(losses[-tenth:])),
    }


def _validation_losses(
    history: list[dict[str, Any]], best_step: int
) -> dict[str, float] | None:
    found = {r["step"]: r["validation_loss"] for r in history if r["validation_loss"]}
    if not found:
        return None
    first, *_, last = [*found.values()] * 2
    return {"first": first, "best": found[best_step], "last": last}


def _open(settings: TrainSettings, lora: LoraSettings, folder: Path) -> Path:
    """The run directory, claimed for these settings and these inputs."""
    files = {"model": model_files(folder), "data": list(settings.data)}
    if settings.validation:
        files["validation"] = list(settings.validation)
    if settings.adapter is not None:
        files["adapter"] = adapter_files(settings.adapter)
    hashes = {name: hash_files(paths) for name, paths in files.items()}
    # How often a checkpoint is written decides no number.
    resolved = plain_values(settings, without=("out", "save_every"))
    return open_run(settings.out, resolved | {"lora": plain_values(lora)}, hashes)
