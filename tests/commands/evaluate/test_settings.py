from pathlib import Path

import pytest

from ntkjax.commands.evaluate.settings import EvaluateSettings, check_evaluate_settings
from ntkjax.errors import InputError


def settings(**changes) -> EvaluateSettings:
    return EvaluateSettings("m", (Path("e.jsonl"),), Path("out"), **changes)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"tokens_per_batch": 0}, "tokens_per_batch 0: expected at least 1"),
        ({"max_new_tokens": 0}, "max_new_tokens 0: expected at least 1"),
        (
            {"generate": True, "max_new_tokens": 256},
            "max_new_tokens 256: expected 1 to 255, below",
        ),
        ({"seed": -1}, "seed -1: expected 0 to"),
        ({"seed": 2**32}, "seed 4294967296: expected 0 to"),
    ],
)
def test_values_that_no_run_can_have(changes, says):
    with pytest.raises(InputError, match=says):
        check_evaluate_settings(settings(**changes))


def test_defaults_are_possible():
    check_evaluate_settings(settings())
