"""Fine-tunings of the tiny world's model, asked which of two words belongs."""

import numpy as np
import pytest

from ntkjax.commands.demo import comparison as module
from ntkjax.commands.demo.comparison import compare, open_laboratory
from ntkjax.commands.evaluate.run import run_evaluate
from ntkjax.commands.evaluate.settings import EvaluateSettings
from ntkjax.data.examples import Example
from ntkjax.devices.mesh import data_mesh
from ntkjax.evaluation.evaluate import evaluate
from ntkjax.models.lora import LoraSettings
from ntkjax.training.settings import TrainingSettings
from tests.commands.world import build_world, write_records


MAX_LENGTH = 16
PROMPTS = ("ab", "cd", "ef", "gh", "ij", "kl", "mn", "op")
TAUGHT = [Example(f"t{p}", p, "yes", None, f"t:{p}") for p in PROMPTS]
CONTRARY = [Example(f"c{p}", p, "no", None, f"c:{p}") for p in PROMPTS]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("comparison"))
    records = [
        {"id": p, "prompt": p, "response": "yes", "choices": ["yes", "no"], "answer": 0}
        for p in PROMPTS
    ]
    write_records(world.root / "questions.jsonl", records)
    return world


@pytest.fixture(scope="module")
def laboratory(world):
    training = TrainingSettings(
        steps=20, batch_size=8, learning_rate=0.03, schedule="constant"
    )
    return open_laboratory(
        world.model, LoraSettings(rank=2), training, MAX_LENGTH, data_mesh()
    )


@pytest.fixture(scope="module")
def questions(world, laboratory):
    from ntkjax.data.examples import read_examples

    return laboratory.questions(read_examples([world.root / "questions.jsonl"]))


@pytest.mark.slow
def test_base_accuracy_is_that_of_the_command(world, laboratory, questions):
    run = run_evaluate(
        EvaluateSettings(
            model=str(world.model),
            data=(world.root / "questions.jsonl",),
            out=world.root / "evaluated",
            max_length=MAX_LENGTH,
        )
    )
    expected = run.result.overall.accuracy.value
    assert laboratory.base_accuracy(questions) == expected


@pytest.mark.slow
def test_what_an_arm_is_taught_is_what_it_answers(laboratory, questions):
    seeds, steps = [], []

    def contrary(seed):
        seeds.append(seed)
        return CONTRARY

    arms = {"right": lambda seed: TAUGHT, "wrong": contrary}
    found = compare(laboratory, arms, questions, seeds=(0, 1), advance=steps.append)
    assert found == {"right": [1.0, 1.0], "wrong": [0.0, 0.0]}
    assert (seeds, steps) == ([0, 1], [1, 1, 1, 1])


@pytest.mark.slow
def test_the_seed_alone_decides(laboratory, questions, monkeypatch):
    """The same bits for the same seed, other bits for another."""
    thetas = []

    def noted(model, theta, questions, *, mesh):
        thetas.append(np.concatenate([np.ravel(leaf) for leaf in theta.values()]))
        return evaluate(model, theta, questions, mesh=mesh)

    monkeypatch.setattr(module, "evaluate", noted)
    for seed in (3, 3, 4):
        laboratory.accuracy(TAUGHT, questions, seed)
    np.testing.assert_array_equal(thetas[0], thetas[1])
    assert not np.array_equal(thetas[0], thetas[2])
