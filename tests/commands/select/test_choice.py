"""Orders of picking and budgets, on candidates that are only numbers."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from ntkjax.commands.select.choice import Choice
from ntkjax.commands.select.settings import SelectSettings
from ntkjax.data.examples import Example
from ntkjax.errors import InputError
from ntkjax.selection.problem import Scored
from tests.selection.small_problem import MemoryCandidates, small_problem


SCORES = np.array([3.0, 9.0, 1.0, 8.0, 2.0, 7.0, 5.0, 4.0, 6.0])
BEST = [1, 3, 5, 8, 6, 7, 0, 4, 2]


def candidates() -> MemoryCandidates:
    """Nine, from three sources in turn; the third has no name."""
    names = ("a", "b", None)
    texts = [Example(str(i), "p", "r", names[i % 3], str(i)) for i in range(9)]
    tokenized = small_problem().candidates.read(np.arange(9))
    return MemoryCandidates(tokenized, texts)


def choice(**changes) -> Choice:
    paths = {name: (Path(name),) for name in ("target", "pool")}
    fields = {"model": "m", "out": Path("out"), "picker": "top", "budget": 4}
    return Choice(SelectSettings(**(paths | fields | changes)), candidates())


def chosen(scored=Scored(SCORES), rankings=None, **changes) -> list[int]:  # noqa: B008
    order, number = choice(**changes).order(scored, rankings)
    assert sorted(order) == list(range(9))
    return order[:number].tolist()


def test_the_highest_scores_or_the_lowest():
    assert chosen() == BEST[:4]
    assert chosen(budget=9) == BEST
    assert chosen(reverse=True) == BEST[::-1][:4]


def test_a_budget_of_tokens_ends_before_what_does_not_fit():
    lengths = candidates().lengths()
    budget = int(lengths[BEST[:4]].sum())
    fields = {"budget": None, "picker": "top"}
    assert chosen(budget_tokens=budget, **fields) == BEST[:4]
    assert chosen(budget_tokens=budget - 1, **fields) == BEST[:3]
    with pytest.raises(InputError, match=r"budget_tokens 1: the highest-ranked"):
        chosen(budget_tokens=1, **fields)


def test_a_budget_beyond_what_is_scored():
    with pytest.raises(InputError, match="there are only 9 examples"):
        chosen(budget=10)


def test_rankings_take_turns_and_scores_follow():
    rankings = (np.array([2, 4]), np.array([2, 0]))
    found = chosen(rankings=rankings, picker="round-robin", budget=5)
    assert found == [2, 0, 4, 1, 3]


def test_quotas_of_the_pool_or_of_the_user():
    counts = lambda rows: Counter("ab-"[row % 3] for row in rows)
    assert counts(chosen(picker="quota", budget=6)) == {"a": 2, "b": 2, "-": 2}
    quotas = ("a=2", "(no source)=1")
    found = chosen(picker="quota", budget=3, quotas=quotas)
    assert counts(found) == {"a": 2, "-": 1}
    assert [row for row in found if row % 3 == 0] == [3, 6]  # the best of a
    with pytest.raises(InputError, match="quotas: the named sources hold only 6 of"):
        chosen(picker="quota", budget=7, quotas=quotas)


@pytest.mark.parametrize(("size", "ground"), [(None, 8), (3, 3)])
def test_diversity_is_sought_among_the_best(size, ground):
    """Features are one-hot but for the best two, which are the same."""
    features = np.eye(9, dtype=np.float32)
    features[3] = features[1]
    seen = []

    def of(positions):
        seen.append(positions)
        return features[positions]

    scored = Scored(SCORES, features=of)
    changes = {"picker": "facility-location", "shortlist_size": size, "budget": 2}
    found = chosen(scored, **changes)
    assert set(np.concatenate(seen).tolist()) == set(BEST[:ground])
    assert found[0] == 1
    assert found[1] not in (1, 3)


def test_what_a_method_may_ask():
    assert choice().pick(SCORES).tolist() == BEST[:4]
    assert choice(reverse=True).pick(SCORES).tolist() == BEST[::-1][:4]
    assert len(choice(picker="quota").pick(np.zeros(9))) == 4
