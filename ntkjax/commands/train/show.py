"""Prints what `ntkjax train` found."""

from ntkjax.commands.train.run import run_train
from ntkjax.commands.train.settings import TrainSettings
from ntkjax.training.result import MaskUse, TrainingResult


def train(settings: TrainSettings) -> int:
    """Trains; prints coverage, amounts, losses and where the result is."""
    run = run_train(settings)
    for line in _facts(run.result):
        print(line)
    again = " (finished before with the same settings; read again)" * run.reused
    written = "model" if settings.parameters == "full" else "adapter"
    print(f"{written}: {settings.out / written}{again}")
    return 0


def _facts(result: TrainingResult) -> list[str]:
    carrying = ", ".join(
        f"{row.kind} {row.adapted}/{row.modules} ({row.parameters:,})"
        for row in result.coverage
    )
    num_examples = sum(result.num_examples.values())
    lines = [
        f"θ: {result.num_parameters:,} parameters in {carrying}",
        *_mask(result.mask),
        f"trained on {num_examples:,} examples: {result.num_steps:,} steps, "
        f"{result.num_tokens:,} tokens, {result.seconds['training']:.0f} s",
    ]
    num_cut = sum(result.num_cut.values())
    if num_cut:
        measured = result.num_validation + result.num_retention
        num_all = num_examples + measured
        lines.append(
            f"cut to {result.max_length} tokens: {num_cut:,} of {num_all:,} examples"
        )
    loss = result.loss
    lines.append(
        f"loss: {loss.first:.4f} in the first tenth of the steps, "
        f"{loss.last:.4f} in the last"
    )
    held_out = result.validation_loss
    if held_out:
        lines.append(
            f"validation loss on {result.num_validation:,} examples: before "
            f"{held_out.before:.4f}, first {held_out.first:.4f}, best "
            f"{held_out.best:.4f}, last {held_out.last:.4f}"
        )
    general = result.retention_loss
    if general:
        lines.append(
            f"retention loss on {result.num_retention:,} examples: before "
            f"{general.before:.4f}, after {general.after:.4f}"
        )
    lines.append(f"kept: the {result.kept} one, after step {result.kept_step:,}")
    return lines


def _mask(mask: MaskUse | None) -> list[str]:
    if mask is None:
        return []
    share = mask.kept / mask.of
    return [
        f"mask: {mask.kept:,} of {mask.of:,} parameters may move ({share:.1%}), "
        f"from {mask.file}"
    ]
