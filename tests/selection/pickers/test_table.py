import itertools
from dataclasses import replace

import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.selection.pickers.table import PICKERS, named_picker, require
from tests.selection.pickers.random_pick_problem import random_pick_problem


def test_names_are_those_of_the_command_line():
    assert list(PICKERS) == ["top", "round-robin", "quota", "facility-location"]
    for name, picker in PICKERS.items():
        assert named_picker(name) is picker
        assert picker.name == name
        assert picker.summary
        assert len(picker.summary) <= 80


@pytest.mark.parametrize("name", PICKERS)
def test_orders_have_each_candidate_once_at_most(name):
    for seed, most in itertools.product(range(10), [1, 5, 12, 99]):
        picks = named_picker(name).pick(random_pick_problem(seed, most=most))
        assert picks.dtype == np.int64
        assert len(picks) == len(set(picks.tolist())) == min(most, 12), (seed, most)
        assert set(picks.tolist()) <= set(range(12)), (seed, most)


@pytest.mark.parametrize("name", PICKERS)
def test_a_smaller_budget_is_a_prefix(name):
    pick = named_picker(name).pick
    for seed in range(10):
        problem = random_pick_problem(seed)
        whole = pick(problem).tolist()
        for most in range(12):
            picks = pick(replace(problem, most=most)).tolist()
            assert picks == whole[:most], (seed, most)


@pytest.mark.parametrize("name", PICKERS)
def test_no_candidates_no_picks(name):
    none = random_pick_problem(
        0,
        k=1,
        scores=np.zeros(0),
        rankings=(),
        sources=(),
        features=lambda positions: np.zeros((len(positions), 2)),
    )
    assert len(named_picker(name).pick(none)) == 0


@pytest.mark.parametrize("name", PICKERS)
def test_a_picker_works_with_no_more_than_it_needs(name):
    picker = named_picker(name)
    problem = random_pick_problem(3)
    bare = replace(
        problem,
        rankings=problem.rankings if picker.needs == "rankings" else None,
        features=problem.features if picker.needs == "features" else None,
    )
    assert (picker.pick(bare) == picker.pick(problem)).all()


def test_an_unknown_name_is_refused():
    with pytest.raises(InputError, match="picker best: expected one of top, round-"):
        named_picker("best")


def test_a_picker_whose_need_is_missing_is_refused():
    picker = named_picker("facility-location")
    with pytest.raises(InputError) as error:
        require(picker, ["rankings"], "dsir", ["rds", "less"])
    assert str(error.value) == (
        "picker facility-location: needs features of the candidates, which the "
        "method dsir does not have; choose another picker or one of the methods rds, "
        "less."
    )
    with pytest.raises(InputError, match=r"random does not .* another picker\.$"):
        require(named_picker("round-robin"), [], "random", [])


def test_a_picker_whose_need_is_met_is_not():
    require(named_picker("facility-location"), ["features"], "rds", [])
    require(named_picker("round-robin"), ["features", "rankings"], "rds", [])
    require(named_picker("top"), [], "dsir", [])
