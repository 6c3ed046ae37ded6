import dataclasses

import numpy as np
import pytest

from tests.selection.pickers.random_pick_problem import random_pick_problem


def test_a_problem_is_not_changed_by_a_picker():
    problem = random_pick_problem(0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        problem.most = 3  # pyright: ignore[reportAttributeAccessIssue]


def test_scores_are_a_vector_of_float64():
    with pytest.raises(TypeError, match="scores"):
        random_pick_problem(0, scores=np.zeros((3, 4)))
    with pytest.raises(TypeError, match="scores"):
        random_pick_problem(0, scores=np.zeros(3, np.float32))
