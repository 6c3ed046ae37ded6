from fractions import Fraction

import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.selection.pickers.quota import parse_quotas, quota
from ntkjax.selection.ranking import ranking
from tests.selection.pickers.random_pick_problem import random_pick_problem


def slow_quota(problem, shares):
    """Deficits as fractions, each step from the start; t counts sources that wait."""
    picks = []
    by_score = ranking(problem.scores).tolist()
    while len(picks) < problem.most:
        left = {
            s: [p for p in by_score if problem.sources[p] == s and p not in picks]
            for s in shares
        }
        waiting = [s for s in shares if left[s]]
        if not waiting:
            break
        total = sum(shares[s] for s in waiting)
        taken = {s: sum(problem.sources[p] == s for p in picks) for s in waiting}
        t = sum(taken.values())
        deficits = [shares[s] / total * (t + 1) - taken[s] for s in waiting]
        picks.append(left[waiting[deficits.index(max(deficits))]][0])
    return picks


def shares_of(counts):
    total = sum(counts.values())
    return {source: Fraction(count, total) for source, count in counts.items()}


def test_stratified_equals_the_slow_version():
    for seed in range(20):
        problem = random_pick_problem(seed, k=25, most=25 if seed % 2 else 11)
        counts = {s: problem.sources.count(s) for s in dict.fromkeys(problem.sources)}
        assert quota(problem).tolist() == slow_quota(problem, shares_of(counts)), seed


def test_named_shares_equal_the_slow_version():
    for seed in range(20):
        named = {"c": 0.1, "a": 0.2} if seed % 2 else {"b": 0.5, "c": 0.3, "a": 0.2}
        problem = random_pick_problem(seed, k=25, quotas=named)
        exact = shares_of({s: round(10 * share) for s, share in named.items()})
        assert quota(problem).tolist() == slow_quota(problem, exact), seed


def test_every_prefix_keeps_to_two_shares_within_one_pick():
    sources = ("a",) * 60 + ("b",) * 60
    shares = {"a": 3.0, "b": 1.0}
    problem = random_pick_problem(1, k=120, sources=sources, quotas=shares, most=80)
    from_a = np.cumsum(quota(problem) < 60)
    wanted = 0.75 * np.arange(1, 81)
    assert abs(from_a - wanted).max() < 1


def test_each_source_gives_its_highest_scores_first():
    problem = random_pick_problem(2, k=40)
    picks = quota(problem).tolist()
    best = ranking(problem.scores).tolist()
    for source in "abc":
        mine = [p for p in picks if problem.sources[p] == source]
        assert mine == [p for p in best if problem.sources[p] == source]


def test_a_source_that_is_used_up_leaves_its_share_to_the_others():
    sources = ("a", "b", "b", "b", "b", "b", "b", "c", "c", "c")
    shares = {"a": 0.5, "b": 0.25, "c": 0.25}
    problem = random_pick_problem(
        0, k=10, scores=np.zeros(10), sources=sources, quotas=shares
    )
    picked = [sources[p] for p in quota(problem)]
    assert "".join(picked) == "abcbcbcbbb"


def test_shares_mean_what_they_say():
    """As floats 2·0.3 is below 0.2 + 4·0.1, and a would come before the second c."""
    shares = {"c": 0.3, "b": 0.2, "a": 0.1}
    sources = tuple("abc" * 4)
    problem = random_pick_problem(0, sources=sources, quotas=shares, most=6)
    assert "".join(sources[p] for p in quota(problem)) == "cbcabc"


def test_sources_without_a_quota_give_none():
    sources = tuple("aabbcc")
    problem = random_pick_problem(0, k=6, sources=sources, quotas={"b": 1.0})
    assert sorted(quota(problem).tolist()) == [2, 3]


def test_unknown_sources_are_refused():
    sources = tuple("aabbcc")
    problem = random_pick_problem(0, k=6, sources=sources, quotas={"x": 1.0})
    with pytest.raises(InputError, match=r"quotas x: .* expected some of a, b, c\."):
        quota(problem)
    sources = tuple(f"s{i}" for i in range(23))
    problem = random_pick_problem(0, k=23, sources=sources, quotas={"x": 1.0})
    with pytest.raises(InputError, match=r"s0, s1, .*, s19 and 3 more\.$"):
        quota(problem)


def test_parse_quotas():
    assert parse_quotas(("gsm8k=0.5", "aqua=2")) == {"gsm8k": 0.5, "aqua": 2.0}
    assert list(parse_quotas(("b=1", "a=1"))) == ["b", "a"]
    assert parse_quotas(("split=train=0.25",)) == {"split=train": 0.25}
    assert parse_quotas(("(no source)=1e-3",)) == {"(no source)": 0.001}
    assert parse_quotas(()) == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (("gsm8k",), "quotas gsm8k: expected SOURCE=SHARE, such as gsm8k=0.5."),
        (("=0.5",), "quotas =0.5: expected SOURCE=SHARE"),
        (("a=half",), "quotas a=half: the share 'half' is not a number above 0"),
        (("a=",), "quotas a=: the share '' is not"),
        (("a=0",), "quotas a=0: the share '0' is not"),
        (("a=-1",), "quotas a=-1: the share '-1' is not"),
        (("a=nan",), "quotas a=nan: the share 'nan' is not"),
        (("a=inf",), "quotas a=inf: the share 'inf' is not"),
        (("a=1", "b=1", "a=2"), "quotas a=2: a has a share already."),
    ],
)
def test_quotas_that_say_nothing_clear(values, message):
    with pytest.raises(InputError) as error:
        parse_quotas(values)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)
