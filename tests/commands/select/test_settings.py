from pathlib import Path

import pytest

from ntkjax.commands.select.settings import (
    SelectSettings,
    check_select_settings,
    with_defaults,
)
from ntkjax.errors import InputError
from ntkjax.selection.methods.table import METHODS
from ntkjax.selection.options import (
    DsirOptions,
    DualsftOptions,
    FisherOptions,
    LessOptions,
    MaskOptions,
    SketchOptions,
)
from ntkjax.training.settings import TrainingSettings


TRAINING = TrainingSettings(steps=3)


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
        *({"method": name} for name in METHODS),
        {"method": "less", "picker": "facility-location", "shortlist_size": 30},
        {"method": "gradient-dot", "picker": "round-robin"},
        {
            "method": "dsir",
            "picker": "quota",
            "quotas": ("a=1", "b=2"),
            "reverse": True,
        },
        {"method": "dualsft", "mask": MaskOptions(share=0.1), "parameters": "full"},
        {"method": "vote", "neighbors": 3, "embedding": "last"},
        {"method": "embedding", "embedding": "last"},
        {"method": "dsir", "shortlist": "vote", "neighbors": 3, "embedding": "last"},
        {"kernel": "exact", "pooling": "last", "length_normalize": False},
        {"method": "less", "less": LessOptions("sgd"), "sketch": SketchOptions(8)},
        {"method": "cosine", "sketch": SketchOptions(8)},
        {"method": "dsir", "dsir": DsirOptions(8)},
        {"method": "fisher", "fisher": FisherOptions(8)},
        {"method": "dualsft", "fisher": FisherOptions(8), "validation": (Path("v"),)},
        {"method": "dualsft", "dualsft": DualsftOptions(0.5), "validation_share": 0.5},
        {"training": TRAINING},
        {"method": "loss", "warmup": "pool", "training": TRAINING, "warmup_share": 1.0},
    ],
)
def test_right_settings_pass(changes):
    check_select_settings(with_defaults(settings(**changes)))


def test_what_depends_on_the_method_is_filled_in():
    less = with_defaults(settings(method="less"))
    assert (less.picker, less.warmup, less.shortlist) == ("top", "pool", "none")
    chosen = {"picker": "quota", "warmup": "none", "shortlist": "vote"}
    kept = with_defaults(settings(method="less", **chosen))
    assert {name: getattr(kept, name) for name in chosen} == chosen


IDLE = {
    "kernel": "exact",
    "pooling": "last",
    "length_normalize": False,
    "less": LessOptions("sgd"),
    "sketch": SketchOptions(8),
    "fisher": FisherOptions(8),
    "dsir": DsirOptions(8),
    "dualsft": DualsftOptions(0.5),
    "mask": MaskOptions(share=0.1),
    "validation": (Path("v"),),
    "validation_share": 0.5,
}


@pytest.mark.parametrize("name", IDLE)
def test_a_flag_of_another_method_is_refused(name):
    changes = {"method": "random", name: IDLE[name]}
    with pytest.raises(InputError) as caught:
        check_select_settings(with_defaults(settings(**changes)))
    assert str(caught.value) == f"{name} says nothing with method random."


BAD = [
    ({"budget": None}, "budget or budget_tokens: give one"),
    ({"budget_tokens": 5}, "budget or budget_tokens: give one"),
    ({"budget": 0}, "budget 0: expected at least 1"),
    ({"budget": None, "budget_tokens": -1}, "budget_tokens -1: expected at least 1"),
    ({"num_target": 0}, "num_target 0: expected at least 1"),
    ({"shortlist_size": 0}, "shortlist_size 0: expected at least 1"),
    ({"neighbors": 0}, "neighbors 0: expected at least 1"),
    ({"tokens_per_batch": 0}, "tokens_per_batch 0: expected at least 1"),
    ({"rows_per_shard": 0}, "rows_per_shard 0: expected at least 1"),
    ({"warmup": "full"}, "warmup full: expected one of target, pool, none"),
    ({"shortlist": "knn"}, "shortlist knn: expected one of vote, none"),
    ({"embedding": "first"}, "embedding first: expected one of all, response"),
    ({"pooling": "mean"}, "pooling mean: expected one of all, response"),
    ({"seed": -1}, "seed -1: expected 0"),
    ({"seed": 2**32}, "seed 4294967296: expected 0"),
    ({"shortlist_size": 9}, "shortlist_size 9: expected at least budget 10"),
    (
        {"shortlist": "none", "shortlist_size": 20},
        "shortlist_size says nothing with shortlist none",
    ),
    (
        {"shortlist": "none", "neighbors": 20},
        "neighbors says nothing with shortlist none",
    ),
    ({"method": "lucky"}, "method lucky: expected one of ntk, dualsft, less"),
    ({"picker": "best"}, "picker best: expected one of top, round-robin"),
    (
        {"method": "dsir", "picker": "facility-location"},
        "picker facility-location: needs features of the candidates, which the "
        "method dsir does not have",
    ),
    (
        {"method": "random", "picker": "round-robin"},
        "which the method random does not have",
    ),
    ({"method": "dualsft", "picker": "round-robin"}, "dualsft does not have"),
    ({"quotas": ("a=1",)}, "quotas says nothing with picker top"),
    ({"picker": "quota", "quotas": ("a",)}, "quotas a: expected SOURCE=SHARE"),
    (
        {"method": "rds", "reverse": True},
        "reverse: the picker round-robin has no reverse",
    ),
    ({"parameters": "all"}, "parameters all: expected one of lora, full"),
    (
        {"method": "loss", "parameters": "full", "adapter": Path("a")},
        "adapter says nothing with parameters full",
    ),
    ({"warmup_share": 0.0}, "warmup_share 0.0: expected above 0, at most 1"),
    ({"validation_share": 1.5}, "validation_share 1.5: expected above 0"),
    ({"validation": (Path("v"),)}, "validation says nothing with method ntk"),
    ({"mask": MaskOptions(share=0.1)}, "mask says nothing with method ntk"),
    (
        {"method": "dualsft", "validation": (Path("v"),), "validation_share": 0.5},
        "validation_share says nothing with validation.",
    ),
    (
        {"method": "dsir", "embedding": "last"},
        "embedding says nothing with shortlist none.",
    ),
    ({"warmup_share": 0.5}, "warmup_share says nothing with warmup target."),
    (
        {"method": "loss", "training": TRAINING},
        "training says nothing with warmup none.",
    ),
    (
        {
            "method": "dualsft",
            "mask": MaskOptions(0.1, granularity="row", layer_quota=0.2),
        },
        "mask.layer_quota: expected mask.granularity element, not row.",
    ),
    (
        {"method": "dualsft", "mask": MaskOptions(share=1.5)},
        "mask.share 1.5: expected above 0, at most 1",
    ),
    (
        {"method": "dualsft", "dualsft": DualsftOptions(order="both")},
        "dualsft.order both: expected one of one-shot",
    ),
    ({"less": LessOptions("rms")}, "less.gradient rms: expected one of adam"),
    (
        {"training": TrainingSettings(steps=0)},
        "training.steps 0: expected a number above zero",
    ),
]


@pytest.mark.parametrize(("changes", "says"), BAD, ids=lambda value: str(value)[:40])
def test_wrong_ones_are_named(changes, says):
    with pytest.raises(InputError) as caught:
        check_select_settings(with_defaults(settings(**changes)))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
