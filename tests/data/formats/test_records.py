import os

import pytest

from ntkjax.data.formats.records import Record, data_files, file_names
from ntkjax.errors import InputError


def test_places_as_users_read_them():
    record = Record({}, "q.jsonl", "line", 7)
    assert record.location == "q.jsonl:7"
    assert record.where == "q.jsonl line 7"


def test_names_of_files(tmp_path):
    one, two, other = tmp_path / "a/q", tmp_path / "b/q", tmp_path / "o.parquet"
    assert file_names([one, two, other]) == [str(one), str(two), "o.parquet"]
    assert file_names([one, other]) == ["q", "o.parquet"]
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
