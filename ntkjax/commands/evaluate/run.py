"""`ntkjax evaluate`: likelihoods, choices and answers of a model, written down."""

from ntkjax.checkpoints.adapter import adapter_files
from ntkjax.checkpoints.loading import FoundModel, model_files
from ntkjax.commands.evaluate.settings import (
    EvaluateSettings,
    check_evaluate_settings,
)
from ntkjax.data.examples import Example, choose, read_examples
from ntkjax.devices import processes
from ntkjax.evaluation.evaluate import Evaluation, evaluate, num_texts
from ntkjax.evaluation.predictions import write_predictions
from ntkjax.evaluation.questions import Questions, prepare_questions
from ntkjax.evaluation.result import EvaluationResult, SourceSummary
from ntkjax.evaluation.summary import RESAMPLES, summarize, summarize_by_source
from ntkjax.runs import environment
from ntkjax.runs.ledger import Ledger
from ntkjax.runs.model import LoraOptions, prepare, resolve_lora
from ntkjax.runs.pinned_model import model_facts, pinned_model
from ntkjax.runs.progress import progress
from ntkjax.runs.run import METRICS, MODEL, Outcome, Run, identify
from ntkjax.settings.template import template_options
from ntkjax.store.bucket import require_reachable
from ntkjax.store.run_directory import plain_values


RESULT = "evaluation.json"
PREDICTIONS = "predictions.parquet"


NOT_DECIDING = ("out", "devices")
"""Settings that decide no number, and are no part of what a run is."""


def run_evaluate(settings: EvaluateSettings) -> Outcome[EvaluationResult]:
    """Evaluates, and writes the run directory. A finished one is read again.

    Raises:
        InputError: For anything in flags, files, model or adapter that cannot be used.
    """
    ledger = Ledger()
    check_evaluate_settings(settings)
    require_reachable(settings.out, "out")
    found = pinned_model(settings.model, settings.out)
    lora = resolve_lora(LoraOptions(), settings.adapter)
    run = _identify(settings, found)
    before = run.finished()
    if before is not None:
        return before
    questions = prepare_questions(
        _read(settings),
        found.folder,
        max_length=settings.max_length,
        max_new_tokens=settings.max_new_tokens if settings.generate else None,
        template=template_options(settings),
    )
    ledger.book("read texts")
    prepared = prepare(
        found.folder,
        lora,
        settings.adapter,
        dtype=settings.dtype,
        seed=settings.seed,
        devices=settings.devices,
    )
    ledger.book("load model")
    facts = model_facts(found, prepared.model)
    with run.claimed(ledger, facts, relief={"": "tokens_per_batch"}):
        with progress("evaluate", num_texts(questions), "texts") as advance:
            evaluation = evaluate(
                prepared.model,
                prepared.theta,
                questions,
                mesh=prepared.mesh,
                tokens_per_batch=settings.tokens_per_batch,
                advance=advance,
            )
        ledger.book("evaluate")
        if not processes.is_first():
            return run.of_first()
        result = _result(settings, questions, evaluation, ledger)
        path = settings.out / PREDICTIONS
        write_predictions(path, evaluation, generated=settings.generate)
        return run.finish(result, [PREDICTIONS, METRICS], _facts(result))


def _read(settings: EvaluateSettings) -> list[Example]:
    examples = read_examples(settings.data)
    if settings.num is None:
        return examples
    return choose(examples, settings.num, settings.seed, False, "num")


def _result(
    settings: EvaluateSettings,
    questions: Questions,
    evaluation: Evaluation,
    ledger: Ledger,
) -> EvaluationResult:
    overall = summarize(evaluation, settings.seed)
    by_source = summarize_by_source(evaluation, settings.seed)
    ledger.book("statistics")
    return EvaluationResult(
        model=settings.model,
        adapter=None if settings.adapter is None else str(settings.adapter),
        data=", ".join(map(str, settings.data)),
        max_length=settings.max_length,
        max_new_tokens=settings.max_new_tokens if settings.generate else None,
        num_cut=questions.num_cut,
        num_choices=len(questions.choices),
        seed=settings.seed,
        resamples=RESAMPLES,
        overall=overall,
        sources=tuple(
            SourceSummary(**vars(summary), source=source)
            for source, summary in by_source.items()
        ),
        seconds=ledger.seconds(),
        versions=environment.versions(),
        device=environment.device(),
        precision=environment.precision(),
    )


def _facts(result: EvaluationResult) -> dict:
    """What a manifest says of a run beside its settings."""
    names = ("versions", "device", "precision", "seed")
    facts = {name: getattr(result, name) for name in names}
    return facts | {"cut_texts": result.num_cut}


def _identify(settings: EvaluateSettings, found: FoundModel) -> Run[EvaluationResult]:
    files = {MODEL: model_files(found.folder), "data": list(settings.data)}
    if settings.adapter is not None:
        files["adapter"] = adapter_files(settings.adapter)
    resolved = plain_values(settings, without=NOT_DECIDING)
    kind = EvaluationResult
    return identify("evaluate", settings.out, RESULT, kind, resolved, files)
