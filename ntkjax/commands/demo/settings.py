"""Settings of `ntkjax demo`: all have defaults."""

from dataclasses import dataclass, field
from pathlib import Path

from ntkjax.data.world import POOL_SIZE
from ntkjax.data.world_words import DOMAINS
from ntkjax.errors import InputError
from ntkjax.models.lora import LoraSettings
from ntkjax.training.settings import TrainingSettings, check_training_settings


MAX_LENGTH = 24
"""Tokens of the longest text of the small world, and some more."""

LORA = LoraSettings(rank=8)

LEARNING_RATE = 1e-2

WARMUP = TrainingSettings(epochs=3.0, learning_rate=LEARNING_RATE)
"""Of the selection: three passes over the domain's training set."""


@dataclass(frozen=True)
class DemoSettings:
    """Kernels, selection and fine-tuning on the embedded model and a world of text.

    Attributes:
        out: Run directory to write.
        domain: medical, financial, legal or psychological.
        budget: Pool examples to choose.
        seeds: Fine-tunings of each kind.
        world_seed: Decides what is true in the world.
        training: Of the fine-tunings.
    """

    out: Path = Path("ntkjax-demo")
    domain: str = "medical"
    budget: int = 192
    seeds: int = 3
    world_seed: int = 0
    training: TrainingSettings = field(
        default_factory=lambda: TrainingSettings(steps=100, learning_rate=LEARNING_RATE)
    )


def check_demo_settings(settings: DemoSettings) -> None:
    """Raises `InputError` for a value that no demo can have."""
    if settings.domain not in DOMAINS:
        raise InputError(
            f"expected one of {', '.join(DOMAINS)}.",
            field="domain",
            value=settings.domain,
        )
    if settings.seeds < 2:
        raise InputError(
            "an interval needs at least 2.", field="seeds", value=settings.seeds
        )
    if settings.budget < 1:
        raise InputError("expected at least 1.", field="budget", value=settings.budget)
    if settings.budget > POOL_SIZE:
        raise InputError(
            f"the pool has {POOL_SIZE} examples.", field="budget", value=settings.budget
        )
    if not 0 <= settings.world_seed < 2**32:
        raise InputError(
            "expected 0 to 2**32 - 1.", field="world_seed", value=settings.world_seed
        )
    check_training_settings(settings.training, "training.")
