import dataclasses

import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.training.plan import Plan
from ntkjax.training.settings import TrainingSettings
from tests.problems import random_examples


EXAMPLES = random_examples(10)


def plan(sources=(EXAMPLES,), mix=None, **changes) -> Plan:
    return Plan(sources, TrainingSettings(**{"batch_size": 4, **changes}), 0, mix)


def seen(found: Plan) -> list[str]:
    return [e.id for step in range(found.num_steps) for e in found.step(step)]


@pytest.mark.parametrize("epochs", [1.0, 2.0, 3.5])
def test_epochs_end_where_they_end(epochs):
    """Also inside a step: 35 examples in steps of 4 end with one of 3."""
    found = plan(epochs=epochs)
    assert len(seen(found)) == 10 * epochs
    counts = [seen(found).count(example.id) for example in EXAMPLES]
    assert set(counts) <= {int(epochs), int(np.ceil(epochs))}


def test_default_is_three_epochs():
    assert len(seen(plan())) == 30


def test_a_tiny_share_of_an_epoch_is_one_example():
    assert len(seen(plan(epochs=1e-9))) == 1


def test_steps_are_whole():
    found = plan(steps=3)
    assert found.num_steps == 3
    assert len(seen(found)) == 12
    assert found.steps_per_epoch == 3


@pytest.mark.parametrize("mix", [None, (2.0, 1.0)])
def test_token_budget_is_reached_by_the_last_step(mix):
    found = plan((EXAMPLES[:4], EXAMPLES[4:]), mix, token_budget=100)
    tokens = [
        sum(len(example.tokens) for example in found.step(step))
        for step in range(found.num_steps)
    ]
    assert sum(tokens[:-1]) < 100 <= sum(tokens)


def test_examples_without_anything_to_predict_are_refused():
    first_only = np.arange(len(EXAMPLES[0].tokens)) == 0
    bad = dataclasses.replace(EXAMPLES[0], id="x", targets=first_only)
    with pytest.raises(InputError, match="example 'x' has no token to predict"):
        plan(([*EXAMPLES, bad],))
