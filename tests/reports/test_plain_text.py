import pytest

from ntkjax.reports.plain_text import excerpt, one_line, visible


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain, été, 中文, שלום, 😀", "plain, été, 中文, שלום, 😀"),
        ("two\tcells\nlines\r\nand\rmore", "two\tcells\nlines\nand\nmore"),
        ("a\x1b[31mred\x00", "a⟨U+001B⟩[31mred⟨U+0000⟩"),
        ("user\u202egpj.exe\u2069", "user⟨U+202E⟩gpj.exe⟨U+2069⟩"),
        ("half \ud83d \x9b\uffff", "half ⟨U+D83D⟩ ⟨U+009B⟩⟨U+FFFF⟩"),
        ("👩\u200d🔬", "👩\u200d🔬"),
    ],
)
def test_visible(text, shown):
    assert visible(text) == shown


def test_excerpt():
    assert excerpt("abcdef", 4) == ("abcd", 2)
    assert excerpt("abcd", 4) == ("abcd", 0)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\n b", "a b"),
        ("abcd", "abcd"),
        ("abcde", "abcd …"),
        ("abc defg", "abc …"),
        ("abcd efg", "abcd …"),
        ("a bcdefg", "a …"),
        ("ab" + " " * 20 + "c", "ab …"),
    ],
)
def test_one_line(text, shown):
    assert one_line(text, 4) == shown
