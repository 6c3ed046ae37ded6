"""What `ntkjax train` found: the content of `train.json`."""

from dataclasses import dataclass

from ntkjax.models.coverage import Coverage


@dataclass(frozen=True)
class MaskUse:
    """A mask that a training was held to.

    Attributes:
        file: Where it was read.
        kept: Parameters that may move.
        of: Parameters in all.
    """

    file: str
    kept: int
    of: int


@dataclass(frozen=True)
class LossEnds:
    """Mean training loss over the first and the last tenth of the steps."""

    first: float
    last: float


@dataclass(frozen=True)
class ValidationLosses:
    """Mean losses over the target tokens of held-out examples.

    Attributes:
        before: At the start.
        first: The first time it was measured.
        best: At the best step.
        last: The last time.
    """

    before: float
    first: float
    best: float
    last: float


@dataclass(frozen=True)
class RetentionLosses:
    """Mean losses on general text: at the start, and with the θ that is kept."""

    before: float
    after: float | None


@dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """A training.

    Attributes:
        schema: Of the file; see `ntkjax.store.results`.
        model: As the user called it.
        parameters: lora or full.
        adapter: Where it started; None for a new one.
        mask: What it was held to; None for all parameters.
        num_examples: Trained on, by file.
        num_validation: Held-out examples.
        num_retention: Examples of general text.
        num_cut: Examples cut to length, by file, `validation` and `retention`.
        max_length: Tokens of an example at most.
        num_parameters: P.
        coverage: Which modules carry θ.
        num_steps: Steps that were made.
        num_tokens: Tokens seen in them.
        loss: Of training.
        validation_loss: None without held-out examples.
        retention_loss: None without general text.
        kept: Which θ is written: the best or the last one.
        kept_step: After which step.
        seed: Of the order, and of a new adapter.
        seconds: By stage.
        versions: By package.
        device: In words.
        precision: In words.
    """

    schema: int = 1
    model: str
    parameters: str
    adapter: str | None
    mask: MaskUse | None
    num_examples: dict[str, int]
    num_validation: int
    num_retention: int
    num_cut: dict[str, int]
    max_length: int
    num_parameters: int
    coverage: tuple[Coverage, ...]
    num_steps: int
    num_tokens: int
    loss: LossEnds
    validation_loss: ValidationLosses | None
    retention_loss: RetentionLosses | None
    kept: str
    kept_step: int
    seed: int
    seconds: dict[str, float]
    versions: dict[str, str]
    device: str
    precision: str
