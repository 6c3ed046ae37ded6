"""The result of `ntkjax train` as plain values, for `train.json`."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ntkjax.checkpoints.mask import Mask, count_kept
from ntkjax.commands.train.inputs import Texts
from ntkjax.commands.train.settings import TrainSettings
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.runs import environment
from ntkjax.runs.model import Prepared, count
from ntkjax.training.loop import TrainedAdapter


@dataclass(frozen=True)
class Measured:
    """Mean losses over target tokens; None where there are no examples.

    Attributes:
        validation_before: On held-out examples, at the start.
        retention_before: On general text, at the start.
        retention_after: On general text, with the θ that is kept.
    """

    validation_before: float | None
    retention_before: float | None
    retention_after: float | None


def training_result(
    settings: TrainSettings,
    prepared: Prepared,
    texts: Texts,
    mask: Mask | None,
    trained: TrainedAdapter,
    measured: Measured,
    seconds: dict[str, float],
) -> dict[str, Any]:
    """What was trained on what, how far, and every loss."""
    history = trained.history
    kept = trained.best_step if settings.keep == "best" else len(history)
    return {
        "model": settings.model,
        "parameters": settings.parameters,
        "adapter": None if settings.adapter is None else str(settings.adapter),
        "mask": _mask(settings, mask, count(prepared.theta)),
        **_amounts(settings, texts),
        "max_length": settings.max_length,
        "num_parameters": count(prepared.theta),
        "num_steps": len(history),
        "num_tokens": history[-1]["tokens"],
        "loss": _ends(history),
        "validation_loss": _validation_losses(trained, measured.validation_before),
        "retention_loss": _retention_losses(measured),
        "kept": settings.keep,
        "kept_step": kept,
        "seed": settings.seed,
        "seconds": seconds,
        "versions": environment.versions(),
        "device": environment.device(),
        "precision": environment.precision(),
    }


def _mask(settings: TrainSettings, mask: Mask | None, of: int) -> dict | None:
    if mask is None:
        return None
    return {"file": str(settings.mask), "kept": count_kept(mask), "of": of}


def _amounts(settings: TrainSettings, texts: Texts) -> dict[str, Any]:
    files = dict(zip(map(str, settings.data), texts.sources, strict=True))
    measured = {"validation": texts.validation, "retention": texts.retention}
    return {
        "num_examples": {path: len(source) for path, source in files.items()},
        "num_validation": len(texts.validation),
        "num_retention": len(texts.retention),
        "num_cut": {name: _num_cut(some) for name, some in (files | measured).items()},
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
    trained: TrainedAdapter, before: float | None
) -> dict[str, float] | None:
    if before is None:
        return None
    losses = {row["step"]: row["validation_loss"] for row in trained.history}
    found = [loss for loss in losses.values() if loss is not None]
    best = losses[trained.best_step]
    return {"before": before, "first": found[0], "best": best, "last": found[-1]}


def _retention_losses(measured: Measured) -> dict[str, float | None] | None:
    if measured.retention_before is None:
        return None
    return {"before": measured.retention_before, "after": measured.retention_after}
