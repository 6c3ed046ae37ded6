"""What every method of selection is given, and what it gives back.

A method is a function `Problem -> Scored`. It sees the target, the candidates, the
model along its warm-up, and nothing of commands, files or budgets; what it asks of all
candidates it asks through `Candidates.compute`, which keeps the answers.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float64, Int32, Int64

from ntkjax.data.examples import Example
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.models.config import DecoderConfig
from ntkjax.models.language_model import LanguageModel
from ntkjax.models.lora import LoraSettings
from ntkjax.notation import Theta
from ntkjax.passes.run_pass import Advance, Batching
from ntkjax.selection.options import MethodOptions


Rankings = tuple[Int64[np.ndarray, " _"], ...]
"""Positions best first, for each query; each may end early."""

Compute = Callable[[list[TokenizedExample], Advance], dict[str, np.ndarray]]


@runtime_checkable
class Columns(Protocol):
    """What a pass found, one row per candidate, in the order of the candidates."""

    def column(self, name: str) -> np.ndarray:
        """A whole column. Memory: all of it."""
        ...

    def tiles(self, name: str) -> Iterator[np.ndarray]:
        """The same column cut into tiles of rows, in order."""
        ...


@runtime_checkable
class Candidates(Protocol):
    """The examples to choose from, on disk. A position is 0, …, len - 1."""

    def __len__(self) -> int: ...

    def lengths(self) -> Int32[np.ndarray, " k"]:
        """Tokens of each candidate."""
        ...

    def limited_to(self, positions: Int64[np.ndarray, " n"]) -> "Candidates":
        """Some of the candidates, in the order of all; their passes are their own."""
        ...

    def sources(self) -> list[str | None]:
        """Where each candidate says that it comes from."""
        ...

    def texts(self) -> Iterator[list[Example]]:
        """The candidates in order, in blocks."""
        ...

    def read(self, positions: Int64[np.ndarray, " n"]) -> list[TokenizedExample]:
        """Some candidates, tokenized, in the order given."""
        ...

    def compute(
        self, name: str, decides: Mapping[str, Any], compute: Compute
    ) -> Columns:
        """Lets `compute` work on all candidates, a shard at a time, and keeps it.

        A pass that was computed before, by this method or another, is read again.

        Args:
            name: Of the pass, such as `embeddings`.
            decides: Plain values that decide the numbers: hashes of θ and of the
                target, options. Model, pool and precision are added.
            compute: Tokenized examples and `advance` to arrays with one row each.
        """
        ...

    def reduce(
        self, name: str, decides: Mapping[str, Any], compute: Compute
    ) -> dict[str, np.ndarray]:
        """Sums over all candidates, in float64; each shard's own sums are kept.

        Args:
            name: Of the pass, such as `loss gradient`.
            decides: As for `compute`.
            compute: Tokenized examples and `advance` to arrays of any shape: the sums
                over these examples.
        """
        ...

    def keep(
        self,
        name: str,
        decides: Mapping[str, Any],
        compute: Callable[[], dict[str, np.ndarray]],
    ) -> dict[str, np.ndarray]:
        """What is found once, rounded to float32, and kept beside the passes.

        Args:
            name: Such as `target gradient`.
            decides: As for `compute`.
            compute: Gives floats by name.
        """
        ...


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The warm-up at the end of an epoch or several; without one, the start.

    Attributes:
        theta: θ.
        first_moment: Adam's mean of gradients, like θ; None without a warm-up.
        second_moment: Adam's mean of squared gradients, not bias-corrected.
        num_steps: Optimizer steps so far.
        learning_rate: Its mean since the last snapshot; 1 without a warm-up.
        identity: A hash of all this.
        betas: Adam's decays β₁ and β₂, with which the moments were made.
    """

    theta: Theta
    first_moment: Theta | None
    second_moment: Theta | None
    num_steps: int
    learning_rate: float
    identity: str
    betas: tuple[float, float] = (0.9, 0.999)


@dataclass(frozen=True)
class Request:
    """What settings alone say of a problem, before any file is opened.

    Attributes:
        options: Of all methods.
        is_lora: Whether θ is an adapter; else it is all weights.
        has_moments: Whether a warm-up will give Adam's moments.
    """

    options: MethodOptions
    is_lora: bool
    has_moments: bool


@dataclass(frozen=True)
class Outline:
    """What is known of a problem before any weight is read.

    It is enough to refuse what cannot be, and to say which passes there will be.

    Attributes:
        config: The model's architecture.
        lora: Where θ sits; None if θ is all weights.
        vocab_size: Rows of the head that stand for tokens; padded ones come after.
        options: Of all methods.
    """

    config: DecoderConfig
    lora: LoraSettings | None
    vocab_size: int
    options: MethodOptions


@dataclass(frozen=True, eq=False)
class Problem:
    """What a method may use.

    Attributes:
        model: The model.
        start: θ before the warm-up.
        snapshots: Of the warm-up, oldest first; at least one.
        target: The domain's examples.
        target_tokens: The same, tokenized.
        groups: The group of each target example; None where the file names none.
        candidates: What to choose from.
        batching: Batches and devices, with the kernel's pooling.
        vocab_size: Rows of the head that stand for tokens; padded ones come after.
        options: Of all methods.
        seed: Of random draws.
        pick: Scores to the positions that picker and budget would choose, best first.
        about: N: about so many examples will be chosen.
    """

    model: LanguageModel
    start: Theta
    snapshots: tuple[Snapshot, ...]
    target: tuple[Example, ...]
    target_tokens: tuple[TokenizedExample, ...]
    groups: tuple[str, ...] | None
    candidates: Candidates
    batching: Batching
    vocab_size: int
    options: MethodOptions
    seed: int
    pick: Callable[[Float64[np.ndarray, " k"]], Int64[np.ndarray, " b"]]
    about: Callable[[], int]

    @property
    def snapshot(self) -> Snapshot:
        """The end of the warm-up."""
        return self.snapshots[-1]

    @property
    def outline(self) -> Outline:
        """What was known of it before."""
        model = self.model
        return Outline(model.config, model.lora, self.vocab_size, self.options)

    def limited_to(self, rows: Sequence[int]) -> "Problem":
        """The same problem with some of the target examples."""
        return replace(
            self,
            target=tuple(self.target[row] for row in rows),
            target_tokens=tuple(self.target_tokens[row] for row in rows),
            groups=self.groups and tuple(self.groups[row] for row in rows),
        )

    def group_rows(self) -> dict[str, list[int]]:
        """Target rows of each group, in the order in which groups appear.

        All rows under the empty name where there are no groups.
        """
        found: dict[str, list[int]] = {}
        for row, group in enumerate(self.groups or [""] * len(self.target)):
            found.setdefault(group, []).append(row)
        return found


@dataclass(frozen=True, eq=False)
class Scored:
    """What a method says of the candidates.

    Attributes:
        scores: Higher is better, finite.
        rankings: Candidates best first, for each query that the method tells apart;
            each may end early. None leaves it to groups of the target.
        features: Positions to vectors [n, d] whose inner products say how alike two
            candidates are; None where the method has none.
        facts: What the report should say, plain values.
        parameters: Arrays by name and parameter, such as `score/NAME`, of a method
            that chooses parameters too.
        mask: Those it chose: booleans like θ.
    """

    scores: Float64[np.ndarray, " k"]
    rankings: Rankings | None = None
    features: Callable[[Int64[np.ndarray, " n"]], Float[np.ndarray, "n d"]] | None = (
        None
    )
    facts: dict[str, Any] = field(default_factory=dict)
    parameters: dict[str, np.ndarray] | None = None
    mask: dict[str, np.ndarray] | None = None
