from pathlib import Path

import pytest

from ntkjax.data.formats.json_lines import FORMAT as JSON_LINES
from ntkjax.data.formats.table import FORMATS, format_of, read_records
from ntkjax.errors import InputError


def test_formats_are_found_by_their_files():
    assert [each.name for each in FORMATS] == ["JSON lines", "Parquet"]
    suffixes = [suffix for each in FORMATS for suffix in each.suffixes]
    assert len(set(suffixes)) == len(suffixes)


def test_names_say_the_format():
    for each in FORMATS:
        assert all(format_of(Path(f"q{suffix}")) is each for suffix in each.suffixes)
    assert format_of(Path("q")) is format_of(Path("parquet")) is JSON_LINES


def test_a_file_without_records_is_named(tmp_path):
    path = tmp_path / "q.jsonl"
    path.write_bytes(b"\n")
    with pytest.raises(InputError, match=r"q\.jsonl: no examples"):
        list(read_records(path, "q", ()))
