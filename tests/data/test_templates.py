import pytest

from ntkjax.data.chat.messages import Message
from ntkjax.data.examples import Example
from ntkjax.data.templates import (
    TemplateOptions,
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
