import numpy as np
import pytest

from ntkjax.evaluation.choices import ChoiceScores, choice_texts, score_choices
from ntkjax.passes.likelihood import Likelihoods
from tests.evaluation.problem import questions_of


def scores(mean, total=None) -> ChoiceScores:
    return ChoiceScores(np.array(mean, float), np.array(total or mean, float))


@pytest.mark.parametrize(
    ("values", "best"),
    [([-3, -1, -2], 1), ([-1, -1], 0), ([-2, -1, -1], 1), ([-np.inf, -5], 1)],
)
def test_prediction_is_the_first_of_the_best(values, best):
    zeros = [0.0] * len(values)
    assert scores(values, zeros).prediction == best
    assert scores(zeros, values).prediction_sum == best


def test_choice_texts_stand_in_place_of_the_response():
    examples = questions_of(6)
    texts, counts = choice_texts(examples)
    assert counts.tolist() == [0, 2, 3, 4, 0, 2]
    expected = [(e.prompt, c) for e in examples for c in e.choices or ()]
    assert [(t.prompt, t.response) for t in texts] == expected
    assert texts[3].location == "q.jsonl:3, choice 1"


def test_scores_against_a_loop():
    examples = questions_of(9)
    _, counts = choice_texts(examples)
    rng = np.random.default_rng(0)
    number = int(counts.sum())
    found = Likelihoods(rng.normal(size=number), rng.integers(1, 9, number))
    result = score_choices(found, counts)
    place = 0
    for example, scored in zip(examples, result, strict=True):
        if example.choices is None:
            assert scored is None
            continue
        for index in range(len(example.choices)):
            assert scored.sum[index] == -found.nll[place]
            assert scored.mean[index] == -found.nll[place] / found.tokens[place]
            place += 1
    assert place == number


def test_no_choices_at_all():
    examples = [e for e in questions_of(9) if e.choices is None]
    texts, counts = choice_texts(examples)
    empty = Likelihoods(np.zeros(0), np.zeros(0, np.int64))
    assert texts == []
    assert score_choices(empty, counts) == [None] * len(examples)
