"""A selection to be planned: how many examples each of its parts has to do with."""

import math
from dataclasses import dataclass

from ntkjax.commands.plan.costs.model_cost import ModelCost
from ntkjax.commands.plan.settings import PlanSettings
from ntkjax.commands.plan.workload import Lengths, Workload
from ntkjax.commands.select.problem import outline_of
from ntkjax.commands.select.settings import SHORTLIST_FACTOR
from ntkjax.commands.select.warmup import MOST_SNAPSHOTS
from ntkjax.selection.methods.table import named_method
from ntkjax.selection.passes import Counts
from ntkjax.selection.problem import Outline
from ntkjax.training.settings import DEFAULT_EPOCHS


@dataclass(frozen=True)
class Selection:
    """A selection to be planned.

    Attributes:
        settings: After `with_defaults`.
        cost: The model.
        workload: Examples.
        vocab_size: Rows of the head that stand for tokens.
    """

    settings: PlanSettings
    cost: ModelCost
    workload: Workload
    vocab_size: int

    @property
    def budget(self) -> int:
        """N: about so many examples are chosen."""
        if self.settings.budget is not None:
            return self.settings.budget
        tokens = (self.settings.budget_tokens or 0) / self.workload.pool.mean
        return min(self.workload.num_pool, max(1, int(tokens)))

    @property
    def shortlist(self) -> int:
        """M: candidates of a shortlist."""
        size = self.settings.shortlist_size or SHORTLIST_FACTOR * self.budget
        return min(size, self.workload.num_pool)

    @property
    def scored(self) -> int:
        """Candidates that the method scores."""
        by_vote = self.settings.shortlist == "vote"
        return self.shortlist if by_vote else self.workload.num_pool

    @property
    def warmup_examples(self) -> int:
        """What the warm-up trains on."""
        if self.settings.warmup == "none":
            return 0
        if self.settings.warmup == "target":
            return self._left_of_target
        return max(1, round(self.settings.warmup_share * self.workload.num_pool))

    @property
    def warmup_seen(self) -> int:
        """Examples that the warm-up sees, each as often as it comes."""
        training, number = self.settings.training, self.warmup_examples
        if number == 0:
            return 0
        if training.steps is not None:
            return training.steps * training.batch_size
        if training.token_budget is not None:
            tokens = self._warmup_lengths.mean * training.batch_size
            return math.ceil(training.token_budget / tokens) * training.batch_size
        return max(1, round((training.epochs or DEFAULT_EPOCHS) * number))

    @property
    def training_lengths(self) -> Lengths:
        """How long a step of the warm-up is padded: as its longest example."""
        size = self.settings.training.batch_size
        return self._warmup_lengths.of_longest(size)

    @property
    def micro_batch(self) -> int:
        """Examples of a backward pass of the warm-up."""
        training = self.settings.training
        return training.micro_batch or training.batch_size

    @property
    def _warmup_lengths(self) -> Lengths:
        on_target = self.settings.warmup == "target"
        return self.workload.target if on_target else self.workload.pool

    @property
    def _left_of_target(self) -> int:
        """Domain examples for the warm-up: a share for validation is left out of it."""
        settings, workload = self.settings, self.workload
        if settings.validation or not named_method(settings.method).validates:
            return workload.num_target
        return workload.num_target - workload.num_aim

    @property
    def snapshots(self) -> int:
        """Snapshots of the warm-up that are kept."""
        if self.warmup_seen == 0:
            return 1
        size = self.settings.training.batch_size
        steps = math.ceil(self.warmup_seen / size)
        each = math.ceil(self.warmup_examples / size)
        epochs = math.ceil(steps / each)
        return math.ceil(epochs / math.ceil(epochs / MOST_SNAPSHOTS))

    @property
    def outline(self) -> Outline:
        """What the method is asked for, as `select` asks it."""
        return outline_of(
            self.settings, self.cost.config, self.cost.lora, self.vocab_size
        )

    @property
    def counts(self) -> Counts:
        """How many of everything the method has to do with."""
        return Counts(
            pool=self.workload.num_pool,
            scored=self.scored,
            target=self.workload.num_aim,
            chosen=self.budget,
            snapshots=self.snapshots,
            rows_per_shard=self.settings.rows_per_shard,
            theta=self.cost.num_theta,
        )
