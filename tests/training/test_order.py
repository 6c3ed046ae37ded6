"""Orders against what they promise: each example once an epoch, shares, no state."""

import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.training.order import DataOrder, check_mix


def picks(order: DataOrder, num_steps: int) -> np.ndarray:
    return np.concatenate([order.step(step) for step in range(num_steps)])


def test_each_example_once_per_epoch_in_an_order_of_its_own():
    walked = picks(DataOrder([5, 7], batch_size=4, seed=0), 9).reshape(3, 12)
    for epoch in walked:
        assert sorted(epoch) == list(range(12))
    assert (walked[0] != walked[1]).any()
    assert (walked[1] != walked[2]).any()


def test_steps_run_on_into_the_next_epoch():
    walked = picks(DataOrder([10], batch_size=4, seed=0), 5)
    assert sorted(walked[:10]) == sorted(walked[10:]) == list(range(10))


@pytest.mark.parametrize("mix", [None, (1.0, 3.0)])
def test_a_step_depends_on_the_seed_and_its_number_alone(mix):
    first, second = (DataOrder([5, 7], 4, 3, mix) for _ in range(2))
    forwards = [first.step(step) for step in range(10)]
    for step in (9, 0, 4):
        np.testing.assert_array_equal(second.step(step), forwards[step])
    other = DataOrder([5, 7], 4, 4, mix)
    assert (picks(other, 10) != np.concatenate(forwards)).any()


def test_sources_come_in_their_shares():
    """1 : 3 over 8000 draws; 5 standard errors are 0.024."""
    walked = picks(DataOrder([50, 70], 16, 0, (1.0, 3.0)), 500)
    share = np.mean(walked >= 50)
    error = np.sqrt(0.25 * 0.75 / len(walked))
    assert abs(share - 0.75) < 5 * error


def test_each_source_is_walked_before_it_starts_again():
    walked = picks(DataOrder([5, 7], 4, 0, (1.0, 2.0)), 50)
    for source in (walked[walked < 5], walked[walked >= 5] - 5):
        size = source.max() + 1
        for epoch in source[: len(source) // size * size].reshape(-1, size):
            assert sorted(epoch) == list(range(size))


def test_a_source_of_weight_zero_never_comes():
    assert picks(DataOrder([3, 0, 4], 8, 0, (1.0, 0.0, 0.0)), 5).max() == 2


@pytest.mark.parametrize(
    ("mix", "sizes", "message"),
    [
        (None, [0, 0], "data: no examples"),
        ((1.0,), [3, 4], "mix 1.0: expected one weight for each of the 2 data files"),
        ((1.0, -1.0), [3, 4], "mix 1.0 -1.0: .*at least 0"),
        ((0.0, 0.0), [3, 4], "mix 0.0 0.0: .*not all"),
        ((1.0, float("nan")), [3, 4], "mix 1.0 nan: "),
        ((1.0, 1.0), [3, 0], "mix 1.0 1.0: data file 2"),
    ],
)
def test_bad_weights_are_refused(mix, sizes, message):
    with pytest.raises(InputError, match=message):
        check_mix(mix, sizes)
    with pytest.raises(InputError, match=message):
        DataOrder(sizes, 2, 0, mix)
