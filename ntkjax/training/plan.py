"""A whole training laid out in steps, before anything is computed."""

import math
from collections.abc import Sequence

import numpy as np

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.errors import InputError, setting
from ntkjax.training.order import DataOrder
from ntkjax.training.settings import (
    DEFAULT_EPOCHS,
    TrainingSettings,
    check_training_settings,
)


class Plan:
    """Which examples each step takes, and how many steps there are.

    Epochs may end inside a step, which then has fewer examples; `steps` and the token
    budget end after a whole one.

    Args:
        sources: Lists of examples.
        settings: Batch size, and what ends the training.
        seed: Decides the order.
        mix: Weights of the sources. Default: every example once per epoch.

    Attributes:
        examples: Those of all sources.
        num_steps: Optimizer steps in all.
        steps_per_epoch: Steps that see as many examples as there are.

    Raises:
        InputError: If settings, weights or examples cannot be used.
    """

    def __init__(
        self,
        sources: Sequence[Sequence[TokenizedExample]],
        settings: TrainingSettings,
        seed: int,
        mix: tuple[float, ...] | None = None,
    ):
        check_training_settings(settings)
        self.examples = [example for source in sources for example in source]
        require_targets(self.examples)
        self._batch_size = settings.batch_size
        sizes = [len(source) for source in sources]
        self._order = DataOrder(sizes, settings.batch_size, seed, mix)
        self._num_seen = self._count(settings)
        self.num_steps = math.ceil(self._num_seen / settings.batch_size)
        self.steps_per_epoch = math.ceil(len(self.examples) / settings.batch_size)

    def step(self, step: int) -> list[TokenizedExample]:
        """The examples of one step, counted from 0."""
        left = self._num_seen - step * self._batch_size
        return [self.examples[i] for i in self._order.step(step)[:left]]

    def _count(self, settings: TrainingSettings) -> int:
        """Examples seen in all, each as often as it comes."""
        if settings.steps is not None:
            return settings.steps * settings.batch_size
        if settings.token_budget is not None:
            lengths = np.array([len(example.tokens) for example in self.examples])
            step = tokens = 0
            while tokens < settings.token_budget:
                tokens += int(lengths[self._order.step(step)].sum())
                step += 1
            return step * settings.batch_size
        epochs = DEFAULT_EPOCHS if settings.epochs is None else settings.epochs
        return max(1, round(epochs * len(self.examples)))


def require_targets(examples: Sequence[TokenizedExample]) -> None:
    """Raises `InputError` for an example without a token to predict from another."""
    for example in examples:
        if not example.targets[1:].any():
            raise InputError(
                f"example {example.id!r} has no token to predict from one before it; "
                f"raise {setting('max_length')}, or remove the example."
            )
