import json

import pytest

from ntkjax.store.records import read_record, write_record


VALUES = {"rows": [0, 3], "files": {"step-2": "same", "step-3": "same"}, "note": "Θ"}


@pytest.mark.parametrize("place", ["local", "bucket"])
def test_what_was_written_is_read(place, request, tmp_path):
    remote = place == "bucket"
    folder = request.getfixturevalue("bucket").path("run") if remote else tmp_path
    path = folder / "record.json"
    assert read_record(path) is None
    write_record(path, VALUES)
    assert read_record(path) == VALUES


def test_no_flipped_bit_hides(tmp_path):
    """Not even one that gives two entries the same name, of which JSON keeps one."""
    path = tmp_path / "record.json"
    write_record(path, VALUES)
    content = path.read_bytes()
    for place in range(len(content)):
        flipped = bytearray(content)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        assert read_record(path) in (None, VALUES), place  # between values, a space


def test_what_is_no_record(tmp_path):
    path = tmp_path / "record.json"
    whole = json.dumps({"a": 1, "checksum": "0" * 64})
    broken = ["null", "[]", "3", "{}", "[" * 10**5, '{"a": NaN, "checksum": 1}', whole]
    for content in [*(text.encode() for text in broken), b"", b"{", b"\xed\xa0\x80"]:
        path.write_bytes(content)
        assert read_record(path) is None, content[:20]
    path.unlink()
    path.mkdir()
    assert read_record(path) is None
