import numpy as np
import pytest

from ntkjax.checkpoints.text_encoder import text_encoder
from ntkjax.commands.data.run import pieces_of, run_data
from ntkjax.commands.data.settings import DataSettings
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.errors import InputError
from tests.commands.world import SMALL_ALPHABET, write_records
from tests.data.chat.templates import save_chat_tokenizer


CHAT = [
    {"role": "user", "content": "ab"},
    {"role": "assistant", "content": "cd"},
    {"role": "user", "content": "e"},
    {"role": "assistant", "content": "fgh"},
]
START, END = "<|im_start|>", "<|im_end|>"


@pytest.fixture
def settings(world):
    save_chat_tokenizer(world.model, "chatml", SMALL_ALPHABET)
    records = [{"messages": CHAT}, {"prompt": "ab", "response": "c"}, {"text": "abc"}]
    write_records(world.queries, records)
    return lambda **more: DataSettings(
        str(world.model), (world.queries,), max_length=64, **more
    )


def spread_of(counts):
    mean = float(np.mean(counts))
    return {"total": sum(counts), "mean": mean, "min": min(counts), "max": max(counts)}


def test_counts(settings):
    facts = run_data(settings()).facts
    # each turn: a start, its role and a line feed, its words, an end and a line feed
    chat = 4 * (1 + 1 + 2) + 2 * len("user") + 2 * len("assistant") + 2 + 2 + 1 + 3
    assert facts["num_examples"] == 3
    assert facts["templates"] == {"chat": 1, "plain": 2}
    assert facts["tokens"] == spread_of([chat, 5, 4])
    assert facts["targets"] == spread_of([2 + 1 + 3 + 1, 3, 4])
    assert facts["roles"] == {"user": 2, "assistant": 2}
    assert facts["turns"] == spread_of([4])
    assert facts["num_cut"] == 0


def test_what_is_shown(settings):
    run = run_data(settings(show=2))
    assert [title for title, _ in run.shown] == [
        "queries.jsonl:1 (chat, 50 tokens, 7 targets)",
        "queries.jsonl:2 (plain, 5 tokens, 3 targets)",
    ]
    head = f"{START}user\nab{END}\n{START}assistant\n"
    assert run.shown[0][1] == [
        (head, False),
        (f"cd{END}", True),
        (f"\n{START}user\ne{END}\n{START}assistant\n", False),
        (f"fgh{END}", True),
        ("\n", False),
    ]
    assert run.shown[1][1] == [("ab", False), ("\nc</s>", True)]


def test_the_last_answer_alone(settings):
    run = run_data(settings(show=1, train_on="last"))
    marked = [piece.text for piece in run.shown[0][1] if piece.is_target]
    assert marked == [f"fgh{END}"]


def test_a_cut_is_told(settings, world):
    write_records(world.queries, [{"text": "a" * 100}])
    run = run_data(settings(show=1))
    assert run.facts["num_cut"] == 1
    assert run.shown[0][0] == "queries.jsonl:1 (plain, 64 tokens, 64 targets, cut)"
    assert run.facts["turns"] is None


def test_a_template_that_does_not_fit(settings):
    with pytest.raises(InputError, match=r"^queries\.jsonl:1: template plain"):
        run_data(settings(template="plain"))
    with pytest.raises(InputError, match=r"^queries\.jsonl:3: template chat"):
        run_data(settings(template="chat"))


def test_pieces_add_up_also_where_a_tokenizer_drops_a_space(shared):
    encode = text_encoder(shared / "models" / "stories260k", 64)
    tokens = encode.tokenizer("One day, a big cat")["input_ids"]
    targets = np.arange(len(tokens)) % 5 == 3
    found = TokenizedExample("a", np.array(tokens, np.int32), targets, False)
    pieces = pieces_of(found, encode)
    assert "".join(piece.text for piece in pieces).endswith("One day, a big cat")
    assert [piece.is_target for piece in pieces][:3] == [False, True, False]
