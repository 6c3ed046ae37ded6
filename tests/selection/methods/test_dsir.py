import collections
import dataclasses
import hashlib
import json
import math
import pathlib

import numpy as np
import pytest

from ntkjax.data.examples import Example
from ntkjax.selection.methods import dsir
from ntkjax.selection.options import DsirOptions, MethodOptions
from tests.selection.small_problem import small_problem


GOLDEN = pathlib.Path(__file__).parents[2] / "golden" / "dsir" / "expected.json"


def words_of(text):
    """Runs of word characters and runs of other marks, one character at a time."""
    words, before = [], None
    for mark in text.lower():
        kind = "space" if mark.isspace() else "word"
        if kind == "word" and not (mark.isalnum() or mark == "_"):
            kind = "punctuation"
        if kind == before != "space":
            words[-1] += mark
        elif kind != "space":
            words.append(mark)
        before = kind
    return words


def dense_log_weights(target, raw, num_buckets):
    """Counts of every text in every bucket, and the formula."""

    def counts(text):
        found = np.zeros(num_buckets)
        words = words_of(text)
        pairs = [" ".join(words[i : i + 2]) for i in range(len(words) - 1)]
        for ngram, number in collections.Counter(words + pairs).items():
            digest = hashlib.sha256(ngram.encode("utf-8")).hexdigest()
            found[int(digest, 16) % num_buckets] += number
        return found

    of_target = sum(counts(text) for text in target)
    of_raw = sum(counts(text) for text in raw)
    p_target, p_raw = of_target / of_target.sum(), of_raw / of_raw.sum()
    return [
        sum(
            number * (math.log(p_target[b] + 1e-8) - math.log(p_raw[b] + 1e-8))
            for b, number in enumerate(counts(text))
        )
        for text in raw
    ]


def example(prompt, response, number=0):
    return Example(str(number), prompt, response, None, f"f:{number}")


TARGET = ["How MUCH is $5.00?!", "pay 5 now, or\npay 9 later", "naïve – été"]
RAW = [
    "Pay $5 now...",
    "a_b c-d  c-d",
    "été été été",
    "?",
    "So much; so much!",
    "ß ½ 中文",
]


@pytest.mark.parametrize("num_buckets", [1, 7, 10_000])
@pytest.mark.parametrize("block", [1, 4, 100])
def test_equals_the_dense_formula(num_buckets, block):
    raw = [example(None, text) for text in RAW]
    blocks = lambda: (raw[i : i + block] for i in range(0, len(raw), block))
    target = [example(None, text) for text in TARGET]
    found = dsir.log_weights(target, blocks, num_buckets)
    expected = dense_log_weights(TARGET, RAW, num_buckets)
    # Float64 sums of at most 20 numbers, none above 20.
    assert np.abs(found - expected).max() < 1e-11
    if num_buckets == 1:
        assert found.tolist() == [0] * len(RAW)


def test_agrees_with_torch():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    target, raw = (
        [example(*pair, number) for number, pair in enumerate(golden[side])]
        for side in ("target", "raw")
    )
    assert len(golden["log_weights"]) >= 2
    for num_buckets, expected in golden["log_weights"].items():
        found = dsir.log_weights(target, lambda: [raw], int(num_buckets))
        assert np.allclose(found, expected, rtol=1e-12, atol=1e-11)


def test_prompt_and_response_are_one_text():
    (found,) = [dsir.hashed_ngrams(99)(example("How much", "is it?"))]
    assert (
        found.tolist()
        == dsir.hashed_ngrams(99)(example(None, "how much is it?")).tolist()
    )
    assert len(found) == 5 + 4


def test_without_sampling_scores_are_the_weights():
    options = MethodOptions(dsir=DsirOptions(buckets=50, sample=False))
    problem = small_problem(options=options)
    found = dsir.score(problem)
    texts = [
        f"{e.prompt} {e.response}"
        for block in problem.candidates.texts()
        for e in block
    ]
    target = [f"{e.prompt} {e.response}" for e in problem.target]
    expected = dense_log_weights(target, texts, 50)
    assert np.abs(found.scores - expected).max() < 1e-11
    assert found.facts["buckets"] == 50
    assert found.facts["sample"] is False
    assert found.facts["log_weight_mean"] == pytest.approx(np.mean(expected))
    assert found.facts["log_weight_std"] == pytest.approx(np.std(expected))
    assert problem.candidates.computed == []


def test_sampling_adds_noise_that_the_seed_decides():
    plain = MethodOptions(dsir=DsirOptions(sample=False))
    weights = dsir.score(small_problem(options=plain)).scores
    noise = [dsir.score(small_problem(seed=s)).scores - weights for s in (0, 0, 1)]
    assert noise[0].tolist() == noise[1].tolist()
    assert np.abs(noise[0] - noise[2]).min() > 1e-6
    assert dsir.score(small_problem()).facts["sample"] is True


def test_first_draws_follow_the_weights(monkeypatch):
    """The highest of log w + Gumbel noise is candidate x with probability w/Σw."""
    weights = np.array([1.0, 2.0, 3.0, 4.0])
    monkeypatch.setattr(dsir, "log_weights", lambda *given: np.log(weights))
    problem = small_problem(num_candidates=4)
    counts = np.zeros(4)
    for seed in range(600):
        counts[
            np.argmax(dsir.score(dataclasses.replace(problem, seed=seed)).scores)
        ] += 1
    expected = 60 * weights
    # χ² with 3 degrees of freedom: above 16.3 once in a thousand.
    assert ((counts - expected) ** 2 / expected).sum() < 16.3
