"""Settings of a fine-tuning, and the checks that need no data."""

from dataclasses import dataclass

from ntkjax.errors import InputError, setting
from ntkjax.rules import ABOVE_ZERO, COUNT, Rule, at_least, check, one_of


SCHEDULES = ("cosine", "linear", "constant")
DEFAULT_EPOCHS = 3.0


@dataclass(frozen=True)
class TrainingSettings:
    """How long to train, in which steps, with which optimizer.

    Attributes:
        epochs: Passes over the data. Default 3, unless steps or tokens are given.
        steps: Optimizer steps, in place of epochs.
        token_budget: Train until so many tokens were seen (prompts included), in place
            of epochs.
        batch_size: Examples per optimizer step.
        micro_batch: Examples per backward pass at most; fewer need less memory. It
            divides the batch size, which is the default. Passes of long texts are cut
            smaller without it: 512 tokens on CPUs, 2,048 on accelerators.
        learning_rate: Its highest value.
        schedule: After the warm-up: cosine, linear (both down to 0) or constant.
        warmup_share: Share of the steps in which the learning rate rises.
        weight_decay: Of AdamW; multiplied by the learning rate.
        beta1: Decay of the mean of gradients.
        beta2: Decay of the mean of squared gradients.
        max_grad_norm: Longer gradients are scaled down to this norm; 0 for none.
    """

    epochs: float | None = None
    steps: int | None = None
    token_budget: int | None = None
    batch_size: int = 16
    micro_batch: int | None = None
    learning_rate: float = 2e-4
    schedule: str = "cosine"
    warmup_share: float = 0.05
    weight_decay: float = 0.0
    beta1: float = 0.9
    beta2: float = 0.999
    max_grad_norm: float = 1.0


_ENDS = ("epochs", "steps", "token_budget")
_DECAY = Rule(lambda value: 0 <= value < 1, "at least 0 and below 1")
_RULES = {
    **dict.fromkeys(_ENDS, ABOVE_ZERO),
    "batch_size": COUNT,
    "learning_rate": ABOVE_ZERO,
    "schedule": one_of(SCHEDULES),
    "warmup_share": Rule(lambda value: 0 <= value <= 1, "0 to 1"),
    "weight_decay": at_least(0),
    "beta1": _DECAY,
    "beta2": _DECAY,
    "max_grad_norm": at_least(0),
}


def check_training_settings(settings: TrainingSettings, prefix: str = "") -> None:
    """Raises `InputError` for a value that no training can have.

    Args:
        settings: What to check.
        prefix: Of the settings in messages, such as "training.".
    """
    given = [name for name in _ENDS if getattr(settings, name) is not None]
    if len(given) > 1:
        named = " and ".join(setting(f"{prefix}{name}") for name in given)
        raise InputError(
            f"{named}: only one of them can end the training; leave the others out."
        )
    check(settings, _RULES, prefix)
    size, micro = settings.batch_size, settings.micro_batch
    if micro is not None and (micro < 1 or size % micro):
        raise InputError(
            f"expected a divisor of the batch size, {size}.",
            field=f"{prefix}micro_batch",
            value=micro,
        )
