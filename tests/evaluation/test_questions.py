import dataclasses

import pytest

from ntkjax.errors import InputError
from ntkjax.evaluation.questions import prepare_questions
from tests.commands.world import build_world
from tests.evaluation.problem import questions_of


BOS, EOS, NEWLINE, A = 1, 2, 31, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world")).model


def letters(text: str) -> list[int]:
    return [A + ord(letter) - ord("a") for letter in text]


def test_responses_choices_and_prompts_in_tokens(folder):
    examples = questions_of(8)
    found = prepare_questions(examples, folder, max_length=40, max_new_tokens=4)
    assert found.examples == examples
    assert found.num_choices.tolist() == [0, 2, 3, 4, 0, 2, 3, 4]
    choices = iter(found.choices)
    for index, example in enumerate(examples):
        start = [BOS, *letters(example.prompt), NEWLINE]
        response = [*start, *letters(example.response), EOS]
        assert found.responses[index].tokens.tolist() == response
        assert found.prompts.tokenized[index].tokens.tolist() == start
        for choice in example.choices or ():
            text = next(choices)
            assert text.tokens.tolist() == [*start, *letters(choice)]
            assert int(text.targets.sum()) == 1 + len(choice)  # the newline is one
    assert next(choices, None) is None
    assert found.num_cut == {"responses": 0, "choices": 0, "prompts": 0}
    assert (found.prompts.stop_ids, found.prompts.vocab_size) == ((EOS,), 64)


def test_without_generation(folder):
    found = prepare_questions(questions_of(3), folder, max_length=40)
    assert found.prompts is None
    assert found.num_cut == {"responses": 0, "choices": 0}


def test_texts_without_a_prompt_are_not_continued(folder):
    first, *rest = questions_of(4)
    examples = [dataclasses.replace(first, prompt=None), *rest]
    found = prepare_questions(examples, folder, max_length=40, max_new_tokens=4)
    assert found.prompts.rows.tolist() == [1, 2, 3]
    assert len(found.prompts.tokenized) == 3


def test_long_texts_are_cut_and_counted(folder):
    long, short = questions_of(2)
    long = dataclasses.replace(long, prompt="ab", response="c" * 30, choices=None)
    short = dataclasses.replace(
        short, prompt="ab", response="c", choices=("d", "e" * 30), answer=0
    )
    found = prepare_questions([long, short], folder, max_length=8, max_new_tokens=5)
    assert found.num_cut == {"responses": 1, "choices": 1, "prompts": 2}
    assert max(len(t.tokens) for t in found.responses + found.choices) == 8
    # beginning-of-text stays, the left of the prompt goes, five places stay free
    assert found.prompts.tokenized[0].tokens.tolist() == [BOS, *letters("b"), NEWLINE]


@pytest.mark.parametrize("max_length", [0, 65])
def test_a_limit_outside_the_positions_is_refused(folder, max_length):
    with pytest.raises(InputError, match=f"max_length {max_length}: expected 1 to 64"):
        prepare_questions(questions_of(1), folder, max_length=max_length)


def test_a_choice_that_cannot_be_read_is_named(tmp_path):
    world = build_world(tmp_path)
    world.edit_config(vocab_size=63)  # the digit 5 is the last token, number 63
    first, second = questions_of(2)
    bad = dataclasses.replace(second, choices=("a", "5"))
    with pytest.raises(InputError, match=r"^q\.jsonl:2, choice 1: token id 63 is outs"):
        prepare_questions([first, bad], world.model, max_length=24)
