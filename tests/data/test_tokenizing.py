import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from ntkjax.data.encoding import BLOCK
from ntkjax.data.examples import Example
from ntkjax.data.tokenizer import load_tokenizer
from ntkjax.data.tokenizing import tokenize, tokenize_prompts
from ntkjax.errors import InputError


BOS, EOS, SOP = 1, 2, 3
BOTH = {"bos_id": BOS, "eos_id": EOS}
NONE = {"bos_id": None, "eos_id": None}


def _example(prompt, response, location="q.jsonl:1"):
    return Example("id", prompt, response, None, location)


def _tokenize(tokenizer, *pairs, max_length=100, vocab_size=300, **ends):
    examples = [_example(*pair) for pair in pairs]
    limits = {"max_length": max_length, "vocab_size": vocab_size}
    return tokenize(examples, tokenizer, **limits, **{**BOTH, **ends})


def _show(tokenizer, tokenized):
    """Tokens as text, targets in brackets: "<s>ab[\\n][c][</s>]"."""
    pieces = [tokenizer.decode([token]) for token in tokenized.tokens]
    marked = zip(pieces, tokenized.targets, strict=True)
    return "".join(f"[{piece}]" if target else piece for piece, target in marked)


@pytest.mark.parametrize(
    "template", ["$A", "<s> $A", "$A </s>", "<s> $A </s>"], ids=lambda t: t
)
@pytest.mark.parametrize(
    ("prompt", "response", "ends", "expected"),
    [
        ("ab", "cd", BOTH, "<s>ab[\n][c][d][</s>]"),
        ("", "c", BOTH, "<s>[\n][c][</s>]"),
        (None, "ab", BOTH, "<s>[a][b][</s>]"),
    ],
)
def test_both_ends_stand_once(
    save_tokenizer, template, prompt, response, ends, expected
):
    tokenizer = load_tokenizer(save_tokenizer(template))
    (tokenized,) = _tokenize(tokenizer, (prompt, response), **ends)
    assert _show(tokenizer, tokenized) == expected
    assert tokenized.tokens.dtype == np.int32
    assert not tokenized.was_cut


@pytest.mark.parametrize(
    ("template", "ends", "expected"),
    [
        ("$A", {"bos_id": None, "eos_id": EOS}, "[a][</s>]"),
        ("$A", {"bos_id": BOS, "eos_id": None}, "<s>[a]"),
        # What the tokenizer puts in is no target, whether or not it was asked for.
        ("<s> $A </s>", NONE, "<s>[a]</s>"),
        ("<s> <sop> $A", BOTH, "<s><sop>[a][</s>]"),
        ("<sop> $A", BOTH, "<s><sop>[a][</s>]"),
        # One token may be both ends.
        ("$A", {"bos_id": EOS, "eos_id": EOS}, "</s>[a][</s>]"),
        ("</s> $A", {"bos_id": EOS, "eos_id": EOS}, "</s>[a][</s>]"),
    ],
)
def test_ends_that_were_not_asked_for(save_tokenizer, template, ends, expected):
    tokenizer = load_tokenizer(save_tokenizer(template))
    (tokenized,) = _tokenize(tokenizer, (None, "a"), **ends)
    assert _show(tokenizer, tokenized) == expected


def test_special_tokens_in_front_of_an_empty_prompt_are_no_targets(save_tokenizer):
    tokenizer = load_tokenizer(save_tokenizer("<s> <sop> $A </s>"))
    (tokenized,) = _tokenize(tokenizer, ("", "a"), **NONE)
    assert _show(tokenizer, tokenized) == "<s><sop>[\n][a]</s>"


def test_ends_written_in_the_text_are_not_doubled(save_tokenizer):
    tokenizer = load_tokenizer(save_tokenizer())
    (tokenized,) = _tokenize(tokenizer, ("<s>a", "b</s>"))
    assert _show(tokenizer, tokenized) == "<s>a[\n][b][</s>]"


def test_a_token_across_the_border_is_a_target(save_tokenizer):
    merges = [("b", "Ċ"), ("Ċ", "c")]  # Ċ is the newline's letter
    tokenizer = load_tokenizer(save_tokenizer(merges=merges))
    left, right = _tokenize(tokenizer, ("ab", "d"), ("a", "cd"))
    assert _show(tokenizer, left) == "<s>a[b\n][d][</s>]"
    assert _show(tokenizer, right) == "<s>a[\nc][d][</s>]"


def test_offsets_count_characters_not_bytes(save_tokenizer):
    tokenizer = load_tokenizer(save_tokenizer())
    (tokenized,) = _tokenize(tokenizer, ("é🎉", "é"))
    num_prompt = len("é🎉".encode())
    expected = [False] * (1 + num_prompt) + [True] * (1 + 2 + 1)
    assert tokenized.targets.tolist() == expected


@pytest.mark.parametrize(
    ("max_length", "expected"),
    [
        (8, "<s>abc[\n][d][e][</s>]"),
        (7, "<s>bc[\n][d][e][</s>]"),
        (5, "<s>[\n][d][e][</s>]"),
        (4, "<s>[\n][d][e]"),
        (2, "<s>[\n]"),
    ],
)
def test_the_prompt_goes_first_then_the_end(save_tokenizer, max_length, expected):
    for template in ("$A", "<s> $A", "<s> $A </s>"):
        tokenizer = load_tokenizer(save_tokenizer(template))
        (tokenized,) = _tokenize(tokenizer, ("abc", "de"), max_length=max_length)
        assert _show(tokenizer, tokenized) == expected
        assert tokenized.was_cut == (max_length < 8)


def test_text_is_cut_on_its_right(save_tokenizer):
    tokenizer = load_tokenizer(save_tokenizer())
    (tokenized,) = _tokenize(tokenizer, (None, "abcd"), max_length=3)
    assert _show(tokenizer, tokenized) == "<s>[a][b]"
    assert tokenized.was_cut


def test_everything_in_front_of_the_text_is_kept(save_tokenizer):
    tokenizer = load_tokenizer(save_tokenizer("<s> <sop> $A"))
    (tokenized,) = _tokenize(tokenizer, ("abc", "d"), max_length=6)
    assert _show(tokenizer, tokenized) == "<s><sop>c[\n][d][</s>]"


@pytest.mark.slow
def test_many_examples_keep_their_order(save_tokenizer):
    tokenizer = load_tokenizer(save_tokenizer())
    texts = [str(i) for i in range(BLOCK + 2)]
    tokenized = _tokenize(tokenizer, *[(None, text) for text in texts])
    assert [tokenizer.decode(t.tokens[1:-1]) for t in tokenized] == texts
    assert _tokenize(tokenizer) == []


def test_long_text_is_tokenized_in_silence(save_tokenizer, capfd):
    tokenizer = load_tokenizer(save_tokenizer())
    assert tokenizer.model_max_length == 8
    _tokenize(tokenizer, (None, "a" * 50))
    assert capfd.readouterr() == ("", "")


def test_a_foreign_tokenizer_is_refused(save_tokenizer):
    tokenizer = load_tokenizer(save_tokenizer(merges=[("a", "b")]))
    assert tokenizer.convert_tokens_to_ids("ab") == 260
    _tokenize(tokenizer, (None, "ab"), vocab_size=261)
    message = r"^q\.jsonl:7: token id 260 is outside the model's vocabulary of 260; use"
    with pytest.raises(InputError, match=message):
        _tokenize(tokenizer, (None, "ab", "q.jsonl:7"), vocab_size=260)


@pytest.mark.parametrize(
    ("prompt", "field"), [("p", "response"), ("", "response"), (None, "text")]
)
def test_a_limit_that_leaves_no_target_is_refused(save_tokenizer, prompt, field):
    tokenizer = load_tokenizer(save_tokenizer())
    message = rf'^q\.jsonl:9: no token of field "{field}" fits into max_length 1; ra'
    with pytest.raises(InputError, match=message):
        _tokenize(tokenizer, (prompt, "abc", "q.jsonl:9"), max_length=1)


@pytest.mark.parametrize(("prompt", "field"), [("a", "response"), (None, "text")])
def test_text_that_has_no_tokens_is_refused(save_tokenizer, prompt, field):
    tokenizer = load_tokenizer(save_tokenizer(alphabet=["a"]))
    message = rf'^q\.jsonl:9: the tokenizer makes no token of field "{field}"; remove'
    for bos_id in (None, BOS):
        with pytest.raises(InputError, match=message):
            _tokenize(
                tokenizer, (prompt, "xyz", "q.jsonl:9"), bos_id=bos_id, eos_id=None
            )


def test_text_that_has_no_tokens_is_refused_before_it_is_cut(save_tokenizer):
    tokenizer = load_tokenizer(save_tokenizer("<s> <sop> $A", alphabet=["a"]))
    with pytest.raises(InputError, match="the tokenizer makes no token"):
        _tokenize(tokenizer, (None, "xyz"), max_length=1, **NONE)


@pytest.fixture(scope="module", params=["base4m", "stories260k"])
def real(request, shared):
    return load_tokenizer(shared / "models" / request.param)


def test_real_tokenizers_know_the_template(real):
    (tokenized,) = _tokenize(real, ("Is 4 even?", "Yes."), vocab_size=4096)
    targets = tokenized.tokens[tokenized.targets]
    assert real.decode(tokenized.tokens[1:]) == "Is 4 even?\nYes.</s>"
    assert real.decode(targets) == "\nYes.</s>"
    assert tokenized.tokens[0] == BOS


ANY_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)


@hypothesis.settings(deadline=None, max_examples=100)
@hypothesis.given(
    prompt=st.none() | ANY_TEXT,
    response=ANY_TEXT.filter(str.strip),
    max_length=st.integers(4, 60),
)
def test_any_text(real, prompt, response, max_length):
    hypothesis.assume("<" not in f"{prompt}{response}")  # special tokens in the text
    ends = {"max_length": max_length, "vocab_size": 4096}
    (tokenized,) = _tokenize(real, (prompt, response), **ends)
    tokens, targets = tokenized.tokens, tokenized.targets
    assert len(tokens) == len(targets) <= max_length
    assert tokens[0] == BOS
    assert not targets[0]
    assert np.sum(tokens == BOS) == 1
    assert np.all(np.diff(targets.astype(int)) >= 0)  # the prompt, then the targets
    if tokenized.was_cut:
        assert len(tokens) == max_length
        assert targets[1] or tokens[-1] == EOS  # no prompt is left, or no end was cut
    else:
        body = response if prompt is None else f"\n{response}"
        assert tokens[-1] == EOS
        assert np.sum(tokens == EOS) == 1
        # The decoder of stories260k removes one leading space.
        assert body.lstrip(" ") in real.decode(tokens[targets])
        assert targets[1] == (not prompt)


def test_one_token_with_nothing_before_it_is_refused(save_tokenizer):
    tokenizer = load_tokenizer(save_tokenizer())
    example = Example("1", None, "a", None, "q.jsonl:1")
    with pytest.raises(InputError, match=r'q\.jsonl:1: field "text" is one token'):
        tokenize(
            [example], tokenizer, max_length=9, bos_id=None, eos_id=None, vocab_size=999
        )


def _prompts(tokenizer, *prompts, max_length=100, vocab_size=300, bos_id=BOS):
    return tokenize_prompts(
        [_example(prompt, "r") for prompt in prompts],
        tokenizer,
        max_length=max_length,
        bos_id=bos_id,
        vocab_size=vocab_size,
    )


@pytest.mark.parametrize(
    ("template", "bos_id", "expected"),
    [
        ("$A", BOS, "<s>ab\n"),
        ("<s> $A", BOS, "<s>ab\n"),
        ("<s> $A </s>", BOS, "<s>ab\n"),
        ("<s> <sop> $A </s>", BOS, "<s><sop>ab\n"),
        ("$A", None, "ab\n"),
    ],
)
def test_a_prompt_alone(save_tokenizer, template, bos_id, expected):
    tokenizer = load_tokenizer(save_tokenizer(template))
    (prompt,) = _prompts(tokenizer, "ab", bos_id=bos_id)
    assert _show(tokenizer, prompt) == expected
    assert prompt.tokens.dtype == np.int32
    assert not prompt.was_cut


@pytest.mark.parametrize(
    ("max_length", "expected"), [(5, "<s><sop>bc\n"), (3, "<s><sop>\n")]
)
def test_a_long_prompt_loses_its_left(save_tokenizer, max_length, expected):
    tokenizer = load_tokenizer(save_tokenizer("<s> <sop> $A </s>"))
    (prompt,) = _prompts(tokenizer, "abc", max_length=max_length)
    assert _show(tokenizer, prompt) == expected
    assert prompt.was_cut


def test_a_prompt_without_room_or_tokens_is_refused(save_tokenizer):
    tokenizer = load_tokenizer(save_tokenizer("<s> <sop> $A"))
    with pytest.raises(
        InputError, match=r"^q\.jsonl:1: no token of the prompt fits in"
    ):
        _prompts(tokenizer, "abc", max_length=2)
    with pytest.raises(InputError, match=r"token id \d+ is outside the model's voc"):
        _prompts(tokenizer, "abc", vocab_size=50)
    silent = load_tokenizer(save_tokenizer("<s> $A", alphabet=["a"]))
    with pytest.raises(InputError, match="the tokenizer makes no token of the prompt"):
        _prompts(silent, "xyz")


def test_real_prompts_begin_their_examples(real):
    pairs = [("Is 4 even?", "Yes."), ("", "No"), ("a b\n", "c")]
    prompts = _prompts(real, *(prompt for prompt, _ in pairs), vocab_size=4096)
    whole = _tokenize(real, *pairs, vocab_size=4096)
    for prompt, example in zip(prompts, whole, strict=True):
        assert prompt.tokens.tolist() == example.tokens[: len(prompt.tokens)].tolist()
        assert not prompt.targets.any()


def test_a_choice_has_no_end_of_text(save_tokenizer):
    for template in ("$A", "<s> $A"):
        tokenizer = load_tokenizer(save_tokenizer(template))
        (choice,) = _tokenize(tokenizer, ("ab", "cd"), eos_id=None)
        assert _show(tokenizer, choice) == "<s>ab[\n][c][d]"
