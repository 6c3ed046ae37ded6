from ntkjax.selection.passes import Counts, on_target, over_candidates


COUNTS = Counts(100, 40, 5, 10, 1, 30, 999)


def test_candidates_are_shared_out_and_the_target_is_not():
    scores = over_candidates("scores", "loss product", COUNTS, row_bytes=4)
    assert (scores.examples, scores.side, scores.is_shared) == (40, "pool", True)
    assert scores.row_bytes == 4
    target = on_target("gradient of the target", "loss gradient", COUNTS, repeats=3)
    assert (target.examples, target.side, target.is_shared) == (5, "target", False)
    assert target.repeats == 3
