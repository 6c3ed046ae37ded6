from pathlib import Path

import pytest

from ntkjax.errors import InputError
from ntkjax.pipeline.select_settings import SelectSettings, check_select_settings
from ntkjax.training.settings import TrainingSettings


def settings(**changes) -> SelectSettings:
    fields = {
        "model": "m",
        "target": (Path("t.jsonl"),),
        "pool": (Path("p.jsonl"),),
        "out": Path("out"),
        "budget": 10,
    }
    return SelectSettings(**(fields | changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"budget": None, "budget_tokens": 1},
        {"shortlist_size": 10},
        {"budget": None, "budget_tokens": 500, "shortlist_size": 3},
        {"shortlist": "none"},
        {"seed": 2**32 - 1},
    ],
)
def test_right_settings_pass(changes):
    check_select_settings(settings(**changes))


BAD = [
    ({"budget": None}, "--budget or --budget-tokens: give one"),
    ({"budget_tokens": 5}, "--budget or --budget-tokens: give one"),
    ({"budget": 0}, "--budget 0: expected at least 1"),
    ({"budget": None, "budget_tokens": -1}, "--budget-tokens -1: expected at least 1"),
    ({"num_target": 0}, "--num-target 0: expected at least 1"),
    ({"shortlist_size": 0}, "--shortlist-size 0: expected at least 1"),
    ({"neighbors": 0}, "--neighbors 0: expected at least 1"),
    ({"batch_size": 0}, "--batch-size 0: expected at least 1"),
    ({"rows_per_shard": 0}, "--rows-per-shard 0: expected at least 1"),
    ({"warmup": "full"}, "--warmup full: expected one of lora, none"),
    ({"shortlist": "knn"}, "--shortlist knn: expected one of vote, none"),
    ({"embedding": "first"}, "--embedding first: expected one of all, response"),
    ({"pooling": "mean"}, "--pooling mean: expected one of all, response"),
    ({"seed": -1}, "--seed -1: expected 0"),
    ({"seed": 2**32}, "--seed 4294967296: expected 0"),
    ({"shortlist_size": 9}, "--shortlist-size 9: expected at least --budget 10"),
    (
        {"shortlist": "none", "shortlist_size": 20},
        "--shortlist-size says nothing with --shortlist none",
    ),
    (
        {"shortlist": "none", "neighbors": 20},
        "--neighbors says nothing with --shortlist none",
    ),
    (
        {"training": TrainingSettings(steps=0)},
        "--training.steps 0: expected a number above zero",
    ),
]


@pytest.mark.parametrize(("changes", "says"), BAD, ids=lambda value: str(value)[:40])
def test_wrong_ones_are_named(changes, says):
    with pytest.raises(InputError) as caught:
        check_select_settings(settings(**changes))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
