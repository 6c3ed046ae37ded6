"""The result of a selection, but for its stages."""

import numpy as np

from ntkjax.commands.select.choice import Choice
from ntkjax.commands.select.inputs import Inputs
from ntkjax.commands.select.pool_passes import PoolCandidates
from ntkjax.commands.select.result import (
    Selection,
    distributions_of,
    duplicates_of,
    sources_of,
    texts_of,
)
from ntkjax.commands.select.settings import SelectSettings
from ntkjax.math.ranking import spearman
from ntkjax.passes.run_pass import Batching
from ntkjax.runs import environment
from ntkjax.selection.agreement import Agreement, agreement
from ntkjax.selection.methods.table import named_method
from ntkjax.selection.problem import Scored
from ntkjax.selection.result import Budget, NumCut, SelectionResult, StepLoss, WarmUp


def run_facts(
    settings: SelectSettings,
    inputs: Inputs,
    found: Selection,
    scored: Scored,
    history: list[dict],
    candidates: PoolCandidates,
    batching: Batching,
) -> SelectionResult:
    """The result without stages.

    Args:
        settings: Of the run.
        inputs: What was read.
        found: What was chosen.
        scored: What the method said.
        history: Losses of the warm-up.
        candidates: The whole pool.
        batching: Of the passes.
    """
    method = named_method(settings.method)
    is_voted = found.votes is not None
    neighbors = settings.neighbors or Choice(settings, candidates).about()
    lengths = found.tokens[found.scored].astype(np.float64)
    return SelectionResult(
        model=settings.model,
        target=tuple(map(str, settings.target)),
        pool=tuple(map(str, settings.pool)),
        method=settings.method,
        picker=settings.picker,
        reverse=settings.reverse,
        parameters=settings.parameters,
        kernel=settings.kernel if "kernel" in method.flags else None,
        method_facts=scored.facts,
        num_target=len(inputs.examples),
        num_aim=len(inputs.aim),
        validation=tuple(map(str, settings.validation)),
        num_neighbors=neighbors if is_voted else None,
        budget=Budget(settings.budget, settings.budget_tokens),
        num_cut=NumCut(
            target=sum(e.was_cut for e in inputs.encode(inputs.examples)),
            pool=int(candidates.was_cut().sum()),
        ),
        warmup=_warmup(settings, inputs, history),
        num_pool=len(inputs.pool),
        num_shortlisted=len(found.scored) if is_voted else None,
        num_selected=len(found.selected),
        selected_tokens=int(found.tokens[found.selected].sum()),
        pool_tokens=int(found.tokens.sum(dtype=np.int64)),
        padding=batching.padding(found.tokens, settings.rows_per_shard),
        sources=sources_of(inputs.pool, found),
        distributions=distributions_of(found, settings.seed),
        length_score_spearman=spearman(lengths, found.scores),
        texts=texts_of(inputs.pool, found),
        agreement=_agreement(found),
        duplicates=duplicates_of(
            inputs.pool, found.selected, inputs.examples, inputs.holdout
        ),
        versions=environment.versions(),
        device=environment.device(),
        precision=environment.precision(),
        seed=settings.seed,
    )


def _warmup(settings: SelectSettings, inputs: Inputs, history: list[dict]) -> WarmUp:
    kind = settings.warmup or "none"
    if kind == "none" and settings.adapter is not None:
        kind = "adapter"
    losses = tuple(StepLoss(row["step"], row["loss"]) for row in history)
    return WarmUp(
        kind=kind,
        examples=len(inputs.warmup),
        steps=len(losses) or None,
        first_loss=losses[0].loss if losses else None,
        last_loss=losses[-1].loss if losses else None,
        history=losses,
    )


def _agreement(found: Selection) -> Agreement | None:
    if found.votes is None:
        return None
    return agreement(found.votes, found.scored, found.scores, found.selected)
