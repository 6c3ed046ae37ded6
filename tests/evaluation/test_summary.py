import dataclasses

import numpy as np
import pytest

from ntkjax.evaluation import summary as module
from ntkjax.evaluation.choices import ChoiceScores
from ntkjax.evaluation.evaluate import Evaluation
from ntkjax.evaluation.summary import RESAMPLES, ratio, summarize, summarize_by_source
from ntkjax.passes.likelihood import Likelihoods
from tests.evaluation.problem import questions_of


def drawn(n: int = 60, nll_scale: float = 1.0, answered: bool = True) -> Evaluation:
    """Numbers at random; answers are right for rows that are divisible by 5."""
    rng = np.random.default_rng(7)
    examples = questions_of(n)
    tokens = rng.integers(1, 9, n)
    choices = []
    for example in examples:
        count = len(example.choices or ())
        mean, total = rng.normal(size=(2, count))
        choices.append(ChoiceScores(mean, total) if count else None)
    texts = [e.response if row % 5 == 0 else "!" for row, e in enumerate(examples)]
    nll = nll_scale * rng.gamma(2.0, size=n) * tokens
    return Evaluation(
        examples, Likelihoods(nll, tokens), choices, texts if answered else [None] * n
    )


def test_values_against_loops():
    found = drawn()
    result = summarize(found)
    assert (result.examples, result.tokens) == (60, sum(found.tokens.tolist()))
    asked = [row for row in range(60) if found.choices[row] is not None]
    assert result.questions == len(asked) == 45
    total = sum((found.nll * found.tokens).tolist())
    assert result.perplexity.value == pytest.approx(np.exp(total / result.tokens))
    assert result.nll.value == pytest.approx(sum(found.nll.tolist()) / 60)
    for name, key in (("accuracy", "mean"), ("accuracy_sum", "sum")):
        hits = 0
        for row in asked:
            scores = getattr(found.choices[row], key).tolist()
            hits += scores.index(max(scores)) == found.examples[row].answer
        assert getattr(result, name).value == pytest.approx(hits / 45)
    assert result.exact_match.value == pytest.approx(12 / 60)


def test_intervals_against_direct_resampling():
    """Quantiles of 1000 and of 20,000 draws: about 5% of the width apart."""
    found = drawn()
    result = summarize(found, seed=3)
    rng = np.random.default_rng(99)
    direct = {"perplexity": [], "nll": [], "accuracy": []}
    total, tokens, correct = found.responses.nll, found.tokens, found.correct
    for _ in range(20_000):
        rows = rng.integers(60, size=60)
        direct["perplexity"].append(np.exp(total[rows].sum() / tokens[rows].sum()))
        direct["nll"].append(found_mean(total, tokens, rows))
        direct["accuracy"].append(correct[rng.integers(45, size=45)].mean())
    for name, samples in direct.items():
        low, high = np.quantile(samples, [0.025, 0.975])
        estimate = getattr(result, name)
        room = 0.15 * (high - low)
        assert abs(estimate.low - low) < room
        assert abs(estimate.high - high) < room
        assert low < estimate.value < high


def found_mean(total, tokens, rows) -> float:
    return float(np.mean(total[rows] / tokens[rows]))


def test_each_source_is_summarized_alone():
    found = drawn()
    groups = summarize_by_source(found)
    assert list(groups) == [None, "left", "right"]
    rows = [row for row, s in enumerate(found.sources) if s == "left"]
    part = Evaluation(
        [found.examples[row] for row in rows],
        Likelihoods(found.responses.nll[rows], found.tokens[rows]),
        [found.choices[row] for row in rows],
        [found.generated[row] for row in rows],
    )
    assert groups["left"] == summarize(part)
    assert sum(group.examples for group in groups.values()) == 60


def test_null_where_nothing_was_computed():
    found = drawn(answered=False)
    bare = dataclasses.replace(found, choices=[None] * 60)
    result = summarize(bare)
    assert result.accuracy is result.accuracy_sum is result.exact_match is None
    assert result.questions == 0


def test_a_perplexity_beyond_float64_is_null():
    result = summarize(drawn(nll_scale=1e3))
    assert result.perplexity is None
    assert result.nll.value > 709


def test_the_seed_decides_the_interval_alone():
    first, again, other = (summarize(drawn(), seed) for seed in (0, 0, 1))
    assert first == again
    assert first.nll.value == other.nll.value
    assert first.nll.low != other.nll.low


def test_blocks_of_draws(monkeypatch):
    """Fewer draws at once: other draws, as many, and one example has no width."""
    values, ones = np.arange(50.0), np.ones(50)
    whole = ratio(values, ones, 0)
    monkeypatch.setattr(module, "_DRAWS_AT_ONCE", 50 * 300)
    parts = ratio(values, ones, 0)
    assert whole[0] == parts[0] == 24.5
    assert len(whole[1]) == len(parts[1]) == RESAMPLES
    assert len(set(parts[1].tolist())) > RESAMPLES / 4  # blocks do not repeat
    assert np.std(parts[1]) == pytest.approx(np.std(values) / 50**0.5, rel=0.1)
    assert set(ratio(values[3:4], ones[:1], 0)[1]) == {3.0}
