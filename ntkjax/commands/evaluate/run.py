"""`ntkjax evaluate`: likelihoods, choices and answers of a model, written down."""

from dataclasses import dataclass

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
from ntkjax.runs.model import LoraOptions, Prepared, prepare, resolve_lora
from ntkjax.runs.pinned_model import model_facts, pinned_model
from ntkjax.runs.progress import Clock, progress
from ntkjax.runs.shared_run import (
    hash_inputs,
    is_finished,
    open_shared_run,
    result_of_first,
)
from ntkjax.settings.template import template_options
from ntkjax.store.results import read_result, write_result
from ntkjax.store.run_directory import add_to_manifest, plain_values
from ntkjax.store.run_path import RunPath


RESULT = "evaluation.json"
PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class EvaluateRun:
    """What a run found.

    Attributes:
        result: The numbers.
        reused: Whether a finished run of the same settings was found.
    """

    result: EvaluationResult
    reused: bool


def run_evaluate(settings: EvaluateSettings) -> EvaluateRun:
    """Evaluates, and writes the run directory. A finished one is read again.

    Raises:
        InputError: For anything in flags, files, model or adapter that cannot be used.
    """
    clock = Clock()
    check_evaluate_settings(settings)
    found = pinned_model(settings.model, settings.out)
    lora = resolve_lora(LoraOptions(), settings.adapter)
    questions = prepare_questions(
        _read(settings),
        found.folder,
        max_length=settings.max_length,
        max_new_tokens=settings.max_new_tokens if settings.generate else None,
        template=template_options(settings),
    )
    clock.lap("read texts")
    prepared = prepare(
        found.folder,
        lora,
        settings.adapter,
        dtype=settings.dtype,
        seed=settings.seed,
        devices=settings.devices,
    )
    clock.lap("load model")
    out = _open(settings, found, prepared)
    if is_finished(out / RESULT):
        return EvaluateRun(read_result(out / RESULT, EvaluationResult), reused=True)

    with progress("evaluate", num_texts(questions), "texts") as advance:
        evaluation = evaluate(
            prepared.model,
            prepared.theta,
            questions,
            mesh=prepared.mesh,
            batch_size=settings.batch_size,
            advance=advance,
        )
    clock.lap("evaluate")
    if not processes.is_first():
        result = result_of_first(out / RESULT, EvaluationResult)
        return EvaluateRun(result, reused=False)
    result = _result(settings, questions, evaluation, clock)
    write_predictions(out / PREDICTIONS, evaluation, generated=settings.generate)
    add_to_manifest(out, {"command": "evaluate", **_facts(result)})
    write_result(out / RESULT, result)  # last: it marks the run as finished
    return EvaluateRun(result, reused=False)


def _read(settings: EvaluateSettings) -> list[Example]:
    examples = read_examples(settings.data)
    if settings.num is None:
        return examples
    return choose(examples, settings.num, settings.seed, False, "--num")


def _result(
    settings: EvaluateSettings,
    questions: Questions,
    evaluation: Evaluation,
    clock: Clock,
) -> EvaluationResult:
    overall = summarize(evaluation, settings.seed)
    by_source = summarize_by_source(evaluation, settings.seed)
    clock.lap("statistics")
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
        seconds=clock.laps,
        versions=environment.versions(),
        device=environment.device(),
        precision=environment.precision(),
    )


def _facts(result: EvaluationResult) -> dict:
    """What a manifest says of a run beside its settings."""
    names = ("versions", "device", "precision", "seed")
    facts = {name: getattr(result, name) for name in names}
    return facts | {"cut_texts": result.num_cut}


def _open(settings: EvaluateSettings, found: FoundModel, prepared: Prepared) -> RunPath:
    """The run directory, claimed for these settings and these inputs."""
    files = {"model": model_files(found.folder), "data": list(settings.data)}
    if settings.adapter is not None:
        files["adapter"] = adapter_files(settings.adapter)
    hashes = hash_inputs(files)
    resolved = plain_values(settings, without=("out", "devices"))
    facts = model_facts(found, prepared.model)
    return open_shared_run(settings.out, resolved, hashes, facts)
