"""How many examples a selection reads, and how long they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Int

from ntkjax.checkpoints.text_encoder import text_encoder
from ntkjax.commands.plan.costs.hardware import named_hardware
from ntkjax.commands.plan.settings import PlanSettings
from ntkjax.commands.select.settings import num_aim
from ntkjax.data.batches import bucket_edges, padded_lengths
from ntkjax.data.examples import Example, read_examples
from ntkjax.data.pool import MOST_SAMPLED, open_pool, sampled_rows
from ntkjax.devices.side_by_side import program_tokens
from ntkjax.errors import InputError
from ntkjax.settings.template import template_options


@dataclass(frozen=True)
class Lengths:
    """Lengths of examples.

    Attributes:
        shares: Padded lengths, ascending, and the share of examples of each.
        mean: Tokens of an example on average, without padding.
        steps: As `shares`, as steps of a training are padded; the same if it is empty.
    """

    shares: tuple[tuple[int, float], ...]
    mean: float
    steps: tuple[tuple[int, float], ...] = ()

    @property
    def longest(self) -> int:
        """The longest padded length."""
        return self.shares[-1][0]

    @property
    def commonest(self) -> int:
        """The padded length of most tokens."""
        return max(self.shares, key=lambda pair: pair[0] * pair[1])[0]

    def merged(self, count: int, rows_at: Callable[[int], int]) -> "Lengths":
        """As `count` examples are padded in batches: few ones join longer ones.

        Args:
            count: Examples.
            rows_at: Examples of a batch of that padded length.
        """
        shares, waiting = [], 0.0
        for edge, share in self.shares:
            waiting += share
            if waiting * count >= rows_at(edge) or edge == self.longest:
                shares.append((edge, waiting))
                waiting = 0.0
        return Lengths(tuple(shares), self.mean)

    def of_longest(self, count: int) -> "Lengths":
        """The longest of `count` examples: how a step of training is padded."""
        shares, below, total = [], 0.0, 0.0
        for edge, share in self.steps or self.shares:
            total = min(1.0, total + share)
            shares.append((edge, total**count - below**count))
            below = total
        return Lengths(tuple(shares), self.mean)


@dataclass(frozen=True)
class Workload:
    """What there is to compute with.

    Attributes:
        num_pool: Candidates.
        num_target: Domain examples.
        num_aim: What the method looks at: domain examples, or those of a validation.
        pool: Lengths of candidates.
        target: Lengths of domain examples.
        aim: Lengths of what the method looks at.
    """

    num_pool: int
    num_target: int
    num_aim: int
    pool: Lengths
    target: Lengths
    aim: Lengths

    def of(self, side: str) -> Lengths:
        """Lengths of a pass's examples, by its side: the `pool` or the `target`."""
        return self.pool if side == "pool" else self.aim


def read_workload(settings: PlanSettings, folder: Path) -> Workload:
    """Counts the rows of files, and tokenizes some where there is a tokenizer.

    Without files, or without a tokenizer, every example has `tokens_per_example`
    tokens, by default `max_length`.

    Raises:
        InputError: If a file cannot be used, or has too few examples.
    """
    pool_size, pool_sample = settings.num_pool or 0, []
    if settings.pool:
        pool = open_pool(settings.pool)
        pool_size = len(pool)
        if settings.budget is not None and settings.budget > pool_size:
            raise InputError(
                f"the pool has only {pool_size} examples; choose fewer.",
                field="budget",
                value=settings.budget,
            )
        pool_sample = pool.read(sampled_rows(pool_size))
    target_size, target_sample = settings.num_target or 0, []
    if settings.target:
        target = read_examples(settings.target)
        if target_size > len(target):
            raise InputError(
                f"there are only {len(target)} examples.",
                field="num_target",
                value=target_size,
            )
        target = target[: target_size or None]
        target_size, target_sample = len(target), target[:MOST_SAMPLED]
    aim_size, aim_sample = num_aim(settings, target_size), target_sample
    if settings.validation:
        aim = read_examples(settings.validation)
        aim_size, aim_sample = len(aim), aim[:MOST_SAMPLED]
    hardware, limit = named_hardware(settings.hardware), settings.max_length
    program = program_tokens(hardware.num_chips, hardware.platform)
    parts = [
        _tokens(settings, folder, sample)
        for sample in (pool_sample, target_sample, aim_sample)
    ]
    sizes = pool_size, target_size, aim_size
    lengths = []
    for size, part in zip(sizes, parts, strict=True):
        padded = padded_lengths(part, limit, program, size / len(part))
        lengths.append(lengths_of(part, padded, limit))
    return Workload(*sizes, *lengths)


def lengths_of(
    tokens: Int[np.ndarray, " n"], padded: tuple[int, ...], max_length: int
) -> Lengths:
    """Examples of so many tokens, as passes with these padded lengths have them.

    >>> lengths_of(np.array([100, 250]), (104, 256), 256).shares
    ((104, 0.5), (256, 0.5))
    """
    shares = _shares(tokens, padded)
    return Lengths(
        shares, float(np.mean(tokens)), _shares(tokens, bucket_edges(max_length))
    )


def _shares(
    tokens: Int[np.ndarray, " n"], edges: tuple[int, ...]
) -> tuple[tuple[int, float], ...]:
    padded = np.array(edges)[np.searchsorted(edges, tokens)]
    values, counts = np.unique(padded, return_counts=True)
    return tuple(zip(values.tolist(), (counts / len(tokens)).tolist(), strict=True))


def has_tokenizer(folder: Path) -> bool:
    """Whether the model's folder has a tokenizer."""
    return (folder / "tokenizer.json").exists()


def _tokens(
    settings: PlanSettings, folder: Path, sample: Sequence[Example]
) -> Int[np.ndarray, " n"]:
    if settings.tokens_per_example is not None:
        return np.array([settings.tokens_per_example])
    if not sample or not has_tokenizer(folder):
        return np.array([settings.max_length])
    encode = text_encoder(folder, settings.max_length, template_options(settings))
    return np.array([len(example.tokens) for example in encode(sample)])
