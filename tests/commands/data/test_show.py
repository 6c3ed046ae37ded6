import json

import pytest

from ntkjax.cli.main import main
from ntkjax.data.formats.table import FORMATS
from tests.commands.world import SMALL_ALPHABET, write_records
from tests.data.chat.templates import save_chat_tokenizer


QUESTION = {"role": "user", "content": "ab"}
ANSWER = {"role": "assistant", "content": "cd"}
SYSTEM = {"role": "system", "content": "be kind"}


def run(world, *more, command="data") -> int:
    words = ["--model", world.model, "--data", world.queries, "--max-length", 60, *more]
    return main([command, *map(str, words)])


@pytest.fixture
def chats(world):
    save_chat_tokenizer(world.model, "chatml", SMALL_ALPHABET)
    pair = {"prompt": "a\x1b[31m", "response": "b"}
    write_records(world.queries, [{"messages": [QUESTION, ANSWER]}, pair])
    return world


def test_counts_and_examples_are_printed(chats, capsys):
    assert run(chats, "--show", 2) == 0
    printed = capsys.readouterr().out
    lines = [line.rstrip() for line in printed.splitlines()]
    rows = [line.split() for line in lines]
    assert ["examples", "2"] in rows
    assert ["chat", "template", "1"] in rows
    assert ["plain", "template", "1"] in rows
    assert "target tokens" in printed
    start = lines.index("queries.jsonl:1 (chat, 25 tokens, 3 targets)")
    assert lines[start + 1 : start + 5] == [
        "<|im_start|>user",
        "ab<|im_end|>",
        "<|im_start|>assistant",
        "⟦cd<|im_end|>⟧",
    ]
    assert "targets stand between ⟦ and ⟧" in printed
    assert "\x1b" not in printed


def test_without_examples(chats, capsys):
    assert run(chats) == 0
    printed = capsys.readouterr().out
    assert "⟦" not in printed
    assert "queries.jsonl:1" not in printed


BAD = {
    "template": (["--template", "jinja"], ["--template jinja", "auto, plain, chat"]),
    "train on": (["--train-on", "first"], ["--train-on first", "all, last"]),
    "date": (["--template-date", "today"], ["--template-date today", "YYYY-MM-DD"]),
    "plain chat": (["--template", "plain"], ["queries.jsonl:1", "--template plain"]),
    "show": (["--show", "-1"], ["--show"]),
}


def refused(capsys) -> str:
    printed = capsys.readouterr()
    *_, line = printed.err.splitlines()
    assert line.startswith("ntkjax: ")
    assert printed.out == ""
    return line


@pytest.mark.parametrize("case", BAD)
def test_bad_flags_are_one_line(chats, case, capsys):
    flags, names = BAD[case]
    assert run(chats, *flags) == 2
    line = refused(capsys)
    assert all(name in line for name in names), line


def test_a_model_without_a_template(world, capsys):
    write_records(world.queries, [{"messages": [QUESTION, ANSWER]}])
    assert run(world) == 2
    assert "queries.jsonl:1: the tokenizer of this model has no chat" in refused(capsys)


def test_a_role_that_the_template_refuses(chats, capsys):
    save_chat_tokenizer(chats.model, "gemma", SMALL_ALPHABET)
    write_records(chats.queries, [{"messages": [SYSTEM, QUESTION, ANSWER]}])
    assert run(chats) == 2
    line = refused(capsys)
    assert "queries.jsonl:1: " in line
    assert "(System role not supported)" in line


@pytest.mark.slow
def test_train_evaluate_and_select_on_chats(chats, capsys):
    """From the same files: an adapter, likelihoods and answers, a choice of chats."""
    world = chats
    words = ["abc", "de", "fgh", "ij", "klm", "nop", "qr", "st"]
    records = [
        {"messages": [{**QUESTION, "content": word}, {**ANSWER, "content": word[::-1]}]}
        for word in words
    ]
    write_records(world.queries, records)
    adapted = ["--lora.rank", 2, "--lora.targets", "q_proj", "--template", "chat"]
    steps = ["--training.steps", 2, "--training.batch-size", 2]
    out = world.root / "trained"
    assert run(world, "--out", out, *adapted, *steps, command="train") == 0
    assert "trained on 8 examples: 2 steps" in capsys.readouterr().out
    assert "template: chat\n" in (out / "run.yaml").read_text()

    asked = world.root / "asked.jsonl"
    choice = {"messages": [QUESTION], "choices": ["cd", "e"], "answer": 0}
    write_records(asked, [choice, *records[:2]])
    common = ["--model", world.model, "--max-length", 60]
    more = ["--data", asked, "--out", world.root / "asked", "--max-new-tokens", 3]
    more += ["--adapter", out / "adapter", "--generate"]
    assert main(["evaluate", *map(str, [*common, *more])]) == 0
    found = json.loads((world.root / "asked" / "evaluation.json").read_text())
    # cd, cba and ed, each with its end marker
    assert (found["overall"]["tokens"], found["num_choices"]) == (3 + 4 + 3, 2)

    stages = world.root / "stages"

    def select(name, *flags):
        more = ["--target", asked, "--pool", world.queries, "--out", world.root / name]
        more += ["--stages", stages, "--warmup", "none", "--lora.rank", 2, *flags]
        assert main(["select", *map(str, [*common, *more])]) == 0
        return {path.name for path in stages.iterdir()}

    before = select("first", "--budget", 2)
    chosen = (world.root / "first" / "selected.jsonl").read_text().splitlines()
    assert len(chosen) == 2
    assert set(chosen) <= set(world.queries.read_text().splitlines())
    # the same passes serve another run, but none of another template
    cheap = ["--method", "embedding"]
    before = select("second", *cheap, "--budget", 2)
    assert select("third", *cheap, "--budget", 3) == before
    assert len(select("fourth", *cheap, "--budget", 3, "--train-on", "last")) > len(
        before
    )


def test_help_lists_every_format(capsys):
    with pytest.raises(SystemExit):
        main(["data", "--help"])
    text = capsys.readouterr().out
    assert all(each.example in text and each.name in text for each in FORMATS)
