import datetime

import pytest

from ntkjax.data.chat.clock import date_variables, with_clock
from tests.data.chat.templates import chat_tokenizer


DAY = datetime.datetime(2024, 7, 6)


def applied(template: str) -> str:
    """What transformers makes of a template with the clock and the variables."""
    return chat_tokenizer(None).apply_chat_template(
        [{"role": "user", "content": "c"}],
        chat_template=with_clock(template),
        tokenize=False,
        **date_variables("2024-07-06"),
    )


@pytest.mark.parametrize(
    "directives",
    [
        "%d %b %Y",
        "%d %B %Y",
        "%Y-%m-%d",
        "%A, %H:%M",
        "%j %U %y %I%p",
        "%x %X %c",
        "%%",
    ],
)
def test_as_strftime_writes_it(directives):
    found = applied("{{ strftime_now('" + directives + "') }}")
    assert found == DAY.strftime(directives)


def test_without_leading_zeros():
    assert applied("{{ strftime_now('%-d/%-m') }}") == "6/7"


@pytest.mark.parametrize(
    "template",
    [
        "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %}",
        "{% set year = strftime_now('%Y') %}{{ year }}",
        "{% macro year() %}{{ strftime_now('%Y') }}{% endmacro %}{{ year() }}",
        "{% for m in messages %}{{ strftime_now('%Y') }}{% endfor %}",
    ],
)
def test_wherever_a_template_asks(template):
    assert applied(template) == "2024"


def test_the_variable():
    assert applied("{{ date_string }}") == "06 Jul 2024"


def test_nothing_else_changes():
    assert with_clock("a {{ messages }}") == "a {{ messages }}"
    assert applied("\n a{# strftime_now #}\n") == "\n a"  # the last line feed: jinja's
    assert applied("{{ strftime_now('%d') }}\n b") == "06\n b"
