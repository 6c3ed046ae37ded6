"""Whole runs on the tiny world; what is written against what it follows from."""

import json

import jax
import numpy as np
import pyarrow.parquet
import pytest
import safetensors.numpy

from ntkjax.checkpoints.adapter import read_adapter, read_adapter_settings
from ntkjax.checkpoints.loading import load_model
from ntkjax.commands.evaluate.run import run_evaluate
from ntkjax.commands.evaluate.settings import EvaluateSettings
from ntkjax.data.examples import read_examples
from ntkjax.errors import InputError
from ntkjax.evaluation.questions import prepare_questions
from ntkjax.models.lora import LoraSettings, initial_theta
from ntkjax.settings.config_file import read_config_file
from ntkjax.store.run_directory import plain_values
from tests.commands.world import build_world, write_records
from tests.evaluation.problem import questions_of, slow_generate, slow_nll


def write_questions(path, n: int = 9):
    records = []
    for example in questions_of(n):
        record = {
            "id": example.id,
            "prompt": example.prompt,
            "response": example.response,
            "source": example.source,
        }
        if example.choices is not None:
            record |= {"choices": example.choices, "answer": example.answer}
        records.append(record)
    write_records(path, records)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("world"))
    world.write_adapter("a", seed=1)
    write_questions(world.root / "questions.jsonl")
    return world


def run(world, out, **changes):
    values = {
        "model": str(world.model),
        "data": (world.root / "questions.jsonl",),
        "out": world.root / out,
        "max_length": 24,
        "tokens_per_batch": 96,
    }
    return run_evaluate(EvaluateSettings(**(values | changes)))


def table(world, out) -> list[dict]:
    path = world.root / out / "predictions.parquet"
    return pyarrow.parquet.read_table(path).to_pylist()


def read(world, out, name="evaluation.json") -> dict:
    return json.loads((world.root / out / name).read_text())


@pytest.fixture(scope="module")
def finished(world):
    adapter = world.root / "a"
    run(world, "finished", adapter=adapter, generate=True, max_new_tokens=4)
    return world


def check_rows(rows, model, theta, questions):
    choices = iter(questions.choices)
    for index, row in enumerate(rows):
        expected = slow_nll(model, theta, questions.responses[index])
        assert row["nll"] * row["tokens"] == pytest.approx(expected, rel=1e-5)
        found = [
            -slow_nll(model, theta, next(choices)) for _ in row["scores_sum"] or ()
        ]
        assert (row["scores_sum"] or []) == pytest.approx(found, rel=1e-5)


@pytest.mark.slow
def test_predictions_follow_from_model_adapter_and_files(finished):
    model = load_model(finished.model, read_adapter_settings(finished.root / "a"))
    theta = read_adapter(finished.root / "a", model)
    examples = read_examples([finished.root / "questions.jsonl"])
    questions = prepare_questions(
        examples, finished.model, max_length=24, max_new_tokens=4
    )
    rows = table(finished, "finished")
    assert [row["id"] for row in rows] == [e.id for e in examples]
    check_rows(rows, model, theta, questions)
    for row, prompt in zip(rows, questions.prompts.tokenized, strict=True):
        new = slow_generate(model, theta, prompt.tokens, 4, 2, 64)
        text = questions.prompts.tokenizer.decode(new, skip_special_tokens=True)
        assert row["generated"] == text


def test_result_agrees_with_the_predictions(finished):
    result, rows = read(finished, "finished"), table(finished, "finished")
    overall = result["overall"]
    assert overall["nll"]["value"] == pytest.approx(np.mean([r["nll"] for r in rows]))
    tokens = sum(r["tokens"] for r in rows)
    total = sum(r["nll"] * r["tokens"] for r in rows)
    assert overall["perplexity"]["value"] == pytest.approx(np.exp(total / tokens))
    asked = [r for r in rows if r["answer"] is not None]
    for name, prediction in (
        ("accuracy", "prediction"),
        ("accuracy_sum", "prediction_sum"),
    ):
        hits = [r[prediction] == r["answer"] for r in asked]
        assert overall[name]["value"] == pytest.approx(np.mean(hits))
    matches = [r["exact_match"] for r in rows]
    assert overall["exact_match"]["value"] == pytest.approx(np.mean(matches))
    assert [row["source"] for row in result["sources"]] == [None, "left", "right"]
    assert result["num_cut"] == {"responses": 0, "choices": 0, "prompts": 0}


def test_without_an_adapter_the_model_alone_speaks(world):
    run(world, "alone", num=4)
    model = load_model(world.model, LoraSettings())
    theta = initial_theta(model.theta_shapes, jax.random.key(5))  # B = 0: any key
    examples = read_examples([world.root / "questions.jsonl"])[:4]
    questions = prepare_questions(examples, world.model, max_length=24)
    rows = table(world, "alone")
    check_rows(rows, model, theta, questions)
    assert len(rows) == 4
    assert "generated" not in rows[0]
    assert read(world, "alone")["overall"]["exact_match"] is None


def test_the_same_settings_again_are_read_again(finished):
    values = read_config_file(finished.root / "finished/run.yaml", EvaluateSettings)
    again = run_evaluate(EvaluateSettings(**values, out=finished.root / "finished"))
    assert again.reused
    assert plain_values(again.result) == read(finished, "finished")
    with pytest.raises(InputError, match="num was None and is now 3"):
        run_evaluate(
            EvaluateSettings(**{**values, "num": 3, "out": finished.root / "finished"})
        )


def test_manifest_names_inputs_and_command(finished):
    manifest = read(finished, "finished", "manifest.json")
    assert set(manifest["inputs"]) == {"model", "data", "adapter"}
    assert manifest["command"] == "evaluate"
    assert manifest["precision"] == "float32 matrix products"


def test_an_adapter_that_overflows_is_refused_with_the_examples_name(world):
    huge = world.root / "huge"
    huge.mkdir()
    for path in (world.root / "a").iterdir():
        (huge / path.name).write_bytes(path.read_bytes())
    path = huge / "adapter_model.safetensors"
    arrays = safetensors.numpy.load_file(path)
    scaled = {name: array * np.float32(1e30) for name, array in arrays.items()}
    safetensors.numpy.save_file(scaled, path)
    with pytest.raises(InputError, match=r"likelihood of example 'q\d' is NaN or"):
        run(world, "overflow", adapter=huge, num=4)
    assert not (world.root / "overflow" / "evaluation.json").exists()


@pytest.mark.slow
def test_base4m_is_better_than_chance_at_words(shared, tmp_path):
    """A trained model of 4096 tokens: far below the perplexity of a uniform guess."""
    settings = EvaluateSettings(
        model=str(shared / "models" / "base4m"),
        data=(shared / "data" / "financial_eval.jsonl",),
        out=tmp_path / "run",
        num=24,
        max_length=128,
    )
    result = run_evaluate(settings).result
    assert result.overall.perplexity is not None
    assert 2 < result.overall.perplexity.value < 100
    assert result.overall.questions == 24
