import numpy as np
import pytest

from ntkjax.data.formats.json_lines import parse_line
from ntkjax.data.formats.line_rows import LinePlaces, LineRows
from ntkjax.data.formats.records import Record, data_files
from ntkjax.data.formats.table import read_records
from ntkjax.errors import InputError


FIRST = b'\xef\xbb\xbf{"a": 0}\r\n\n{"a":1}\n'
SECOND = b'  {"a": "\xc3\xa9"}\n \n[3]'
LINES = [b'{"a": 0}', b'{"a":1}', b'  {"a": "\xc3\xa9"}', b"[3]"]


def open_rows(folder, *contents):
    places, ends, num = LinePlaces(), [], 0
    for index, content in enumerate(contents):
        path = folder / f"q{index}.jsonl"
        path.write_bytes(content)
        for record in read_records(path, path.name, ()):
            places.note(record)
            num += 1
        ends.append(num)
    files = data_files([folder / f"q{index}.jsonl" for index in range(len(contents))])
    return LineRows(files, ends, places, parse_line)


def test_records_in_any_order_and_more_than_once(tmp_path):
    rows = open_rows(tmp_path, FIRST, SECOND)
    assert list(rows.records(np.array([3, 0, 2, 2, 1]))) == [
        Record([3], "q1.jsonl", "line", 3),
        Record({"a": 0}, "q0.jsonl", "line", 1),
        Record({"a": "é"}, "q1.jsonl", "line", 1),
        Record({"a": "é"}, "q1.jsonl", "line", 1),
        Record({"a": 1}, "q0.jsonl", "line", 3),
    ]
    assert list(rows.records(np.zeros(0, np.int64))) == []


def test_lines_are_written_byte_for_byte(tmp_path):
    rows = open_rows(tmp_path, FIRST, SECOND)
    out = tmp_path / "out.jsonl"
    for order in ([0, 1, 2, 3], [3, 1, 2, 0, 1], []):
        rows.write(np.array(order, np.int64), out)
        assert out.read_bytes() == b"".join(LINES[row] + b"\n" for row in order)


def test_a_file_that_changed_is_named_and_nothing_is_written(tmp_path):
    rows = open_rows(tmp_path, FIRST, SECOND)
    (tmp_path / "q1.jsonl").write_bytes(SECOND + b"\n")
    assert len(list(rows.records(np.array([0, 1])))) == 2  # the other file is as it was
    with pytest.raises(InputError, match=r"q1\.jsonl: changed while it was in use"):
        list(rows.records(np.array([1, 2])))
    with pytest.raises(InputError, match=r"q1\.jsonl: changed while it was in use"):
        rows.write(np.array([1, 2]), tmp_path / "out.jsonl")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["q0.jsonl", "q1.jsonl"]
