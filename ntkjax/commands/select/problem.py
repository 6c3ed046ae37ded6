"""What a method of selection is given, from the settings and files of a run."""

from ntkjax.commands.select.choice import Choice
from ntkjax.commands.select.inputs import Inputs
from ntkjax.commands.select.pool_passes import PoolCandidates
from ntkjax.commands.select.settings import SelectSettings, method_options
from ntkjax.models.config import DecoderConfig
from ntkjax.models.language_model import split_model
from ntkjax.models.lora import LoraSettings
from ntkjax.passes.run_pass import Batching
from ntkjax.runs.model import Prepared
from ntkjax.selection.problem import Outline, Problem, Snapshot


def outline_of(
    settings: SelectSettings,
    config: DecoderConfig,
    lora: LoraSettings | None,
    vocab_size: int,
) -> Outline:
    """What is known before any weight is read.

    Args:
        settings: Of the run.
        config: The model's.
        lora: The adapter's; None if θ is all weights.
        vocab_size: Rows of the head that stand for tokens.

    Raises:
        InputError: If a target of LoRA matches nothing.
    """
    split_model(config, lora)  # from shapes alone
    return Outline(config, lora, vocab_size, method_options(settings))


def problem_of(
    settings: SelectSettings,
    prepared: Prepared,
    snapshots: tuple[Snapshot, ...],
    inputs: Inputs,
    candidates: PoolCandidates,
) -> Problem:
    """The problem of choosing from these candidates."""
    batching = Batching(
        settings.pooling,
        settings.tokens_per_batch,
        settings.max_length,
        prepared.mesh,
        settings.length_normalize,
    ).fitted(candidates.sampled_lengths(), len(candidates))
    groups = tuple(e.group for e in inputs.aim if e.group is not None)
    if len(groups) < len(inputs.aim):  # then they count for nothing
        groups = ()
    choice = Choice(settings, candidates)
    return Problem(
        model=prepared.model,
        start=prepared.theta,
        snapshots=snapshots,
        target=tuple(inputs.aim),
        target_tokens=tuple(inputs.encode(inputs.aim)),
        groups=groups or None,
        candidates=candidates,
        batching=batching,
        vocab_size=inputs.encode.vocab_size,
        options=method_options(settings),
        seed=settings.seed,
        pick=choice.pick,
        about=choice.about,
    )
