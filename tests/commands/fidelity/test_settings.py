import pathlib

import pytest

from ntkjax.commands.fidelity.settings import (
    FidelitySettings,
    check_fidelity_settings,
    parse_sketch,
)
from ntkjax.errors import InputError


def settings(**changes) -> FidelitySettings:
    one = (pathlib.Path("a.jsonl"),)
    return FidelitySettings("m", one, one, pathlib.Path("out"), **changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooling": "mean"}, "pooling mean: expected one of all, response, last"),
        ({"top": 0}, r"top 0: expected 1 to num_candidates \(80\)"),
        ({"num_candidates": 2, "top": 1}, "num_candidates 2: expected at least 3, for"),
        ({"cosine_tokens": 1}, "cosine_tokens 1: expected at least 2, for"),
        ({"seed": -1}, "seed -1"),
        ({"seed": 2**32}, "seed 4294967296: expected 0 to"),
        ({"sketches": ("shift:64", "shift:064")}, "sketches: a name is given twice"),
        ({"kernels": ("summed", "summed")}, "kernels: a name is given twice"),
        ({"kernels": ("summed", "random_0")}, "kernels random_0: expected numbers of"),
        ({"sketches": ("shift",)}, "sketches shift: expected kind:size"),
    ],
)
def test_impossible_values_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        check_fidelity_settings(settings(**changes))


def test_the_defaults_are_possible():
    check_fidelity_settings(settings())


def test_sketches_are_kind_and_size():
    assert parse_sketch("rademacher:512") == ("rademacher", 512)
