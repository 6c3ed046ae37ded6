import dataclasses

import numpy as np
import pytest

from ntkjax.checkpoints.loading import load_model
from ntkjax.checkpoints.text_encoder import text_encoder
from ntkjax.data.examples import read_examples
from ntkjax.devices.mesh import data_mesh
from ntkjax.models.lora import LoraSettings
from ntkjax.passes.run_pass import Batching
from ntkjax.selection.methods import gradient_dot
from tests.oracles import normwise
from tests.selection.loss_oracle import (
    explicit,
    explicit_of,
    rebatched,
    trained_adapter,
)
from tests.selection.small_problem import MemoryCandidates, small_problem


pytestmark = pytest.mark.slow


def test_equals_explicit_products():
    problem = small_problem()
    found = gradient_dot.score(problem)
    target, candidates = explicit_of(problem)
    mean = target.mean(axis=0)
    # float32 derivatives on both sides: 1e-6
    assert normwise(found.scores, candidates @ mean) < 1e-5
    norm = found.facts["target_gradient_norm"]
    assert norm == pytest.approx(np.linalg.norm(mean), rel=1e-5)


def test_batches_and_devices_do_not_matter():
    problem = small_problem()
    found = gradient_dot.score(rebatched(problem)).scores
    assert normwise(found, gradient_dot.score(problem).scores) < 1e-5


def test_a_target_has_a_pass_of_its_own():
    problem = small_problem()
    whole = gradient_dot.score(problem).scores
    np.testing.assert_array_equal(gradient_dot.score(problem).scores, whole)
    parts = [gradient_dot.score(problem.limited_to([i])).scores for i in range(5)]
    assert problem.candidates.computed == ["loss products"] * 6
    assert normwise(np.mean(parts, axis=0), whole) < 1e-5


def test_stories260k(shared):
    """A real model and real text, cut to 32 tokens."""
    folder = shared / "models" / "stories260k"
    model = load_model(folder, LoraSettings(rank=2))
    theta = trained_adapter(model)
    read = lambda name: read_examples([shared / "data" / name])
    texts = [*read("financial_train.jsonl")[:3], *read("pool_cot.jsonl")[:6]]
    tokenized = text_encoder(folder, 32)(texts)
    problem = small_problem()
    problem = dataclasses.replace(
        problem,
        model=model,
        snapshots=(dataclasses.replace(problem.snapshot, theta=theta),),
        target_tokens=tuple(tokenized[:3]),
        candidates=MemoryCandidates(tokenized[3:], texts[3:]),
        batching=Batching("all", 128, 32, data_mesh()),
    )
    found = gradient_dot.score(problem).scores
    target = explicit(model, theta, tokenized[:3], 32)[1]
    candidates = explicit(model, theta, tokenized[3:], 32)[1]
    assert normwise(found, candidates @ target.mean(axis=0)) < 1e-5
