"""`ntkjax select`: the examples of a pool that help a domain, chosen and written down.

    warm-up → shortlist → scores → picker and budget

A killed run goes on where it was, and ends with the same bits. What the passes find is
kept under `stages`, where other methods and budgets find it again.
"""

import hashlib
from dataclasses import replace

from ntkjax.checkpoints.families.table import read_config
from ntkjax.checkpoints.loading import FoundModel
from ntkjax.commands.select.choice import Choice
from ntkjax.commands.select.facts import run_facts
from ntkjax.commands.select.inputs import Inputs, identify_selection, read_inputs
from ntkjax.commands.select.job_notes import note_job
from ntkjax.commands.select.outputs import publish_theta, write_parameters
from ntkjax.commands.select.pool_passes import PoolCandidates, Stages
from ntkjax.commands.select.problem import outline_of, problem_of
from ntkjax.commands.select.result import Selection, write_scores
from ntkjax.commands.select.settings import (
    SHORTLIST_FACTOR,
    SelectSettings,
    check_select_settings,
    with_defaults,
)
from ntkjax.commands.select.warmup import WARM_UP, no_warm_up, warm_up
from ntkjax.data.templates import DEFAULT_TEMPLATE
from ntkjax.devices import processes
from ntkjax.devices.teams import Team
from ntkjax.math.seeds import stream
from ntkjax.models.lora import LoraSettings
from ntkjax.reports.selection.page import write_selection_page
from ntkjax.runs.ledger import Ledger
from ntkjax.runs.model import Prepared, prepare, resolve_lora
from ntkjax.runs.pinned_model import model_facts, pinned_model
from ntkjax.runs.run import MODEL, Outcome
from ntkjax.selection.embedding_pass import embedded
from ntkjax.selection.methods.table import Method, named_method
from ntkjax.selection.pickers.table import named_picker
from ntkjax.selection.problem import Problem, Rankings, Scored, Snapshot
from ntkjax.selection.ranking import ranking
from ntkjax.selection.result import SelectionResult, StageCost
from ntkjax.selection.shortlist import shortlist
from ntkjax.settings.template import template_options
from ntkjax.store.atomic import write_atomically
from ntkjax.store.bucket import require_reachable
from ntkjax.store.run_directory import plain_values, require_writable
from ntkjax.store.run_path import absolute
from ntkjax.store.shards import NO_PART, parse_part


RELIEF = {WARM_UP: "training.micro_batch", "": "tokens_per_batch"}
"""Stage ↦ the setting that lowers its memory."""


def run_select(
    settings: SelectSettings, *, computes: bool = True
) -> Outcome[SelectionResult]:
    """Chooses, and writes the run directory. A finished one is read again.

    Args:
        settings: Of the run.
        computes: Whether long passes are done here, or must all be there.

    Raises:
        InputError: For anything in flags, files, model or adapter that cannot be used.
        Unfinished: As one of several jobs, when others have shards to write still;
            without `computes`, when anything is missing.
    """
    check_select_settings(settings)
    settings = with_defaults(settings)
    require_reachable(settings.out, "out")
    ledger = Ledger()
    found_model = pinned_model(settings.model, settings.out)
    is_lora = settings.parameters == "lora"
    lora = resolve_lora(settings.lora, settings.adapter) if is_lora else None
    run = identify_selection(settings, lora, found_model.folder)
    before = run.finished()
    if before is not None:
        return before
    inputs = read_inputs(settings, found_model.folder)
    method = named_method(settings.method)
    config = read_config(found_model.folder).decoder
    method.check(outline_of(settings, config, lora, inputs.encode.vocab_size))
    prepared = _load(settings, lora, inputs)
    team = Team(prepared.mesh) if processes.is_joined() else None
    part = _part(settings, team) if computes else NO_PART
    stages = _stages(settings, lora, run.inputs, part, team)
    # Not before: a slip in a flag must not claim it.
    with run.claimed(ledger, model_facts(found_model, prepared.model), RELIEF):
        if settings.shard is not None and processes.is_first():
            note_job(settings)
        ledger.book("load")
        snapshots, history = _warmed_up(settings, prepared, inputs, stages)
        ledger.book("warm-up")
        decides = {"pool": run.inputs["pool"]}
        candidates = PoolCandidates(inputs.pool, inputs.encode, stages, decides)
        problem = problem_of(settings, prepared, snapshots, inputs, candidates)
        found, scored = _choose(settings, method, problem, candidates, ledger)
        if not processes.is_first():
            return run.of_first()
        with run.completing() as by_another:
            if by_another is not None:
                return by_another
            outputs = _publish(settings, prepared, snapshots[-1], found_model)
            files = run.inputs[MODEL]
            outputs += _write(settings, prepared, inputs, found, scored, files)
            how = (candidates, problem.batching)
            result = run_facts(settings, inputs, found, scored, history, *how)
            ledger.book("report")
            costs = tuple(StageCost(**cost) for cost in ledger.stages())
            result = replace(result, stages=costs)
            page = lambda path: write_selection_page(result, path)
            write_atomically(settings.out / "report.html", page)
            outputs += ["report.html", run.metrics]
            return run.finish(result, outputs, _manifest(result))


def _publish(
    settings: SelectSettings, prepared: Prepared, end: Snapshot, found: FoundModel
) -> list[str]:
    """Writes θ at the end of the warm-up, unless it is the model as it was."""
    model = prepared.model
    if not end.num_steps and model.lora is None:
        return []
    return [publish_theta(settings.out, end.theta, model, found.id, found.folder)]


def _write(
    settings: SelectSettings,
    prepared: Prepared,
    inputs: Inputs,
    found: Selection,
    scored: Scored,
    model_hash: str,
) -> list[str]:
    """Writes scores, the chosen, and what there is of parameters; gives the names."""
    out, pool = settings.out, inputs.pool
    selected = f"selected{pool.format.suffixes[0]}"
    write_scores(pool, found, out / "scores.parquet")
    pool.write_rows(found.selected, out / selected)
    written = write_parameters(out, scored, prepared.model, prepared.theta, model_hash)
    return ["scores.parquet", selected, *written]


def _choose(
    settings: SelectSettings,
    method: Method,
    problem: Problem,
    candidates: PoolCandidates,
    ledger: Ledger,
) -> tuple[Selection, Scored]:
    """What is chosen from the whole pool, and what the method said of the scored."""
    votes, scored_rows = None, candidates
    if settings.shortlist == "vote":
        neighbors = settings.neighbors or problem.about()
        votes = embedded(problem, settings.embedding).votes(neighbors)
        size = settings.shortlist_size or SHORTLIST_FACTOR * problem.about()
        scored_rows = candidates.limited_to(shortlist(votes, size))
        pick = Choice(settings, scored_rows).pick
        problem = replace(problem, candidates=scored_rows, pick=pick)
        ledger.book("embeddings and vote")
    scored = method.score(problem)
    rankings = _rankings(settings, method, problem, scored)
    ledger.book("scores")
    order, number = Choice(settings, scored_rows).order(scored, rankings)
    ledger.book("picker")
    rows = scored_rows.rows
    found = Selection(
        tokens=candidates.lengths(),
        votes=votes,
        scored=rows,
        scores=scored.scores,
        order=rows[order],
        selected=rows[order[:number]],
    )
    return found, scored


def _part(settings: SelectSettings, team: Team | None) -> tuple[int, int]:
    """Which part of the long passes is ours, counted from 1, and of how many."""
    if team is not None:
        return team.part
    return (1, 1) if settings.shard is None else parse_part(settings.shard)


def _load(
    settings: SelectSettings, lora: LoraSettings | None, inputs: Inputs
) -> Prepared:
    """The model, and θ before the warm-up."""
    return prepare(
        inputs.folder,
        lora,
        settings.adapter,
        dtype=settings.dtype,
        seed=settings.seed,
        devices=settings.devices,
        apart=True,
    )


def _stages(
    settings: SelectSettings,
    lora: LoraSettings | None,
    hashes: dict[str, str],
    part: tuple[int, int],
    team: Team | None,
) -> Stages:
    """Where stages are kept, and what decides all of them.

    Raises:
        InputError: If the folder cannot be written.
    """
    decides = {
        "model": hashes["model"],
        "lora": lora and plain_values(lora),
        "dtype": settings.dtype,
        "max_length": settings.max_length,
    }
    template = template_options(settings)
    if template != DEFAULT_TEMPLATE:
        decides["template"] = plain_values(template)
    run = hashlib.sha256(str(absolute(settings.out)).encode()).hexdigest()[:8]
    folder = settings.out / "stages"
    if settings.stages is not None:
        folder = settings.stages
        require_writable(folder, "stages")
    return Stages(
        *(folder, decides, settings.rows_per_shard, part, run, team),
        notes={"tokens_per_batch": settings.tokens_per_batch},
    )


def _warmed_up(
    settings: SelectSettings,
    prepared: Prepared,
    inputs: Inputs,
    stages: Stages,
) -> tuple[tuple[Snapshot, ...], list[dict]]:
    """Snapshots of the warm-up, and the history of its losses."""
    if settings.warmup == "none":
        return (no_warm_up(prepared.theta),), []
    return warm_up(
        stages,
        prepared.model,
        prepared.theta,
        inputs.warmup,
        settings.training,
        seed=stream(settings.seed, "warm-up"),
        max_length=settings.max_length,
        mesh=prepared.mesh,
    )


def _rankings(
    settings: SelectSettings, method: Method, problem: Problem, scored: Scored
) -> Rankings | None:
    """The method's own rankings, or one for each group of the target."""
    if named_picker(settings.picker).needs != "rankings":
        return None
    if scored.rankings is not None:
        return scored.rankings
    groups = [problem.limited_to(rows) for rows in problem.group_rows().values()]
    return tuple(ranking(method.score(group).scores) for group in groups)


def _manifest(result: SelectionResult) -> dict:
    names = ("versions", "device", "precision", "seed", "num_cut", "stages")
    values = plain_values(result)
    return {name: values[name] for name in names}
