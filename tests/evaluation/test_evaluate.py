import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.checkpoints.loading import load_model
from ntkjax.devices.mesh import data_mesh
from ntkjax.evaluation.evaluate import evaluate, num_texts
from ntkjax.evaluation.questions import prepare_questions
from ntkjax.models.lora import LoraSettings, initial_theta
from tests.commands.world import build_world
from tests.evaluation.problem import questions_of, slow_generate, slow_nll
from tests.oracles import to_float64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world")).model


@pytest.fixture(scope="module")
def model(folder):
    return load_model(folder, LoraSettings(2))


def draw_theta(model, seed):
    theta = initial_theta(model.theta_shapes, jax.random.key(seed))
    rng = np.random.default_rng(seed)
    draw = lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) / 2, jnp.float32)
    return {name: draw(leaf) for name, leaf in theta.items()}


@pytest.fixture(scope="module")
def questions(folder):
    examples = questions_of(9)
    return prepare_questions(examples, folder, max_length=24, max_new_tokens=3)


@pytest.fixture(scope="module")
def found(model, questions):
    theta, done = draw_theta(model, 1), []
    found = evaluate(model, theta, questions, mesh=data_mesh(), advance=done.append)
    assert sum(done) == num_texts(questions) == 9 + len(questions.choices) + 9
    return found


@pytest.mark.slow
def test_everything_against_loops_over_single_texts(model, questions, found):
    theta = draw_theta(model, 1)
    with jax.enable_x64(True):
        wide, theta64 = model.astype(jnp.float64), to_float64(theta)
        slow = lambda text: slow_nll(wide, theta64, text)
        responses = [slow(text) for text in questions.responses]
        choices = iter([(slow(t), t.targets.sum()) for t in questions.choices])
    np.testing.assert_allclose(found.nll * found.tokens, responses, rtol=1e-5)
    answers, predictions, sums = [], [], []
    for example, scores in zip(found.examples, found.choices, strict=True):
        if not example.choices:
            assert scores is None
            continue
        pairs = [next(choices) for _ in example.choices]
        totals, means = [-a for a, _ in pairs], [-a / n for a, n in pairs]
        np.testing.assert_allclose(scores.sum, totals, rtol=1e-5)
        np.testing.assert_allclose(scores.mean, means, rtol=1e-5)
        answers.append(example.answer)
        predictions.append(means.index(max(means)))
        sums.append(totals.index(max(totals)))
    assert found.answers.tolist() == answers
    assert found.predictions.tolist() == predictions
    assert found.predictions_sum.tolist() == sums
    assert found.accuracy == np.mean(np.array(predictions) == answers)
    for row, prompt in enumerate(questions.prompts.tokenized):
        new = slow_generate(model, theta, prompt.tokens, 3, 2, 64)
        decode = questions.prompts.tokenizer.decode
        assert found.generated[row] == decode(new, skip_special_tokens=True)


@pytest.mark.slow
def test_facts_of_the_examples(questions, found):
    assert found.ids == [f"q{i}" for i in range(9)]
    assert found.sources[:3] == [None, "left", "right"]
    assert found.with_choices.tolist() == [1, 2, 3, 5, 6, 7]
    assert found.with_answers.tolist() == list(range(9))
    assert found.exact_matches.shape == (9,)
    assert found.correct.tolist() == (found.predictions == found.answers).tolist()
    assert found.correct_sum.shape == (6,)


def test_questions_serve_many_adapters(model, questions, found):
    other = evaluate(model, draw_theta(model, 2), questions, mesh=data_mesh())
    again = evaluate(model, draw_theta(model, 1), questions, mesh=data_mesh())
    assert not np.allclose(other.nll, found.nll, rtol=1e-3)
    assert again.nll.tolist() == found.nll.tolist()  # one program: the same bits
    assert again.generated == found.generated


def test_an_exact_match(model, questions, found):
    examples = list(found.examples)
    row = next(r for r, text in enumerate(found.generated) if text.strip())
    text = found.generated[row]
    examples[row] = dataclasses.replace(examples[row], response=f" {text.strip()}\n")
    hits = dataclasses.replace(found, examples=examples).exact_matches
    assert hits[row]


def test_an_answer_ends_at_the_end_marker_of_its_chat(model, questions, found):
    row = next(r for r, text in enumerate(found.generated) if len(text) > 1)
    marker = found.generated[row][1]
    markers = [marker if r == row else "" for r in range(len(found.generated))]
    prompts = dataclasses.replace(questions.prompts, end_markers=markers)
    ended = dataclasses.replace(questions, prompts=prompts)
    again = evaluate(model, draw_theta(model, 1), ended, mesh=data_mesh())
    expected = list(found.generated)
    expected[row] = expected[row].partition(marker)[0].rstrip()
    assert again.generated == expected
    assert len(expected[row]) <= 1


def test_without_generation(folder, model):
    questions = prepare_questions(questions_of(4), folder, max_length=24)
    found = evaluate(model, draw_theta(model, 1), questions, mesh=data_mesh())
    assert found.generated == [None] * 4
    assert found.with_answers.shape == found.exact_matches.shape == (0,)
