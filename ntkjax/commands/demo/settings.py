"""Settings of `ntkjax demo`: all have defaults."""

from dataclasses import dataclass, field
from pathlib import Path

from ntkjax.data.world import POOL_SIZE
from ntkjax.data.world_words import DOMAINS
from ntkjax.models.lora import LoraSettings
from ntkjax.rules import SEED, Rule, check, one_of
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


_RULES = {
    "domain": one_of(DOMAINS),
    "budget": Rule(
        lambda value: 1 <= value <= POOL_SIZE,
        f"1 to {POOL_SIZE}, the examples of the pool",
    ),
    "seeds": Rule(lambda value: value >= 2, "at least 2, for an interval"),
    "world_seed": SEED,
}


def check_demo_settings(settings: DemoSettings) -> None:
    """Raises `InputError` for a value that no demo can have."""
    check(settings, _RULES)
    check_training_settings(settings.training, "training.")
