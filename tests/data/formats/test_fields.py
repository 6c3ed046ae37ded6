import pytest

from ntkjax.data.formats.fields import filled, shown, string
from ntkjax.errors import InputError


def test_good_values_come_back():
    assert string("", "f", "here") == ""
    assert filled(" a ", "f", "here") == " a "


@pytest.mark.parametrize(
    ("read", "value", "message"),
    [
        (string, 3, r'^here: field "f" must be a string, got int\.$'),
        (string, None, "got NoneType"),
        (string, [1, 2], r"got list of 2\.$"),
        (string, "a\ud800", r'^here: field "f" has half a surrogate pair at char.* 2;'),
        (filled, " \n", r'^here: field "f" is empty; fill it in or remove the record'),
        (filled, 3, "must be a string, got int"),
    ],
)
def test_bad_values_are_named(read, value, message):
    with pytest.raises(InputError, match=message):
        read(value, "f", "here")


def test_what_is_expected_may_be_said():
    with pytest.raises(InputError, match="must be a name, got float"):
        string(1.5, "f", "here", expected="a name")


def test_kinds():
    assert [shown(value) for value in (1, [], [1])] == ["int", "list of 0", "list of 1"]
