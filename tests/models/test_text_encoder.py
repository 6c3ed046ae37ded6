import pytest

from ntkjax.data.examples import Example
from ntkjax.errors import InputError
from ntkjax.models.embedded import EMBEDDED_MODEL
from ntkjax.models.text_encoder import text_encoder


CUP = Example("a", "What colour is the cup?", "red.", None, "here")


@pytest.fixture(scope="module")
def encode():
    return text_encoder(EMBEDDED_MODEL, 24)


def text(encode, tokens) -> str:
    return encode.tokenizer.decode(tokens)


def test_an_example_is_framed_and_its_response_is_the_target(encode):
    (found,) = encode([CUP])
    assert text(encode, found.tokens) == "<s>What colour is the cup?\nred.</s>"
    assert text(encode, found.tokens[found.targets]) == "\nred.</s>"


def test_choices_have_no_end_and_prompts_no_response(encode):
    (choice,) = encode([CUP], end_of_text=False)
    assert text(encode, choice.tokens) == "<s>What colour is the cup?\nred."
    (prompt,) = encode.prompts([CUP], 24)
    assert text(encode, prompt.tokens) == "<s>What colour is the cup?\n"
    assert prompt.tokens.tolist() == choice.tokens[: len(prompt.tokens)].tolist()


def test_padded_rows_of_the_head_are_not_in_the_vocabulary(encode):
    assert encode.num_rows == 1536
    assert encode.vocab_size == len(encode.tokenizer) < 1536


@pytest.mark.parametrize("max_length", [0, 257])
def test_a_length_without_positions_is_refused(max_length):
    with pytest.raises(InputError, match=f"--max-length {max_length}: expected 1 to"):
        text_encoder(EMBEDDED_MODEL, max_length)
