import pytest

from ntkjax.data.chat.messages import ROLES, Message, read_messages
from ntkjax.errors import InputError


WHERE = "q.jsonl line 7"


def turn(role="user", content="c", **more):
    return {"role": role, "content": content, **more}


ANSWER = turn("assistant", " a ")


def test_the_last_turn_is_the_reply():
    before, reply = read_messages([turn("system", ""), turn(), ANSWER], WHERE, None)
    assert before == (Message("system", ""), Message("user", "c"))
    assert reply == " a "  # as it is written


def test_any_role_may_stand_before_the_reply():
    turns = [turn(role) for role in ROLES]
    before, _ = read_messages([*turns, ANSWER], WHERE, None)
    assert [message.role for message in before] == list(ROLES)


def test_null_keys_count_as_absent():
    before, _ = read_messages(
        [turn(tool_calls=None, name="", calls=[]), ANSWER], WHERE, None
    )
    assert before == (Message("user", "c"),)


def test_with_choices_the_last_turn_may_be_the_users():
    assert read_messages([turn()], WHERE, "right") == ((Message("user", "c"),), "right")
    _, reply = read_messages([turn(), ANSWER], WHERE, "right")
    assert reply == " a "


BAD = {
    "a string": ("hi", r'field "messages" must be a list of .*, got str\.'),
    "nothing": ([], "at least two objects .*, got list of 0"),
    "an answer alone": ([ANSWER], "at least two objects .*, got list of 1"),
    "no object": ([turn(), "a"], r'"messages\[1\]" must be an object .*, got str'),
    "ShareGPT": (
        [{"from": "human", "value": "q"}],
        r'messages\[0\]" has "from" and "value" \(ShareGPT\); expected "role"',
    ),
    "no role": ([{"content": "c"}], r'"messages\[0\]\.role" is missing\.'),
    "no content": ([turn(content=None)], r'"messages\[0\]\.content" is missing\.'),
    "a role of ShareGPT": (
        [turn("gpt")],
        r"messages\[0\]\.role\" is 'gpt'; expected sys",
    ),
    "role of a number": ([turn(3)], r'"messages\[0\]\.role" must be a string, got int'),
    "parts": (
        [turn(content=[])],
        r'"messages\[0\]\.content" must be a string, got list',
    ),
    "half a character": ([turn(content="\ud800")], "half a surrogate pair"),
    "silence": ([turn(), turn("assistant", " ")], r'"messages\[1\]\.content" is empty'),
    "calls": (
        [turn(), turn("assistant", "a", tool_calls=[{}])],
        r'"messages\[1\]\.tool_calls" is not supported; expected only "role" and',
    ),
    "thoughts": ([turn(reasoning_content="r")], r"messages\[0\]\.reasoning_content"),
    "no reply": (
        [turn(), turn()],
        r'messages\[1\]\.role" is "user"; expected "assistant"',
    ),
    "a turn after it": (
        [turn(), ANSWER, turn()],
        r'messages\[2\]\.role" is "user"; exp',
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_messages_are_named(case):
    value, message = BAD[case]
    with pytest.raises(InputError, match=message) as caught:
        read_messages(value, WHERE, None)
    assert str(caught.value).startswith(f"{WHERE}: field ")
    assert "\n" not in str(caught.value)


def test_choices_want_a_question_or_an_answer_at_the_end():
    with pytest.raises(InputError, match=r'"tool"; expected "user" or "assistant"'):
        read_messages([turn(), turn("tool")], WHERE, "right")
