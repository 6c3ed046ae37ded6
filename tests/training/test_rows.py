import numpy as np
import pytest

from ntkjax.training.rows import Layout, fill_rows, num_targets
from tests.problems import random_examples


@pytest.mark.parametrize("accumulation", [1, 2, 5])
@pytest.mark.parametrize("num_devices", [1, 2, 3])
def test_rows_hold_the_examples_and_nothing_else(accumulation, num_devices):
    examples = random_examples(9)
    layout = Layout(accumulation, 10 // accumulation, num_devices)
    rows = fill_rows(examples, layout, max_length=24)
    assert rows.tokens.shape[1] % num_devices == 0
    assert rows.tokens.shape[2] == 16
    for index, example in enumerate(examples):
        T = len(example.tokens)
        tokens, targets = (array[layout.place(index)] for array in rows)
        np.testing.assert_array_equal(tokens[:T], example.tokens)
        np.testing.assert_array_equal(targets[:T], example.targets)
        assert not targets[T:].any()
    total = sum(int(example.targets.sum()) for example in examples)
    assert rows.targets.sum() == total


def test_the_first_token_is_no_target():
    (example,) = random_examples(1)
    example.targets[:] = True
    rows = fill_rows([example], Layout(1, 1, 1), 16)
    assert num_targets(rows) == len(example.tokens) - 1


def test_an_example_of_the_longest_length_fits_and_a_longer_one_does_not():
    example = max(random_examples(9), key=lambda e: len(e.tokens))
    T = len(example.tokens)
    assert fill_rows([example], Layout(1, 1, 1), T).tokens.shape == (1, 1, T)
    with pytest.raises(ValueError, match=f"an example of {T} tokens"):
        fill_rows([example], Layout(1, 1, 1), T - 1)
