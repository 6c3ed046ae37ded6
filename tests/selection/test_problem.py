import numpy as np

from ntkjax.selection.problem import Candidates
from tests.selection.small_problem import small_problem


def test_groups_in_the_order_in_which_they_appear():
    problem = small_problem(5, groups=("b", "a", "b", "c", "a"))
    assert problem.group_rows() == {"b": [0, 2], "a": [1, 4], "c": [3]}
    assert small_problem(3).group_rows() == {"": [0, 1, 2]}


def test_a_part_of_the_target():
    problem = small_problem(5, groups=("b", "a", "b", "c", "a"))
    part = problem.limited_to([1, 4])
    assert part.target == (problem.target[1], problem.target[4])
    assert part.target_tokens == (problem.target_tokens[1], problem.target_tokens[4])
    assert part.groups == ("a", "a")
    assert part.candidates is problem.candidates
    assert small_problem(5).limited_to([0]).groups is None


def test_a_part_of_the_candidates():
    problem = small_problem()
    part = problem.candidates.limited_to(np.array([6, 1, 3]))
    assert isinstance(part, Candidates)
    assert len(part) == 3
    ids = [example.id for example in part.read(np.arange(3))]
    assert ids == ["1", "3", "6"]
    assert [text.id for block in part.texts() for text in block] == ids
    np.testing.assert_array_equal(
        part.lengths(), problem.candidates.lengths()[[1, 3, 6]]
    )


def test_the_last_snapshot_is_where_scores_are_taken():
    problem = small_problem(num_snapshots=3, moments=True)
    assert problem.snapshot is problem.snapshots[2]
