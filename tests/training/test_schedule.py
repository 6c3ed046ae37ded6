import math

import numpy as np
import optax
import pytest

from ntkjax.training.schedule import learning_rate
from ntkjax.training.settings import TrainingSettings


def rates(num_steps: int, **changes) -> list[float]:
    settings = TrainingSettings(learning_rate=0.5, **changes)
    return [learning_rate(settings, step, num_steps) for step in range(num_steps)]


def test_cosine_is_that_of_optax():
    schedule = optax.cosine_decay_schedule(0.5, decay_steps=20)
    expected = [float(schedule(step)) for step in range(20)]
    found = rates(20, schedule="cosine", warmup_share=0.0)
    # optax counts in float32
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_linear_falls_evenly():
    found = rates(4, schedule="linear", warmup_share=0.0)
    assert found == [0.5, 0.375, 0.25, 0.125]


def test_warm_up_rises_to_the_top():
    found = rates(10, schedule="constant", warmup_share=0.4)
    np.testing.assert_allclose(found, [0.125, 0.25, 0.375, *[0.5] * 7])


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("num_steps", [1, 2, 13])
def test_every_step_moves(schedule, share, num_steps):
    found = rates(num_steps, schedule=schedule, warmup_share=share)
    assert all(0 < rate <= 0.5 for rate in found)
    assert math.isclose(max(found), 0.5)
