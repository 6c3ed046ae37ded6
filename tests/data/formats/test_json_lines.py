import json

import pytest

from ntkjax.data.formats.json_lines import parse_line, read_lines
from ntkjax.errors import InputError


def records_of(path):
    with path.open("rb") as file:
        yield from read_lines(file, "q", ())


def test_lines_know_their_number_and_their_bytes(tmp_path):
    path = tmp_path / "q.jsonl"
    content = (
        b'\xef\xbb\xbf {"a": "\xc3\xa9"} \r\n'
        b"\n \t\r\n"
        b"[1]\n"
        b"null\r\r\n"
        b'"\xe2\x80\xa8"'  # a line separator is no line end, and the last line has none
    )
    path.write_bytes(content)
    records = list(records_of(path))
    assert [record.value for record in records] == [{"a": "é"}, [1], None, "\u2028"]
    assert [record.number for record in records] == [1, 4, 5, 6]
    assert [content[r.start : r.start + r.length] for r in records] == [
        b' {"a": "\xc3\xa9"} ',
        b"[1]",
        b"null\r",
        b'"\xe2\x80\xa8"',
    ]


def test_a_bad_line_is_met_after_the_good_ones(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"1\n2\n[}\n")
    records = records_of(path)
    assert [next(records).value, next(records).value] == [1, 2]
    with pytest.raises(InputError, match=r"^q line 3: bad JSON at column 2"):
        next(records)


def test_parse_line():
    assert parse_line(json.dumps({"a": [1, None]}), "here") == {"a": [1, None]}
    with pytest.raises(InputError, match=r"^here: bad JSON at column 3"):
        parse_line("[1", "here")
