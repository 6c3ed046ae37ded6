"""Prints what `ntkjax train` found."""

from ntkjax.pipeline.train import TrainRun, run_train
from ntkjax.pipeline.train_settings import TrainSettings


def train(settings: TrainSettings) -> int:
    """Trains; prints coverage, amounts, losses and where the adapter is."""
    run = run_train(settings)
    for line in _facts(run):
        print(line)
    again = " (finished before with the same settings; read again)" * run.reused
    print(f"adapter: {settings.out / 'adapter'}{again}")
    return 0


def _facts(run: TrainRun) -> list[str]:
    result = run.result
    carrying = ", ".join(
        f"{row.kind} {row.adapted}/{row.modules} ({row.parameters:,})"
        for row in run.coverage
    )
    num_examples = sum(result["num_examples"].values())
    lines = [
        f"θ: {result['num_parameters']:,} parameters in {carrying}",
        f"trained on {num_examples:,} examples: {result['num_steps']:,} steps, "
        f"{result['num_tokens']:,} tokens, {result['seconds']['training']:.0f} s",
    ]
    num_cut = sum(result["num_cut"].values())
    if num_cut:
        num_all = num_examples + result["num_validation"]
        lines.append(
            f"cut to {result['max_length']} tokens: {num_cut:,} of {num_all:,} examples"
        )
    loss = result["loss"]
    lines.append(
        f"loss: {loss['first']:.4f} in the first tenth of the steps, "
        f"{loss['last']:.4f} in the last"
    )
    held_out = result["validation_loss"]
    if held_out:
        lines.append(
            f"validation loss on {result['num_validation']:,} examples: first "
            f"{held_out['first']:.4f}, best {held_out['best']:.4f}, last "
            f"{held_out['last']:.4f}"
        )
    lines.append(f"kept: the {result['kept']} one, after step {result['kept_step']:,}")
    return lines
