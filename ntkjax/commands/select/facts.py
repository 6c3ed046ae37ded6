"""Everything that `selection.json` says of a run, but for its stages."""

from typing import Any

from ntkjax.commands.select.choice import Choice
from ntkjax.commands.select.inputs import Inputs
from ntkjax.commands.select.pool_passes import PoolCandidates
from ntkjax.commands.select.result import Selection, duplicate_facts, selection_facts
from ntkjax.commands.select.settings import SelectSettings
from ntkjax.runs import environment
from ntkjax.selection.problem import Scored


def run_facts(
    settings: SelectSettings,
    inputs: Inputs,
    found: Selection,
    scored: Scored,
    history: list[dict],
    candidates: PoolCandidates,
) -> dict[str, Any]:
    """Facts by name; `ntkjax.reports.selection.page` describes them.

    Args:
        settings: Of the run.
        inputs: What was read.
        found: What was chosen.
        scored: What the method said.
        history: Losses of the warm-up.
        candidates: The whole pool.
    """
    neighbors = settings.neighbors or Choice(settings, candidates).about()
    return {
        "model": settings.model,
        "target": [str(path) for path in settings.target],
        "pool": [str(path) for path in settings.pool],
        "method": settings.method,
        "picker": settings.picker,
        "reverse": settings.reverse,
        "parameters": settings.parameters,
        "kernel": settings.kernel if settings.method == "ntk" else None,
        "method_facts": scored.facts,
        "num_target": len(inputs.examples),
        "num_aim": len(inputs.aim),
        "validation": [str(path) for path in settings.validation],
        "num_neighbors": None if found.votes is None else neighbors,
        "budget": {"examples": settings.budget, "tokens": settings.budget_tokens},
        "num_cut": {
            "target": sum(e.was_cut for e in inputs.encode(inputs.examples)),
            "pool": int(candidates.was_cut().sum()),
        },
        "warmup": _warmup(settings, inputs, history),
        **selection_facts(inputs.pool, found, settings.seed),
        "duplicates": duplicate_facts(
            inputs.pool, found.selected, inputs.examples, inputs.holdout
        ),
        "versions": environment.versions(),
        "device": environment.device(),
        "precision": environment.precision(),
        "seed": settings.seed,
    }


def _warmup(
    settings: SelectSettings, inputs: Inputs, history: list[dict]
) -> dict[str, Any]:
    losses = [row["loss"] for row in history]
    kind = settings.warmup
    if kind == "none" and settings.adapter is not None:
        kind = "adapter"
    return {
        "kind": kind,
        "examples": len(inputs.warmup),
        "steps": len(history) or None,
        "first_loss": losses[0] if losses else None,
        "last_loss": losses[-1] if losses else None,
        "history": [{"step": row["step"], "loss": row["loss"]} for row in history],
    }
