"""What a method of selection is given, from the settings and files of a run."""

from ntkjax.models.language_model import LanguageModel
from ntkjax.pipeline.pool_passes import PoolCandidates
from ntkjax.pipeline.select_choice import Choice
from ntkjax.pipeline.select_inputs import Inputs
from ntkjax.pipeline.select_settings import SelectSettings, method_options
from ntkjax.pipeline.setup import Prepared
from ntkjax.selection.passes import Batching
from ntkjax.selection.problem import Problem, Prospect, Snapshot


def prospect_of(
    settings: SelectSettings, model: LanguageModel, inputs: Inputs
) -> Prospect:
    """What is known before any work."""
    return Prospect(
        model,
        inputs.encode.vocab_size,
        method_options(settings),
        settings.seed,
        has_moments=settings.warmup != "none",
    )


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
        settings.batch_size,
        settings.max_length,
        prepared.mesh,
        settings.length_normalize,
    )
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
