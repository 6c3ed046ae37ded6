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


def test_the_last_snapshot_is_where_scores_are_taken():
    problem = small_problem(num_snapshots=3, moments=True)
    assert problem.snapshot is problem.snapshots[2]
    assert problem.prospect.has_moments
    assert not small_problem().prospect.has_moments
