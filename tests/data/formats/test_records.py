import json
import os

import pyarrow
import pytest
from pyarrow import parquet

from ntkjax.data.formats.records import (
    Record,
    data_files,
    file_names,
    is_parquet,
    parse_line,
    read_records,
)
from ntkjax.errors import InputError


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
    records = list(read_records(path, "q", ()))
    assert [record.value for record in records] == [{"a": "é"}, [1], None, "\u2028"]
    assert [record.number for record in records] == [1, 4, 5, 6]
    assert [content[r.start : r.start + r.length] for r in records] == [
        b' {"a": "\xc3\xa9"} ',
        b"[1]",
        b"null\r",
        b'"\xe2\x80\xa8"',
    ]


def test_places_as_users_read_them():
    record = Record({}, "q.jsonl", "line", 7)
    assert record.location == "q.jsonl:7"
    assert record.where == "q.jsonl line 7"


def test_parquet_gives_the_fields_that_are_there(tmp_path):
    path = tmp_path / "q.parquet"
    values = [{"a": 1, "b": "x", "c": [1]}, {"a": None, "b": "y", "c": []}]
    parquet.write_table(pyarrow.Table.from_pylist(values), path)
    records = list(read_records(path, "q", ("b", "a", "missing")))
    assert records == [
        Record({"b": "x", "a": 1}, "q", "row", 1),
        Record({"b": "y", "a": None}, "q", "row", 2),
    ]


def test_a_bad_line_is_met_after_the_good_ones(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"1\n2\n[}\n")
    records = read_records(path, "q", ())
    assert [next(records).value, next(records).value] == [1, 2]
    with pytest.raises(InputError, match=r"^q line 3: bad JSON at column 2"):
        next(records)


def test_a_file_without_records_is_named(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"\n")
    with pytest.raises(InputError, match=r"q\.jsonl: no examples"):
        list(read_records(path, "q", ()))


def test_parse_line():
    assert parse_line(json.dumps({"a": [1, None]}), "here") == {"a": [1, None]}
    with pytest.raises(InputError, match=r"^here: bad JSON at column 3"):
        parse_line("[1", "here")


def test_names_of_files(tmp_path):
    one, two, other = tmp_path / "a/q", tmp_path / "b/q", tmp_path / "o.parquet"
    assert file_names([one, two, other]) == [str(one), str(two), "o.parquet"]
    assert file_names([one, other]) == ["q", "o.parquet"]
    assert [is_parquet(path) for path in (one, other)] == [False, True]
    with pytest.raises(InputError, match="the file is given 2 times"):
        file_names([one, one])


def test_a_file_that_changed_is_not_opened_again(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"1\n")
    (file,) = data_files([path])
    with file.open() as opened:
        assert opened.read() == b"1\n"
    os.utime(path, ns=(file.stamp[1], file.stamp[1] + 1))
    with pytest.raises(InputError, match=r"q\.jsonl: changed while it was in use; run"):
        file.open()
    path.write_bytes(b"12\n")
    os.utime(path, ns=(file.stamp[1], file.stamp[1]))
    with pytest.raises(InputError, match="changed while it was in use"):
        file.open()
    path.unlink()
    with pytest.raises(InputError, match=r"cannot be read \(No such file"):
        file.open()
    with pytest.raises(InputError, match=r"cannot be read \(No such file"):
        data_files([path])
