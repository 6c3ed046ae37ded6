"""Settings of `ntkjax select`, and the checks that need no file."""

from dataclasses import dataclass, field
from pathlib import Path

from ntkjax.data.batches import POOLINGS
from ntkjax.errors import InputError
from ntkjax.pipeline.setup import LoraOptions
from ntkjax.training.settings import TrainingSettings, check_training_settings


WARMUPS = ("lora", "none")
SHORTLISTS = ("vote", "none")
SHORTLIST_FACTOR = 4
"""M = 4 N: the shortlist has four candidates for each that is chosen."""


@dataclass(frozen=True)
class SelectSettings:
    """Which examples of a large pool help a small domain?

    Attributes:
        model: Hugging Face folder or hub id (safetensors), or `embedded`.
        target: The domain's examples: JSON lines or Parquet, one file or more.
        pool: The candidates, the same way. They stay on disk.
        out: Run directory to write.
        budget: Examples to choose.
        budget_tokens: Tokens to choose, in place of examples: the longest prefix of the
            ranking that fits.
        num_target: Take only the first so many domain examples.
        holdout: Evaluation files; chosen examples that repeat them are reported.
        max_length: Longest example in tokens; longer ones are cut.
        warmup: Fine-tune the adapter on the domain first (lora), or not (none).
        training: Of the warm-up.
        lora: The adapter, where --adapter gives none.
        adapter: Folder of a PEFT LoRA adapter to start from. Default: a fresh one.
        shortlist: Score the candidates that the domain's nearest-neighbor vote
            prefers (vote), or all of them (none).
        shortlist_size: M. Default: four times the budget.
        neighbors: K, the candidates that each domain example votes for. Default: the
            budget.
        embedding: What an embedding averages: all tokens, the response's, the last
            one, or all tokens weighted by position (weighted).
        kernel: summed, exact, spectral_4, random_16, deflated_4_12, centered, ...
        pooling: What the kernel's h̄ averages: as for embedding.
        length_normalize: Means over tokens in kernels, or sums.
        batch_size: Candidates computed side by side on all devices together.
        rows_per_shard: Candidates per file of results: what a kill loses at most.
        shard: Do part i of n of the long passes (i/n), as one of n jobs that share
            --out. Afterwards the command without it finishes the run.
        seed: Decides a fresh adapter, the warm-up's order and probes.
        dtype: Type of frozen weights and activations: float32 or bfloat16.
    """

    model: str
    target: tuple[Path, ...]
    pool: tuple[Path, ...]
    out: Path
    budget: int | None = None
    budget_tokens: int | None = None
    num_target: int | None = None
    holdout: tuple[Path, ...] = ()
    max_length: int = 256
    warmup: str = "lora"
    training: TrainingSettings = field(default_factory=TrainingSettings)
    lora: LoraOptions = field(default_factory=LoraOptions)
    adapter: Path | None = None
    shortlist: str = "vote"
    shortlist_size: int | None = None
    neighbors: int | None = None
    embedding: str = "all"
    kernel: str = "summed"
    pooling: str = "all"
    length_normalize: bool = True
    batch_size: int = 32
    rows_per_shard: int = 1024
    shard: str | None = None
    seed: int = 0
    dtype: str = "float32"


def check_select_settings(settings: SelectSettings) -> None:
    """Raises `InputError` for a value that no run can have."""
    if (settings.budget is None) == (settings.budget_tokens is None):
        raise InputError(
            "--budget or --budget-tokens: give one of them, the number of examples or "
            "of tokens to choose."
        )
    for name in _POSITIVE:
        value = getattr(settings, name)
        if value is not None and value < 1:
            raise InputError(f"{_flag(name)} {value}: expected at least 1.")
    for name, known in _CHOICES.items():
        value = getattr(settings, name)
        if value not in known:
            raise InputError(f"--{name} {value}: expected one of {', '.join(known)}.")
    if not 0 <= settings.seed < 2**32:
        raise InputError(f"--seed {settings.seed}: expected 0 to 2**32 - 1.")
    _check_shortlist(settings)
    check_training_settings(settings.training, "training.")


_POSITIVE = (
    "budget",
    "budget_tokens",
    "num_target",
    "shortlist_size",
    "neighbors",
    "batch_size",
    "rows_per_shard",
)
_CHOICES = {
    "warmup": WARMUPS,
    "shortlist": SHORTLISTS,
    "embedding": POOLINGS,
    "pooling": POOLINGS,
}


def _check_shortlist(settings: SelectSettings) -> None:
    if settings.shortlist == "none":
        for name in ("shortlist_size", "neighbors"):
            if getattr(settings, name) is not None:
                raise InputError(f"{_flag(name)} says nothing with --shortlist none.")
    size, budget = settings.shortlist_size, settings.budget
    if size is not None and budget is not None and size < budget:
        raise InputError(
            f"--shortlist-size {size}: expected at least --budget {budget}."
        )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
