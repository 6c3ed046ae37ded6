"""Targets of chats under the templates of the model families."""

import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from ntkjax.data.chat.encoding import end_marker_of, render_chat
from ntkjax.data.chat.messages import Message
from ntkjax.data.examples import Example
from ntkjax.data.templates import TemplateOptions
from ntkjax.data.tokenizing import tokenize, tokenize_prompts
from ntkjax.errors import InputError
from tests.data.chat.templates import END_MARKERS, TEMPLATES, chat_tokenizer


TOKENIZERS = {style: chat_tokenizer(style) for style in TEMPLATES}
QUESTION = ("user", "What is it?")
LEADS = ("", " ", "<think>\n\n</think>\n\n", "\n</think>\n\n")
"""What the templates may write between the request for an answer and its words."""


def example_of(*turns, **more):
    messages = tuple(Message(role, content) for role, content in turns)
    prompt = "\n".join(message.content for message in messages[:-1])
    response, before = messages[-1].content, messages[:-1]
    return Example("id", prompt, response, None, "q.jsonl:7", messages=before, **more)


def tokenized(style, example, *, max_length=10_000, end_of_text=True, **options):
    (found,) = tokenize(
        [example],
        TOKENIZERS[style],
        max_length=max_length,
        bos_id=1,
        eos_id=2,
        vocab_size=300,
        template=TemplateOptions(**options),
        end_of_text=end_of_text,
    )
    return found


def decoded(style, tokens):
    return TOKENIZERS[style].decode(tokens, clean_up_tokenization_spaces=False)


def runs_of(style, found):
    """Text of each run of targets, and of all tokens before it."""
    pairs = []
    groups = itertools.groupby(range(len(found.tokens)), lambda t: found.targets[t])
    for is_target, places in groups:
        first, *rest = places
        if is_target:
            run = found.tokens[first : first + 1 + len(rest)]
            pairs.append((decoded(style, found.tokens[:first]), decoded(style, run)))
    return pairs


def slow_text(style, turns, ask):
    """The template as transformers applies it, with the date that is the default."""
    conversation = [{"role": role, "content": content} for role, content in turns]
    return TOKENIZERS[style].apply_chat_template(
        conversation,
        tokenize=False,
        add_generation_prompt=ask,
        chat_template=TEMPLATES[style].replace("strftime_now(", "fixed.get("),
        fixed={"%d %b %Y": "26 Jul 2024", "%d %B %Y": "26 July 2024"},
        date_string="26 Jul 2024",
    )


def check_runs(style, turns, found, *, last_only=False):
    """The targets are the words and the marker of every answer, at their place."""
    answers = [k for k, (role, _) in enumerate(turns) if role == "assistant"]
    answers = answers[-1:] if last_only else answers
    runs = runs_of(style, found)
    assert len(runs) == len(answers)
    assert decoded(style, found.tokens) == slow_text(style, turns, False)
    for k, (before, run) in zip(answers, runs, strict=True):
        words, marker = turns[k][1].strip(), END_MARKERS[style]
        asked = slow_text(style, turns[:k], True)
        assert before.startswith(asked)
        if asked.endswith("<think>\n") and before.rstrip() == asked.rstrip():
            words = words.removeprefix("<think>").strip()  # the request began it
        assert run.startswith(words)
        assert run.endswith(marker)
        assert not run[len(words) : len(run) - len(marker)].strip()
        assert before[len(asked) :].rstrip() in [lead.rstrip() for lead in LEADS]


ALL_ANSWERS = [style for style in TEMPLATES if style != "qwen3-thinking"]
"""Styles that write a turn in the same way whether others follow or not."""

TWO_ANSWERS = (QUESTION, ("assistant", "A cat."), ("user", "Sure?"), ("assistant", "Y"))


@pytest.mark.parametrize("style", ALL_ANSWERS)
def test_the_targets_are_the_words_and_the_marker(style):
    marker = END_MARKERS[style]
    found = tokenized(style, example_of(*TWO_ANSWERS))
    texts = [run for _, run in runs_of(style, found)]
    # one token a letter: the space that Mistral writes is a token of its own
    assert texts == [f"A cat.{marker}", f"Y{marker}"]
    check_runs(style, TWO_ANSWERS, found)
    last = tokenized(style, example_of(*TWO_ANSWERS), train_on="last")
    assert [run for _, run in runs_of(style, last)] == [f"Y{marker}"]
    assert last.tokens.tolist() == found.tokens.tolist()


@pytest.mark.parametrize("style", TEMPLATES)
def test_the_tokens_are_those_of_transformers(style):
    """Beginning-of-text as often as the template writes it, and nothing added."""
    found = tokenized(style, example_of(*TWO_ANSWERS), train_on="last")
    text = slow_text(style, TWO_ANSWERS, False)
    expected = TOKENIZERS[style](text, add_special_tokens=False)["input_ids"]
    assert found.tokens.tolist() == expected
    has_bos = "bos_token" in TEMPLATES[style]
    assert np.flatnonzero(found.tokens == 1).tolist() == [0] * has_bos


@pytest.mark.parametrize("style", TEMPLATES)
def test_prompts_and_choices(style):
    """A choice ends with its words, a prompt stands before them; both are context."""
    example = example_of(*TWO_ANSWERS)
    whole = tokenized(style, example, train_on="last")
    choice = tokenized(style, example, end_of_text=False)
    ((before, run),) = runs_of(style, choice)
    assert run == "Y"
    assert choice.tokens.tolist() == whole.tokens[: len(choice.tokens)].tolist()
    (prompt,) = tokenize_prompts(
        [example],
        TOKENIZERS[style],
        max_length=10_000,
        bos_id=1,
        vocab_size=300,
        template=TemplateOptions(),
    )
    assert decoded(style, prompt.tokens) == before.rstrip(" ")
    assert not prompt.targets.any()
    assert (
        end_marker_of(example, TOKENIZERS[style], TemplateOptions())
        == (END_MARKERS[style])
    )


@pytest.mark.parametrize("style", TEMPLATES)
def test_a_prompt_and_a_response_are_one_turn_each(style):
    pair = Example("id", "What is it?", "A cat.", None, "q.jsonl:7")
    found = tokenized(style, pair, template="chat")
    same = tokenized(style, example_of(QUESTION, ("assistant", "A cat.")))
    assert found.tokens.tolist() == same.tokens.tolist()
    assert found.targets.tolist() == same.targets.tolist()
    assert decoded(style, tokenized(style, pair).tokens) == (
        "<s>What is it?\nA cat.</s>"
    )


def test_plain_and_chat_examples_side_by_side():
    pair = Example("id", "q", "r", None, "q.jsonl:7")
    chat = example_of(QUESTION, ("assistant", "A cat."))
    ends = {"max_length": 999, "bos_id": 1, "eos_id": 2, "vocab_size": 300}
    found = tokenize([pair, chat, pair], TOKENIZERS["gemma"], **ends)
    texts = [decoded("gemma", row.tokens) for row in found]
    assert texts[0] == texts[2] == "<s>q\nr</s>"
    assert texts[1].startswith("<s><start_of_turn>user\nWhat")


def test_a_thinking_block_that_the_last_turn_brings_is_a_target():
    block = "<think>\nHm.\n</think>\n\nA cat."
    turns = (QUESTION, ("assistant", block))
    found = tokenized("qwen3", example_of(*turns))
    ((before, run),) = runs_of("qwen3", found)
    assert run == f"{block}<|im_end|>"
    assert before.endswith("<|im_start|>assistant\n")
    plain = tokenized("qwen3", example_of(QUESTION, ("assistant", "A cat.")))
    ((before, run),) = runs_of("qwen3", plain)
    assert run == "A cat.<|im_end|>"
    assert before.endswith("assistant\n<think>\n\n</think>\n\n")


def test_a_thinking_block_that_the_request_opens_goes_on_as_a_target():
    style = "qwen3-thinking"
    turns = (QUESTION, ("assistant", "<think>\nHm.\n</think>\n\nA cat."))
    found = tokenized(style, example_of(*turns))
    ((before, run),) = runs_of(style, found)
    assert run == "Hm.\n</think>\n\nA cat.<|im_end|>"
    assert before == slow_text(style, turns[:1], True)
    assert before.endswith("<|im_start|>assistant\n<think>\n")
    plain = tokenized(style, example_of(QUESTION, ("assistant", "A cat.")))
    ((before, run),) = runs_of(style, plain)
    assert run == "A cat.<|im_end|>"
    assert before.endswith("assistant\n<think>\n\n</think>\n\n")
    message = refused(style, QUESTION, ("assistant", "<think>Hm.</think>A cat."))
    assert "a thinking block must be written as" in message
    # it asks with the block and drops it once more turns follow
    assert "train_on last" in refused(style, *TWO_ANSWERS)
    last = tokenized(style, example_of(*TWO_ANSWERS), train_on="last")
    check_runs(style, TWO_ANSWERS, last, last_only=True)


def test_a_token_that_begins_before_the_words_is_a_target_and_no_prompt():
    tokenizer = chat_tokenizer("mistral", merges=[("Ġ", "Y")])
    example = example_of(QUESTION, ("assistant", "Y"))
    ends = {"max_length": 99, "bos_id": 1, "vocab_size": 300}
    (found,) = tokenize([example], tokenizer, eos_id=2, **ends)
    assert tokenizer.decode(found.tokens[found.targets]) == " Y</s>"
    (prompt,) = tokenize_prompts([example], tokenizer, **ends)
    assert prompt.tokens.tolist() == found.tokens[~found.targets].tolist()


def test_white_space_around_the_words():
    turns = (QUESTION, ("assistant", "\n\n A cat. \n"))
    ((before, run),) = runs_of("chatml", tokenized("chatml", example_of(*turns)))
    assert run == "A cat. \n<|im_end|>"
    assert before.endswith("assistant\n\n\n ")
    ((_, run),) = runs_of("llama3", tokenized("llama3", example_of(*turns)))
    assert run == "A cat.<|eot_id|>"


@pytest.mark.parametrize("style", ALL_ANSWERS)
def test_a_long_chat_loses_its_right_then_the_left_of_its_first_question(style):
    whole = tokenized(style, example_of(*TWO_ANSWERS))
    has_bos = int(whole.tokens[0] == 1)
    first = int(np.argmax(whole.targets))
    cut = tokenized(style, example_of(*TWO_ANSWERS), max_length=first + 2)
    assert cut.was_cut
    assert cut.tokens.tolist() == whole.tokens[: first + 2].tolist()
    cut = tokenized(style, example_of(*TWO_ANSWERS), max_length=has_bos + 9)
    expected = [*whole.tokens[:has_bos], *whole.tokens[first : first + 9]]
    assert cut.tokens.tolist() == expected


@pytest.mark.parametrize("style", ["llama3", "smollm3"])
def test_the_date_is_the_one_of_the_settings(style):
    text = "Today Date: 26 Jul"
    assert text in decoded(style, tokenized(style, example_of(*TWO_ANSWERS)).tokens)
    found = tokenized(style, example_of(*TWO_ANSWERS), date="1999-01-02")
    month = {"llama3": "Jan", "smollm3": "January"}[style]
    assert f"Today Date: 02 {month} 1999\n" in decoded(style, found.tokens)


def refused(style, *turns, **options):
    with pytest.raises(InputError) as caught:
        tokenized(style, example_of(*turns), **options)
    message = str(caught.value)
    assert message.startswith("q.jsonl:7: ")
    assert "\n" not in message
    return message


def test_what_templates_refuse_is_named():
    message = refused("gemma", ("system", "Be kind."), *TWO_ANSWERS)
    assert "(System role not supported)" in message
    message = refused("mistral", QUESTION, *TWO_ANSWERS)
    assert "(roles must alternate user and assistant)" in message


def test_a_dropped_thinking_block_is_named():
    turns = (QUESTION, ("assistant", "<think>\nHm.\n</think>\n\nA cat."))
    more = (("user", "Sure?"), ("assistant", "Yes."))
    message = refused("qwen3", *turns, *more)
    assert "rewrites messages[1]; thinking blocks of earlier turns" in message
    assert "train_on last" in message
    ((_, run),) = runs_of(
        "qwen3", tokenized("qwen3", example_of(*turns, *more), train_on="last")
    )
    assert run == "Yes.<|im_end|>"
    message = refused("qwen3", QUESTION, ("assistant", "<think>Hm.</think>A cat."))
    assert "rewrites messages[1]; a thinking block must be written as" in message


def test_a_system_text_that_moves_is_named():
    turns = (("system", "Be kind."), *TWO_ANSWERS)
    message = refused("mistral", *turns)
    assert "stands before messages[2] otherwise once more turns follow" in message
    found = tokenized("mistral", example_of(*turns), train_on="last")
    check_runs("mistral", turns, found, last_only=True)


def test_a_chat_that_begins_with_an_answer():
    turns = (("assistant", "Hello."), *TWO_ANSWERS)
    assert "messages[0] is the assistant's" in refused("chatml", *turns)
    found = tokenized("chatml", example_of(*turns), train_on="last")
    check_runs("chatml", turns, found, last_only=True)


def test_a_tokenizer_without_a_template():
    tokenizer = chat_tokenizer(None)
    with pytest.raises(InputError, match=r"^q\.jsonl:7: the tokenizer .* no chat temp"):
        render_chat(example_of(*TWO_ANSWERS), tokenizer, TemplateOptions())


ODD = {
    "twice": (
        "{% for m in messages %}{{ m.content + m.content }}|{% endfor %}",
        "2 ti",
    ),
    "no request": (
        "{% for m in messages %}{{ m.role + m.content }}|{% endfor %}"
        "{% if add_generation_prompt %}now{% endif %}",
        "does not begin the last turn as it asks for an answer",
    ),
    "end of the last": (
        "{% for m in messages %}{{ m.content }}|{% endfor %}"
        "{% if not add_generation_prompt %}</s>{% endif %}",
        "after messages[1] the chat template does not write what ends the last turn",
    ),
    "upper case": (
        "{% for m in messages %}{{ m.content | upper }}|{% endfor %}",
        "rewrites messages[1]; thinking blocks",
    ),
    "broken": ("{% for m in messages %}{{ m.content.nope() }}{% endfor %}", "nope"),
}


@pytest.mark.parametrize("case", ODD)
def test_odd_templates_are_refused(case):
    template, message = ODD[case]
    tokenizer = chat_tokenizer("chatml")
    tokenizer.chat_template = template
    with pytest.raises(InputError) as caught:
        render_chat(example_of(*TWO_ANSWERS), tokenizer, TemplateOptions())
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


PIECES = st.sampled_from(
    [
        *END_MARKERS.values(),
        *("<|im_start|>assistant\n", "<start_of_turn>model\n", "[INST]", "[/INST]"),
        *("<think>", "</think>", "<think>\n\n</think>\n\n", "<think>\nx\n</think>\n\n"),
        *("§", "§words§", " ", "\n", "\n\n", "\t", "é", "🎉", "a\u0301", "yes", "user"),
    ]
)
CONTENT = st.lists(
    PIECES | st.text(st.characters(exclude_categories=["Cs"]), max_size=4), max_size=4
).map("".join)
SPOKEN = CONTENT.filter(str.strip)


@st.composite
def conversations(draw):
    turns = [("system", draw(CONTENT))] if draw(st.booleans()) else []
    for _ in range(draw(st.integers(1, 3))):
        turns += [("user", draw(CONTENT)), ("assistant", draw(SPOKEN))]
    return tuple(turns)


@pytest.mark.slow
@pytest.mark.parametrize("style", TEMPLATES)
@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(turns=conversations(), train_on=st.sampled_from(["all", "last"]))
def test_any_conversation(style, turns, train_on):
    """Either an error, or the targets are the words and the marker, at their place."""
    example = example_of(*turns)
    try:
        found = tokenized(style, example, train_on=train_on)
    except InputError:
        hypothesis.event("refused")
        thinks = any("</think>" in content for _, content in turns)
        is_system = turns[0][0] == "system"
        has_more = train_on == "all" and len(turns) - is_system > 2
        assert (
            (thinks and style.startswith("qwen3"))
            or (is_system and style == "gemma")
            or (has_more and style == "qwen3-thinking")
            or (is_system and has_more and style == "mistral")
        )
        return
    check_runs(style, turns, found, last_only=train_on == "last")
