import json
import shutil

import pytest

from ntkjax.checkpoints.embedded import EMBEDDED_MODEL
from ntkjax.checkpoints.text_encoder import text_encoder
from ntkjax.data.chat.messages import Message
from ntkjax.data.examples import Example
from ntkjax.data.templates import TemplateOptions
from ntkjax.errors import InputError
from tests.data.chat.templates import SPECIAL, save_chat_tokenizer


CUP = Example("a", "What colour is the cup?", "red.", None, "here")
CHAT = Example("b", "q", "red.", None, "here", messages=(Message("user", "q"),))
END = SPECIAL.index("<|im_end|>")


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
    with pytest.raises(InputError, match=f"max_length {max_length}: expected 1 to"):
        text_encoder(EMBEDDED_MODEL, max_length)


@pytest.fixture
def folder(tmp_path):
    """The config of the embedded model beside a tokenizer with a chat template."""
    shutil.copyfile(EMBEDDED_MODEL / "config.json", tmp_path / "config.json")
    save_chat_tokenizer(tmp_path, "chatml")
    return tmp_path


def test_a_chat_takes_the_tokenizers_template(folder):
    encode = text_encoder(folder, 200)
    found, pair = encode([CHAT, CUP])
    assert text(encode, found.tokens[found.targets]) == "red.<|im_end|>"
    assert text(encode, pair.tokens).startswith("What colour")
    (choice,) = encode([CHAT], end_of_text=False)
    assert text(encode, choice.tokens).endswith("assistant\nred.")
    (prompt,) = encode.prompts([CHAT], 200)
    assert text(encode, prompt.tokens).endswith("assistant\n")
    encode = text_encoder(folder, 200, TemplateOptions("chat"))
    assert encode([CUP])[0].tokens[0] == SPECIAL.index("<|im_start|>")


def test_beginning_of_text_needs_a_tokenizer_that_has_one(folder, encode):
    """Qwen's config names a token, its tokenizer none."""
    assert json.loads((folder / "config.json").read_text())["bos_token_id"] == 1
    assert text_encoder(folder, 24).bos_id is None
    save_chat_tokenizer(folder, "gemma")
    assert text_encoder(folder, 24).bos_id == encode.bos_id == 1


@pytest.mark.parametrize("name", ["stories260k", "base4m"])
def test_real_models_keep_their_ends(shared, name):
    encode = text_encoder(shared / "models" / name, 24)
    assert (encode.bos_id, encode.eos_id, encode.stop_ids([CUP])) == (1, 2, (2,))


def test_an_answer_ends_at_every_end(folder, encode):
    assert encode.stop_ids([CUP]) == (2,)
    assert text_encoder(folder, 24).stop_ids([CUP]) == (2,)
    assert text_encoder(folder, 24).stop_ids([CUP, CHAT]) == (2, END)
    (folder / "generation_config.json").write_text('{"eos_token_id": [7, 2]}')
    assert text_encoder(folder, 24).stop_ids([CUP]) == (2, 7)
    (folder / "generation_config.json").write_text("{}")
    assert text_encoder(folder, 24).stop_ids([]) == (2,)
    (folder / "generation_config.json").write_text("{")
    with pytest.raises(InputError, match=r"generation_config\.json: cannot be read"):
        text_encoder(folder, 24)


def test_an_end_marker_of_several_tokens_is_a_text_and_no_stop_token(folder):
    template = "{% for m in messages %}{{ m.content }} over. {% endfor %}"
    (folder / "chat_template.jinja").write_text(template)
    encode = text_encoder(folder, 24)
    (found,) = encode([CHAT])
    assert text(encode, found.tokens[found.targets]) == "red. over."
    assert encode.stop_ids([CHAT]) == (2,)
    plain = Example("b", "c", "d", None, "q:2")
    assert encode.end_markers([plain, CHAT]) == ["", "over."]
    assert encode.end_markers([plain]) == [""]
