import pytest
from rich.console import Console

from ntkjax.reports.data_tables import Piece, data_rows, data_table, marked


def spread(*counts):
    low, high, total = min(counts), max(counts), sum(counts)
    return {"total": total, "mean": total / len(counts), "min": low, "max": high}


FACTS = {
    "num_examples": 1200,
    "max_length": 64,
    "num_cut": 3,
    "tokens": spread(10, 30),
    "targets": spread(2, 8),
    "templates": {"chat": 1199, "plain": 1},
    "roles": {"user": 3, "assistant": 2},
    "turns": spread(2, 3),
}


def test_rows():
    assert data_rows(FACTS) == [
        ("examples", "1,200"),
        ("  chat template", "1,199"),
        ("  plain template", "1"),
        ("turns of chats", "5; per chat 2.5 (2 to 3)"),
        ("  user", "3"),
        ("  assistant", "2"),
        ("tokens", "40; per example 20 (10 to 30)"),
        ("target tokens", "10; per example 5 (2 to 8); 25.0% of all tokens"),
        ("cut to 64 tokens", "3 of 1,200"),
    ]


def test_without_chats():
    rows = dict(data_rows(FACTS | {"turns": None, "templates": {"plain": 1200}}))
    assert "turns of chats" not in rows
    assert rows["  plain template"] == "1,200"


def test_the_table_has_every_row(capsys):
    Console(width=100).print(data_table(FACTS))
    printed = capsys.readouterr().out
    assert all(value in printed for row in data_rows(FACTS) for value in row)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [bold]", "plain [bold]"),
        ("a\x1b[31m\n", "a⟨U+001B⟩[31m\n"),
        ("⟦no target⟧", "⟨U+27E6⟩no target⟨U+27E7⟩"),
        ("<s>", "<s>"),
    ],
)
def test_targets_are_marked_and_text_cannot_mark_itself(text, shown):
    pieces = [Piece(text, False), Piece(text, True), Piece("end", False)]
    assert marked(pieces).plain == f"{shown}⟦{shown}⟧end"


def test_color_where_there_is_color():
    text = marked([Piece("a", False), Piece("b", True)])
    assert [(span.start, span.end, str(span.style)) for span in text.spans] == [
        (1, 4, "bold green")
    ]
