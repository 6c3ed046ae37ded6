import pytest

from ntkjax.data.chat.messages import Message
from ntkjax.data.examples import Example
from ntkjax.data.templates import (
    TemplateOptions,
    check_template_options,
    is_chat,
    render_plain,
    render_plain_prompt,
)
from ntkjax.errors import InputError


PAIR = Example("0", "ab", "cd", None, "q.jsonl:1")
TEXT = Example("1", None, "ab", None, "q.jsonl:2")
CHAT = Example("2", "a", "b", None, "q.jsonl:3", messages=(Message("user", "a"),))


def test_plain_texts_and_their_targets():
    pair, text = render_plain(PAIR), render_plain(TEXT)
    assert (pair.text, text.text) == ("ab\ncd", "ab")
    (start, end), *_ = pair.spans
    assert (start, end > len(pair.text)) == (2, True)
    # all of it, also a token of no characters at either end
    assert text.spans == ((-1, 3),)
    prompt = render_plain_prompt(PAIR)
    assert (prompt.text, prompt.spans) == ("ab\n", ((-1, 4),))
    assert not any(rendered.is_framed for rendered in (pair, text, prompt))


def test_who_takes_the_chat_template():
    kinds = [is_chat(example, TemplateOptions()) for example in (PAIR, TEXT, CHAT)]
    assert kinds == [False, False, True]
    assert is_chat(PAIR, TemplateOptions("chat"))
    assert is_chat(CHAT, TemplateOptions("chat"))
    assert not is_chat(PAIR, TemplateOptions("plain"))
    assert not is_chat(TEXT, TemplateOptions("plain"))


def test_records_that_do_not_fit_are_named():
    with pytest.raises(
        InputError, match=r'^q\.jsonl:3: template plain does not fit "m'
    ):
        is_chat(CHAT, TemplateOptions("plain"))
    with pytest.raises(
        InputError, match=r'^q\.jsonl:2: template chat does not fit a "'
    ):
        is_chat(TEXT, TemplateOptions("chat"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": "jinja"}, "template jinja: expected auto, plain or chat."),
        ({"train_on": "first"}, "train_on first: expected all or last."),
        ({"date": "today"}, "template_date today: expected a date as YYYY-MM-DD"),
        ({"date": "2024-02-30"}, "template_date 2024-02-30: expected a date"),
        ({"date": "20240726"}, "template_date 20240726: expected a date"),
        ({"date": ""}, "template_date : expected a date"),
    ],
)
def test_bad_options_are_refused(changes, message):
    with pytest.raises(InputError) as caught:
        check_template_options(TemplateOptions(**changes))
    assert message in str(caught.value)


def test_good_options_pass():
    check_template_options(TemplateOptions())
    check_template_options(TemplateOptions("chat", "last", "1999-12-31"))
