import pytest

from ntkjax.evaluation.exact_match import exact_match


@pytest.mark.parametrize(
    ("generated", "response", "same"),
    [
        ("yes", "yes", True),
        (" yes\n", "yes", True),
        ("yes", "\tyes ", True),
        ("Yes", "yes", False),
        ("yes.", "yes", False),
        ("a  b", "a b", False),
        ("", "yes", False),
    ],
)
def test_white_space_at_the_ends_does_not_count(generated, response, same):
    assert exact_match(generated, response) is same
