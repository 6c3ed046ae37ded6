from ntkjax.selection.methods.method import Method, Words, no_passes
from ntkjax.selection.problem import Request, Scored
from tests.selection.small_problem import small_problem
from tests.selection.test_passes import COUNTS


def test_a_row_says_little_by_default():
    outline = small_problem().outline
    method = Method(
        "zero",
        "nothing",
        lambda problem: Scored(problem.candidates.lengths() * 0.0),
        no_passes,
        Words("number", "A number."),
        warmup="none",
    )
    method.refuse(Request(outline.options, True, False))
    method.check(outline)
    assert method.passes(outline, COUNTS) == []
    assert method.words.finding({}) is None
    assert not method.validates
    assert method.feature_width(outline) == outline.config.hidden_size
