"""More is in `test_tokenizing.py`, which sees whole examples."""

import numpy as np
import pytest

from ntkjax.data.encoding import Encoded, encode, frame, shortened
from ntkjax.data.examples import Example
from ntkjax.data.templates import Rendered
from ntkjax.data.tokenizer import load_tokenizer


def examples_of(*texts):
    return [Example(text, None, text, None, f"q.jsonl:{text}") for text in texts]


def encoded_of(tokens, targets, first=0, is_framed=False):
    return Encoded(
        np.array(tokens, np.int32), np.array(targets, bool), first, is_framed
    )


def slow_targets(offsets, spans):
    return [any(e > s and b < t for s, t in spans) for b, e in offsets]


def test_targets_overlap_one_of_the_spans(save_tokenizer):
    tokenizer = load_tokenizer(save_tokenizer(merges=[("b", "c"), ("d", "e")]))
    text, spans = "abcdef", ((2, 4), (5, 6))
    ((_, found),) = encode(
        examples_of(text), lambda e: Rendered(text, spans), tokenizer
    )
    offsets = [(0, 1), (1, 3), (3, 5), (5, 6)]
    assert found.targets.tolist() == slow_targets(offsets, spans)
    assert found.targets.tolist() == [False, True, True, True]


def test_framed_texts_get_nothing_added_and_keep_their_order(save_tokenizer):
    tokenizer = load_tokenizer(save_tokenizer("<s> <sop> $A </s>"))
    render = lambda e: Rendered(f"<s>{e.response}", ((3, 9),), e.response in "bd")
    found = list(encode(examples_of(*"abcd"), render, tokenizer))
    assert [example.id for example, _ in found] == list("abcd")
    lengths = [(len(row.tokens), row.first, row.is_framed) for _, row in found]
    # <s> <sop> <s> a </s>, or <s> b
    assert lengths == [(5, 2, False), (2, 1, True)] * 2
    framed = found[1][1]
    assert frame(framed, 1, 2) is framed
    assert framed.targets.tolist() == [False, True]


@pytest.mark.parametrize(
    ("max_length", "expected"),
    [(6, [9, 1, 2, 3, 4, 5]), (5, [9, 1, 2, 3, 4]), (4, [9, 4, 5, 6]), (2, [9, 4])],
)
def test_what_a_limit_leaves(max_length, expected):
    tokens, targets = [9, 1, 2, 3, 4, 5, 6, 7], [0, 0, 0, 0, 1, 0, 1, 1]
    found, marks = shortened(encoded_of(tokens, targets, 1, True), max_length)
    assert found.tolist() == expected
    assert marks.tolist() == [token in (4, 6, 7) for token in expected]
