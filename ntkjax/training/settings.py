"""Settings of a fine-tuning, and the checks that need no data."""

import math
from dataclasses import dataclass

from ntkjax.errors import InputError, setting


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
        micro_batch: Examples per backward pass; fewer need less memory. It divides the
            batch size, which is the default.
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


def check_training_settings(settings: TrainingSettings, prefix: str = "") -> None:
    """Raises `InputError` for a value that no training can have.

    Args:
        settings: What to check.
        prefix: Of the settings in messages, such as "training.".
    """

    def require(right: bool, name: str, expected: str) -> None:
        if not right:
            value = getattr(settings, name)
            raise InputError(
                f"expected {expected}.", field=f"{prefix}{name}", value=value
            )

    _check_end(settings, prefix)
    size = settings.batch_size
    require(size >= 1, "batch_size", "at least 1")
    micro = size if settings.micro_batch is None else settings.micro_batch
    divides = micro >= 1 and size % micro == 0
    require(divides, "micro_batch", f"a divisor of the batch size, {size}")
    require(
        0 < settings.learning_rate < math.inf, "learning_rate", "a number above zero"
    )
    require(
        settings.schedule in SCHEDULES, "schedule", f"one of {', '.join(SCHEDULES)}"
    )
    require(0 <= settings.warmup_share <= 1, "warmup_share", "0 to 1")
    require(0 <= settings.weight_decay < math.inf, "weight_decay", "at least 0")
    require(0 <= settings.beta1 < 1, "beta1", "at least 0 and below 1")
    require(0 <= settings.beta2 < 1, "beta2", "at least 0 and below 1")
    require(0 <= settings.max_grad_norm < math.inf, "max_grad_norm", "at least 0")


def _check_end(settings: TrainingSettings, prefix: str) -> None:
    ends = ("epochs", "steps", "token_budget")
    given = {n: getattr(settings, n) for n in ends if getattr(settings, n) is not None}
    if len(given) > 1:
        named = " and ".join(setting(f"{prefix}{name}") for name in given)
        raise InputError(
            f"{named}: only one of them can end the training; leave the others out."
        )
    for name, value in given.items():
        if not 0 < value < math.inf:
            raise InputError(
                "expected a number above zero.", field=f"{prefix}{name}", value=value
            )
