import dataclasses

import pytest

from ntkjax.models.coverage import Coverage
from ntkjax.store.results import read_result, result_from, write_result
from ntkjax.store.run_directory import plain_values
from ntkjax.training.result import (
    LossEnds,
    MaskUse,
    RetentionLosses,
    TrainingResult,
    ValidationLosses,
)


RESULT = TrainingResult(
    model="m",
    parameters="lora",
    adapter=None,
    mask=None,
    num_examples={"a.jsonl": 4},
    num_validation=2,
    num_retention=1,
    num_cut={"a.jsonl": 1, "validation": 0, "retention": 0},
    max_length=16,
    num_parameters=128,
    coverage=(Coverage("q_proj", 2, 1, 128),),
    num_steps=3,
    num_tokens=40,
    loss=LossEnds(2.5, 0.1 + 0.2),
    validation_loss=None,
    retention_loss=None,
    kept="best",
    kept_step=2,
    seed=0,
    seconds={"training": 1.5},
    versions={"jax": "0"},
    device="cpu",
    precision="float32",
)
MEASURED = {
    "mask": MaskUse("mask.safetensors", 3, 128),
    "validation_loss": ValidationLosses(4.0, 3.0, 2.0, 2.5),
    "retention_loss": RetentionLosses(1.0, None),
}


@pytest.mark.parametrize("changes", [{}, MEASURED], ids=["bare", "full"])
def test_round_trip(tmp_path, changes):
    result = dataclasses.replace(RESULT, **changes)
    write_result(tmp_path / "train.json", result)
    assert read_result(tmp_path / "train.json", TrainingResult) == result


def test_another_schema_is_refused():
    values = plain_values(RESULT) | {"schema": 2}
    with pytest.raises(TypeError, match="expected a result of schema 1, got schema 2"):
        result_from(values, TrainingResult)
