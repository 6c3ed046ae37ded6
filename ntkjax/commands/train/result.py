"""The result of `ntkjax train`, from what its training left."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ntkjax.checkpoints.mask import Mask, count_kept
from ntkjax.commands.train.inputs import Texts
from ntkjax.commands.train.settings import TrainSettings
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.models.coverage import coverage
from ntkjax.runs import environment
from ntkjax.runs.model import Prepared, count
from ntkjax.training.loop import TrainedAdapter
from ntkjax.training.result import (
    LossEnds,
    MaskUse,
    RetentionLosses,
    TrainingResult,
    ValidationLosses,
)


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
) -> TrainingResult:
    """What was trained on what, how far, and every loss."""
    history = trained.history
    kept = trained.best_step if settings.keep == "best" else len(history)
    files = dict(zip(map(str, settings.data), texts.sources, strict=True))
    held_out = {"validation": texts.validation, "retention": texts.retention}
    return TrainingResult(
        model=settings.model,
        parameters=settings.parameters,
        adapter=None if settings.adapter is None else str(settings.adapter),
        mask=_mask(settings, mask, count(prepared.theta)),
        num_examples={path: len(source) for path, source in files.items()},
        num_validation=len(texts.validation),
        num_retention=len(texts.retention),
        num_cut={name: _num_cut(some) for name, some in (files | held_out).items()},
        max_length=settings.max_length,
        num_parameters=count(prepared.theta),
        coverage=tuple(coverage(prepared.model)),
        num_steps=len(history),
        num_tokens=history[-1]["tokens"],
        loss=_ends(history),
        validation_loss=_validation_losses(trained, measured.validation_before),
        retention_loss=_retention_losses(measured),
        kept=settings.keep,
        kept_step=kept,
        seed=settings.seed,
        seconds=seconds,
        versions=environment.versions(),
        device=environment.device(),
        precision=environment.precision(),
    )


def _mask(settings: TrainSettings, mask: Mask | None, of: int) -> MaskUse | None:
    if mask is None:
        return None
    return MaskUse(file=str(settings.mask), kept=count_kept(mask), of=of)


def _num_cut(examples: Sequence[TokenizedExample]) -> int:
    return sum(example.was_cut for example in examples)


def _ends(history: list[dict]) -> LossEnds:
    losses = [row["loss"] for row in history]
    tenth = -(-len(losses) // 10)
    return LossEnds(
        first=float(np.mean(losses[:tenth])), last=float(np.mean(losses[-tenth:]))
    )


def _validation_losses(
    trained: TrainedAdapter, before: float | None
) -> ValidationLosses | None:
    if before is None:
        return None
    losses = {row["step"]: row["validation_loss"] for row in trained.history}
    found = [loss for loss in losses.values() if loss is not None]
    best = losses[trained.best_step]
    return ValidationLosses(before, first=found[0], best=best, last=found[-1])


def _retention_losses(measured: Measured) -> RetentionLosses | None:
    if measured.retention_before is None:
        return None
    return RetentionLosses(measured.retention_before, measured.retention_after)
