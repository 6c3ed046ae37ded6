import dataclasses
import json

import pytest
from hypothesis import given, settings, strategies as st

from ntkjax.data.near_duplicates import (
    RUN,
    Duplicate,
    duplicates_against,
    duplicates_within,
    normalized,
)


THIRTEEN = "one two three four five six seven eight nine ten eleven twelve thirteen"


def shared_words(one, other):
    """Kind and words by brute force: the first run of `other` that `one` holds."""
    one, other = normalized(one), normalized(other)
    if one == other:
        return "exact", one
    words = other.split(" ")
    for start in range(len(words) - RUN + 1):
        run = " ".join(words[start : start + RUN])
        if f" {run} " in f" {one} ":
            return "13-gram", run
    return None


def first_repeat(text, earlier):
    """Row, kind and words: an equal text if there is one, else a shared run."""
    found = [(row, shared_words(one, text)) for row, one in enumerate(earlier)]
    for kind in ("exact", "13-gram"):
        for row, match in found:
            if match and match[0] == kind:
                return row, *match
    return None


def brute_within(texts):
    found = [(first_repeat(text, texts[:row]), row) for row, text in enumerate(texts)]
    return [Duplicate(f[0], row, *f[1:]) for f, row in found if f]


def brute_against(texts, others):
    found = [(first_repeat(text, others), row) for row, text in enumerate(texts)]
    return [Duplicate(row, f[0], *f[1:]) for f, row in found if f]


# Few words and repeated pieces, so that runs of 13 are often shared and often broken.
pieces = st.sampled_from(["a b a", "B, c", "c!", "d d", THIRTEEN, "one two", ""])
texts = st.lists(pieces, max_size=12).map(" ".join)
lists_of_texts = st.lists(texts, max_size=6)


@settings(max_examples=300, deadline=None)
@given(lists_of_texts)
def test_within_equals_brute_force(texts):
    assert duplicates_within(texts) == brute_within(texts)


@settings(max_examples=300, deadline=None)
@given(lists_of_texts, lists_of_texts)
def test_against_equals_brute_force(texts, others):
    assert duplicates_against(texts, iter(others)) == brute_against(texts, others)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Net  sales\tROSE,\nby 5%!", "net sales rose by 5"),
        ("ﬁnance ① Ａｐｐｌｅ", "finance 1 apple"),
        ("don't under_score", "don t under_score"),
        ("été", "été"),
        ("", ""),
        ("  😀  ?! ", "😀 ?!"),
    ],
)
def test_normalized(text, words):
    assert normalized(text) == words


def test_twelve_shared_words_are_not_enough():
    twelve = THIRTEEN.rpartition(" ")[0]
    assert duplicates_within([f"x {twelve} y", f"z {twelve} w"]) == []
    assert duplicates_within([f"x {THIRTEEN} y", f"z {THIRTEEN} w"]) == [
        Duplicate(0, 1, "13-gram", THIRTEEN)
    ]


def test_short_texts_are_compared_as_a_whole():
    assert duplicates_within(["The answer is A.", "the answer is b", "The answer is a"])
    found = duplicates_within(["Yes.", "no", "YES"])
    assert found == [Duplicate(0, 2, "exact", "yes")]


def test_no_run_reaches_over_the_end_of_a_text():
    head, _, tail = THIRTEEN.partition(" seven ")
    assert duplicates_within([head, f"seven {tail}", THIRTEEN + " end"]) == []


def test_an_equal_text_goes_before_an_earlier_shared_run():
    texts = [f"{THIRTEEN} x", f"{THIRTEEN} y", f"{THIRTEEN} y"]
    assert [(d.first, d.kind) for d in duplicates_within(texts)] == [
        (0, "13-gram"),
        (1, "exact"),
    ]


def test_a_text_does_not_repeat_itself():
    assert duplicates_within([f"{THIRTEEN} {THIRTEEN}", "Yes", "other"]) == []


def test_texts_without_words_differ_by_their_characters():
    assert duplicates_within(["😀", "😡", " 😀"]) == [Duplicate(0, 2, "exact", "😀")]


def test_nothing_to_compare():
    assert duplicates_within([]) == []
    assert duplicates_against([], ["a"]) == []
    assert duplicates_against(["a"], []) == []


def test_real_texts_equal_brute_force(shared):
    lines = (shared / "data/pool_cot.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["response"] for line in lines[:6000:60]]
    planted = [*texts, f"Indeed: {texts[3]}", texts[7].upper(), texts[60][5:]]
    assert duplicates_within(planted) == brute_within(planted)
    assert {d.second for d in duplicates_within(planted)} > {101}
    found = duplicates_against(planted[100:], texts)
    assert found == brute_against(planted[100:], texts)
    assert dataclasses.replace(found[0], words="").first == 0
