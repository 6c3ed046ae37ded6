import pathlib

import pytest

from ntkjax.checkpoints.families.config_keys import HARMLESS, Keys
from ntkjax.errors import InputError


PATH = pathlib.Path("folder/config.json")


def keys(**raw) -> Keys:
    return Keys(PATH, raw)


def test_a_taken_key_is_gone_and_a_missing_one_has_its_default():
    found = keys(a=1, b=None)
    assert found.take("a", int) == 1
    assert found.take("a", int, 5) == 5
    assert found.take("b", int, 6) == 6
    found.done()


def test_harmless_keys_need_not_be_taken():
    keys(**dict.fromkeys(HARMLESS, "anything")).done()


def test_null_is_told_from_missing():
    found = keys(a=None, b=2.0)
    assert found.is_null("a")
    assert not found.is_null("b")
    assert not found.is_null("c")


@pytest.mark.parametrize(
    ("raw", "default", "expected"),
    [
        ({}, 5.0, 5.0),
        ({}, None, None),
        ({"a": None}, 5.0, None),
        ({"a": 3}, 5.0, 3.0),
    ],
)
def test_null_takes_away_an_optional_number(raw, default, expected):
    found = keys(**raw)
    assert found.optional_number("a", default) == expected
    found.done()


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda k: k.take("missing", int), "required key 'missing' is missing"),
        (lambda k: k.take("word", int), "'word' must be int, got 'x'"),
        (lambda k: k.take("flag", (float, int)), "'flag' must be float or int, got T"),
        (lambda k: k.positive("zero"), "'zero' must be positive, got 0"),
        (lambda k: k.positive_number("zero"), "'zero' must be positive, got 0"),
        (lambda k: k.optional_number("zero"), "'zero' must be positive, got 0"),
        (lambda k: k.only("flag", bool, False, "why"), "flag=True .*supported: why"),
        (lambda k: k.one_of("word", ("b", "a")), "word 'x' .*supported are: a, b"),
        (lambda k: k.done(), "unknown config keys.*flag=True, word='x', zero=0"),
    ],
)
def test_refused(act, message):
    with pytest.raises(InputError, match=f"^{PATH}: .*{message}"):
        act(keys(word="x", flag=True, zero=0))
