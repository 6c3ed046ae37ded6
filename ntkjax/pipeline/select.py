"""`ntkjax select`: the examples of a pool that help a domain, chosen and written down.

The stages are those of `ntkjax.pipeline.select_stages`; a killed run goes on where it
was, and ends with the same bits.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int32, Int64

from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.kernels.probe_kernel import ProbeKernel
from ntkjax.kernels.readout import read_readout, readout_function
from ntkjax.kernels.table import named_kernel
from ntkjax.models.adapter import read_adapter
from ntkjax.models.language_model import LanguageModel
from ntkjax.models.loading import find_model
from ntkjax.models.lora import LoraSettings
from ntkjax.notation import OutputFn, Theta
from ntkjax.pipeline import environment
from ntkjax.pipeline.fidelity_settings import stream
from ntkjax.pipeline.ledger import Ledger
from ntkjax.pipeline.select_inputs import Inputs, identity_of, read_inputs
from ntkjax.pipeline.select_result import (
    Selection,
    duplicate_facts,
    selection_facts,
    write_scores,
)
from ntkjax.pipeline.select_settings import (
    SHORTLIST_FACTOR,
    SelectSettings,
    check_select_settings,
)
from ntkjax.pipeline.select_stages import (
    ADAPTER,
    PoolPasses,
    adapter_hash,
    columns,
    embed_and_vote,
    publish_adapter,
    warm_up,
)
from ntkjax.pipeline.setup import prepare, resolve_lora
from ntkjax.reports.selection_page import write_selection_page
from ntkjax.selection.passes import Batching
from ntkjax.selection.ranking import ranking, top, top_within_tokens
from ntkjax.selection.scores import domain_scorer
from ntkjax.selection.shortlist import shortlist
from ntkjax.store.atomic import write_atomically, write_json
from ntkjax.store.run_directory import add_to_manifest, open_run, read_json
from ntkjax.store.shards import parse_part


RESULT = "selection.json"


@dataclass(frozen=True)
class SelectRun:
    """What a run found.

    Attributes:
        result: Content of `selection.json`.
        reused: Whether a finished run of the same settings was found.
    """

    result: dict
    reused: bool


@dataclass(frozen=True, eq=False)
class _Model:
    """The model and its adapter at the start.

    Attributes:
        frozen: The model.
        theta: θ before the warm-up.
        base: What the probes act on.
        kernel: The probes.
    """

    frozen: LanguageModel
    theta: Theta
    base: OutputFn
    kernel: ProbeKernel


def run_select(settings: SelectSettings) -> SelectRun:
    """Chooses, and writes the run directory. A finished one is read again.

    Raises:
        InputError: For anything in flags, files, model or adapter that cannot be used.
        Unfinished: With `--shard`, when other jobs have shards to write still.
    """
    check_select_settings(settings)
    part = (1, 1) if settings.shard is None else parse_part(settings.shard)
    out = settings.out
    ledger = Ledger(out / "metrics.jsonl")
    folder = find_model(settings.model)
    lora = resolve_lora(settings.lora, settings.adapter)
    inputs = read_inputs(settings, folder)
    identity = identity_of(settings, lora, folder)
    if (out / RESULT).exists():
        open_run(out, *identity)
        return SelectRun(read_json(out / RESULT), reused=True)
    model = _load(settings, lora, inputs)
    open_run(out, *identity)  # not before: a slip in a flag must not claim it
    ledger.book("load")
    theta, history = _adapted(settings, model, inputs, part)
    ledger.book("warm-up")
    passes = PoolPasses(
        inputs.pool,
        inputs.encode,
        out,
        {"run": identity, "adapter": adapter_hash(out)},
        settings.rows_per_shard,
        part,
    )
    found, num_cut = _score(settings, model, inputs, theta, passes, ledger)
    write_scores(inputs.pool, found, out / "scores.parquet")
    suffix = "parquet" if inputs.pool.is_parquet else "jsonl"
    inputs.pool.write_rows(found.selected, out / f"selected.{suffix}")
    result = _facts(settings, inputs, found, num_cut, history)
    ledger.book("report")
    result["stages"] = ledger.stages()
    add_to_manifest(out, {"command": "select", **_manifest(result)})
    write_atomically(
        out / "report.html", lambda path: write_selection_page(result, path)
    )
    write_json(out / RESULT, result)  # last: it marks the run as finished
    return SelectRun(result, reused=False)


def _load(settings: SelectSettings, lora: LoraSettings, inputs: Inputs) -> _Model:
    vocab_size = inputs.encode.vocab_size
    prepared = prepare(
        inputs.folder,
        lora,
        settings.adapter,
        dtype=settings.dtype,
        seed=settings.seed,
        vocab_size=vocab_size,
    )
    readout = read_readout(prepared.model, vocab_size)
    try:
        kernel = named_kernel(settings.kernel, readout, stream(settings.seed, "probes"))
    except InputError as error:
        reason = str(error).removeprefix("--kernels: ")
        raise InputError(f"--kernel {settings.kernel}: {reason}") from error
    base = readout_function(prepared.model, readout)
    return _Model(prepared.model, prepared.theta, base, kernel)


def _adapted(
    settings: SelectSettings,
    model: _Model,
    inputs: Inputs,
    part: tuple[int, int],
) -> tuple[dict, list[dict]]:
    """θ after the warm-up as `out/adapter` holds it, and the history of losses."""
    out = settings.out
    if settings.warmup == "lora":
        return warm_up(
            out,
            model.frozen,
            model.theta,
            inputs.target,
            settings.training,
            seed=stream(settings.seed, "warm-up"),
            max_length=settings.max_length,
            mesh=data_mesh(),
            part=part,
            base_name=settings.model,
        )
    if not (out / ADAPTER).exists():
        publish_adapter(out, model.theta, model.frozen, settings.model)
    return read_adapter(out / ADAPTER, model.frozen), []


def _score(
    settings: SelectSettings,
    model: _Model,
    inputs: Inputs,
    theta: dict,
    passes: PoolPasses,
    ledger: Ledger,
) -> tuple[Selection, int]:
    """Scores and ranks pool or shortlist; also says how many texts were cut."""
    mesh = data_mesh()
    batching = Batching(
        settings.embedding, settings.batch_size, settings.max_length, mesh
    )
    embedded = None
    rows = np.arange(len(inputs.pool), dtype=np.int64)
    if settings.shortlist == "vote":
        embedded = embed_and_vote(
            passes,
            model.frozen,
            theta,
            inputs.target,
            batching,
            lambda tokens: settings.neighbors or _about(settings, tokens),
        )
        size = settings.shortlist_size
        size = size or SHORTLIST_FACTOR * _about(settings, embedded.tokens)
        rows = np.sort(shortlist(embedded.votes, size))
        ledger.book("embeddings and vote")
    scores, tokens, was_cut = _kernel_pass(settings, model, inputs, theta, passes, rows)
    ledger.book("kernel scores")
    if embedded is not None:
        tokens, was_cut = embedded.tokens, embedded.was_cut
    chosen = rows[_chosen(settings, scores, tokens[rows])]
    votes = None if embedded is None else embedded.votes
    found = Selection(tokens, votes, rows, scores, rows[ranking(scores)], chosen)
    return found, int(was_cut.sum())


def _chosen(
    settings: SelectSettings,
    scores: Float64[np.ndarray, " k"],
    tokens: Int32[np.ndarray, " k"],
) -> Int64[np.ndarray, " b"]:
    if settings.budget_tokens is not None:
        return top_within_tokens(scores, tokens, settings.budget_tokens)
    return top(scores, settings.budget or 0)


def _kernel_pass(
    settings: SelectSettings,
    model: _Model,
    inputs: Inputs,
    theta: dict,
    passes: PoolPasses,
    rows: Int64[np.ndarray, " k"],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Score, tokens and cut of each of the rows."""
    batching = Batching(
        settings.pooling,
        settings.batch_size,
        settings.max_length,
        data_mesh(),
        settings.length_normalize,
    )
    scorer = domain_scorer(model.base, model.kernel, theta, inputs.target, batching)

    def compute(texts, advance) -> dict[str, np.ndarray]:
        return {"score": scorer(texts, advance=advance)}

    store = passes.run("scores", rows, compute)
    score, tokens, was_cut = columns(store, "score", "tokens", "was_cut")
    return score.astype(np.float64), tokens, was_cut


def _about(settings: SelectSettings, tokens: Int32[np.ndarray, " m"]) -> int:
    """N: the budget in examples, or as many average ones as the token budget holds."""
    if settings.budget is not None:
        return settings.budget
    return max(1, int(settings.budget_tokens / tokens.mean()))


def _facts(
    settings: SelectSettings,
    inputs: Inputs,
    found: Selection,
    num_cut: int,
    history: list[dict],
) -> dict:
    """Everything of `selection.json` but the stages."""
    neighbors = None
    if found.votes is not None:
        neighbors = settings.neighbors or _about(settings, found.tokens)
    losses = [row["loss"] for row in history]
    kind = "lora" if settings.warmup == "lora" else "none"
    if kind == "none" and settings.adapter is not None:
        kind = "adapter"
    return {
        "model": settings.model,
        "target": [str(path) for path in settings.target],
        "pool": [str(path) for path in settings.pool],
        "method": "ntk",
        "kernel": settings.kernel,
        "num_target": len(inputs.target),
        "num_neighbors": neighbors,
        "budget": {"examples": settings.budget, "tokens": settings.budget_tokens},
        "num_cut": {"target": sum(e.was_cut for e in inputs.target), "pool": num_cut},
        "warmup": {
            "kind": kind,
            "steps": len(history) or None,
            "first_loss": losses[0] if losses else None,
            "last_loss": losses[-1] if losses else None,
            "history": [{"step": row["step"], "loss": row["loss"]} for row in history],
        },
        **selection_facts(inputs.pool, found, settings.seed),
        "duplicates": duplicate_facts(
            inputs.pool, found.selected, inputs.examples, inputs.holdout
        ),
        "versions": environment.versions(),
        "device": environment.device(),
        "precision": environment.precision(),
        "seed": settings.seed,
    }


def _manifest(result: dict) -> dict:
    names = ("versions", "device", "precision", "seed", "num_cut", "stages")
    return {name: result[name] for name in names}
