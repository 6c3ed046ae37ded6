import numpy as np

from ntkjax.selection.pickers.top import top
from tests.selection.pickers.random_pick_problem import random_pick_problem


def test_highest_scores_first_and_of_equal_ones_the_lower_position():
    scores = np.array([0.5, 2.0, -1.0, 2.0, 0.5])
    assert top(random_pick_problem(0, scores=scores)).tolist() == [1, 3, 0, 4, 2]
    assert top(random_pick_problem(0, scores=scores, most=3)).tolist() == [1, 3, 0]
