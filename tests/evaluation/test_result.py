import dataclasses

import pytest

from ntkjax.evaluation.result import EvaluationResult, SourceSummary
from ntkjax.evaluation.summary import Summary
from ntkjax.math.bootstrap import Estimate
from ntkjax.store.results import read_result, result_from, write_result
from ntkjax.store.run_directory import plain_values


HALF = Estimate(0.5, 0.25, 0.75)
SUMMARY = Summary(
    examples=2,
    tokens=9,
    questions=0,
    perplexity=None,
    nll=HALF,
    accuracy=None,
    accuracy_sum=None,
    exact_match=HALF,
)
RESULT = EvaluationResult(
    model="m",
    adapter=None,
    data="a.jsonl, b.jsonl",
    max_length=24,
    max_new_tokens=4,
    num_cut={"responses": 1, "choices": 0, "prompts": 2},
    num_choices=0,
    seed=0,
    resamples=1000,
    overall=SUMMARY,
    sources=tuple(SourceSummary(**vars(SUMMARY), source=name) for name in (None, "x")),
    seconds={"evaluate": 1.5},
    versions={"jax": "0"},
    device="cpu",
    precision="float32",
)


@pytest.mark.parametrize("changes", [{}, {"adapter": "a", "max_new_tokens": None}])
def test_round_trip(tmp_path, changes):
    result = dataclasses.replace(RESULT, **changes)
    write_result(tmp_path / "evaluation.json", result)
    assert read_result(tmp_path / "evaluation.json", EvaluationResult) == result


def test_another_schema_is_refused():
    values = plain_values(RESULT) | {"schema": 2}
    with pytest.raises(TypeError, match="expected a result of schema 1, got schema 2"):
        result_from(values, EvaluationResult)
