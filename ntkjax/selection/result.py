"""What `ntkjax select` found: the content of `selection.json`."""

from dataclasses import dataclass
from typing import Any

from ntkjax.selection.agreement import Agreement


@dataclass(frozen=True)
class Budget:
    """How much was to be chosen: a number of examples, or of tokens."""

    examples: int | None
    tokens: int | None


@dataclass(frozen=True)
class NumCut:
    """Examples that were cut to length, of either side."""

    target: int
    pool: int


@dataclass(frozen=True)
class StepLoss:
    """The training loss of one step."""

    step: int
    loss: float


@dataclass(frozen=True)
class WarmUp:
    """How θ came about.

    Attributes:
        kind: target, pool, none, or adapter: none, at one that was given.
        examples: Trained on.
        steps: How many; None without a warm-up.
        first_loss: Of the first step.
        last_loss: Of the last step.
        history: Losses of the steps.
    """

    kind: str
    examples: int
    steps: int | None
    first_loss: float | None
    last_loss: float | None
    history: tuple[StepLoss, ...]


@dataclass(frozen=True)
class SourceCounts:
    """One source of the pool, or several together.

    Attributes:
        source: Its name.
        pool: Examples in the pool.
        shortlisted: Examples on the shortlist; None without one.
        selected: Examples chosen.
        pool_share: Share of the pool.
        selected_share: Share of the chosen.
    """

    source: str
    pool: int
    shortlisted: int | None
    selected: int
    pool_share: float
    selected_share: float


@dataclass(frozen=True)
class VotesHistogram:
    """Votes of the pool and of the chosen, in bins between edges."""

    edges: tuple[int, ...]
    pool: tuple[int, ...]
    selected: tuple[int, ...]


@dataclass(frozen=True)
class ScoresHistogram:
    """Scores of all scored examples and of the chosen, in bins between edges."""

    edges: tuple[float, ...]
    scored: tuple[int, ...]
    selected: tuple[int, ...]


@dataclass(frozen=True)
class LengthSample:
    """Tokens and score of a sample of the scored, and whether they were chosen."""

    tokens: tuple[int, ...]
    score: tuple[float, ...]
    selected: tuple[bool, ...]


@dataclass(frozen=True)
class Distributions:
    """Of votes, None without a shortlist; of scores; of score over length."""

    votes: VotesHistogram | None
    scores: ScoresHistogram
    length_score: LengthSample


@dataclass(frozen=True)
class RankedText:
    """An example as a page shows it.

    Attributes:
        rank: In the order of picking, from 1.
        id: Its id.
        source: Its source.
        tokens: How many.
        votes: None without a shortlist.
        score: Its score.
        prompt: None for plain text.
        response: What is learned.
        selected: Whether it was chosen.
    """

    rank: int
    id: str
    source: str | None
    tokens: int
    votes: int | None
    score: float
    prompt: str | None
    response: str
    selected: bool


@dataclass(frozen=True)
class RankedTexts:
    """Examples at the top, around the cut and at the bottom of the ranking."""

    best: tuple[RankedText, ...]
    cut: tuple[RankedText, ...]
    worst: tuple[RankedText, ...]


@dataclass(frozen=True)
class Repeat:
    """Two examples that repeat each other.

    Attributes:
        kind: `exact`, or `13-gram` for a run of 13 words.
        first_id: A chosen example.
        second_id: What it repeats.
        words: What they share.
    """

    kind: str
    first_id: str
    second_id: str
    words: str


@dataclass(frozen=True)
class Repeats:
    """Chosen examples that repeat others: word for word, in a run of words, all."""

    exact: int
    ngram: int
    rows: tuple[Repeat, ...]

    @property
    def total(self) -> int:
        """Of either kind."""
        return self.exact + self.ngram


@dataclass(frozen=True)
class Duplicates:
    """Repeats among the chosen, of the target, and of holdout files, if there are."""

    within: Repeats
    target: Repeats
    holdout: Repeats | None


@dataclass(frozen=True)
class StageCost:
    """Seconds of a stage, and the peak of the process's memory until its end."""

    stage: str
    seconds: float
    peak_mib: float


@dataclass(frozen=True, kw_only=True)
class SelectionResult:
    """A selection. Names are those of `ntkjax select`.

    Attributes:
        schema: Of the file; see `ntkjax.store.results`.
        model: As the user called it.
        target: Files.
        pool: Files.
        method: What scored.
        picker: What chose by the scores.
        reverse: Whether the lowest scores were taken.
        parameters: lora or full.
        kernel: Of the method ntk; None for others.
        method_facts: What the method found, other keys for each method: plain values,
            and mappings and lists of them; a list of mappings is a table.
        num_target: Target examples.
        num_aim: What the method looked at: target examples, or dualsft's validation
            examples.
        validation: Files that these come from, else the target.
        num_neighbors: Of a vote; None without a shortlist.
        budget: What was asked for.
        num_cut: Examples that were cut to length.
        warmup: How θ came about.
        num_pool: Examples of the pool.
        num_shortlisted: Examples on the shortlist; None without one.
        num_selected: Examples chosen.
        selected_tokens: Tokens of the chosen.
        pool_tokens: Tokens of the pool.
        padding: Tokens that a pass over the pool computes beside them, as a share.
        sources: By the number of chosen examples, then by name.
        distributions: Of votes, scores and lengths.
        length_score_spearman: Rank correlation of tokens and score.
        texts: Some examples in full.
        agreement: With plain embeddings; None without a shortlist.
        duplicates: Texts that repeat others.
        versions: By package.
        device: In words.
        precision: In words.
        seed: Of everything that is drawn.
        stages: What it cost.
    """

    schema: int = 1
    model: str
    target: tuple[str, ...]
    pool: tuple[str, ...]
    method: str
    picker: str
    reverse: bool
    parameters: str
    kernel: str | None
    method_facts: dict[str, Any]
    num_target: int
    num_aim: int
    validation: tuple[str, ...]
    num_neighbors: int | None
    budget: Budget
    num_cut: NumCut
    warmup: WarmUp
    num_pool: int
    num_shortlisted: int | None
    num_selected: int
    selected_tokens: int
    pool_tokens: int
    padding: float
    sources: tuple[SourceCounts, ...]
    distributions: Distributions
    length_score_spearman: float
    texts: RankedTexts
    agreement: Agreement | None
    duplicates: Duplicates
    versions: dict[str, str]
    device: str
    precision: str
    seed: int
    stages: tuple[StageCost, ...] = ()
