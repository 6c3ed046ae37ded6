import errno
import itertools
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.store.records import read_record
from ntkjax.store.seals import config_hash
from ntkjax.store.shards import (
    NO_PART,
    ShardedPass,
    parse_part,
    part_of,
    whole_content,
)


HASH = config_hash({"model": "tiny"})


@pytest.fixture
def sharded(tmp_path):
    """Ten rows in shards of four, in a folder that is not there yet."""
    return ShardedPass(tmp_path / "run" / "scores", 10, 4, HASH)


def arrays(rows):
    rng = np.random.default_rng(rows.start)
    return {
        "score": rng.normal(size=len(rows)).astype(np.float32),
        "embedding": rng.normal(size=(len(rows), 3)).astype(np.float32),
        "votes": rng.integers(-(2**31), 2**31, len(rows)).astype(np.int32),
        "row": np.array(rows, np.int64) + 2**60,
        "cut": rng.integers(0, 2, len(rows)).astype(bool),
    }


def fill(sharded, shards=None):
    for shard in range(sharded.num_shards) if shards is None else shards:
        sharded.write(shard, arrays(sharded.rows(shard)))


def same(found, expected):
    return found.keys() == expected.keys() and all(
        found[name].dtype == array.dtype and found[name].tobytes() == array.tobytes()
        for name, array in expected.items()
    )


def test_rows_of_shards(sharded):
    assert sharded.num_shards == 3
    assert [sharded.rows(k) for k in range(3)] == [
        range(0, 4),
        range(4, 8),
        range(8, 10),
    ]
    for shard in (-1, 3):
        with pytest.raises(IndexError, match=f"shard {shard} of 3"):
            sharded.rows(shard)


@pytest.mark.parametrize(("num", "per", "shards"), [(0, 4, 0), (4, 4, 1), (5, 4, 2)])
def test_number_of_shards(tmp_path, num, per, shards):
    sharded = ShardedPass(tmp_path, num, per, HASH)
    assert sharded.num_shards == shards
    covered = [row for k in range(shards) for row in sharded.rows(k)]
    assert covered == list(range(num))


@pytest.mark.parametrize(("num", "per"), [(-1, 4), (4, 0)])
def test_passes_that_cannot_be(tmp_path, num, per):
    with pytest.raises(ValueError, match="no such pass"):
        ShardedPass(tmp_path, num, per, HASH)


def test_what_is_written_is_read_bit_for_bit(sharded):
    assert sharded.missing() == [0, 1, 2]
    fill(sharded, [2, 0])
    assert sharded.missing() == [1]
    assert [sharded.is_done(k) for k in range(3)] == [True, False, True]
    fill(sharded, [1])
    assert sharded.missing() == []
    for shard in range(3):
        assert same(sharded.read(shard), arrays(sharded.rows(shard)))


def test_the_record_says_what_the_arrays_are(sharded):
    score = np.array([1, np.nan, np.inf, 2], np.float32)
    sharded.write(1, {"score": score, "votes": np.arange(8, dtype=np.int32)[::2]})
    names = sorted(path.name for path in sharded.folder.iterdir())
    assert names == ["shard-00001.json", "shard-00001.safetensors"]
    record = read_record(sharded.folder / names[0])
    assert record is not None
    assert len(record.pop("sha256")) == 64
    assert record == {
        "rows": [4, 8],
        "config": HASH,
        "finite": {"score": 2, "votes": 4},
        "arrays": {"score": ["float32", [4]], "votes": ["int32", [4]]},
    }


def test_the_same_arrays_give_the_same_files(sharded, tmp_path):
    again = ShardedPass(tmp_path / "again", 10, 4, HASH)
    fill(sharded)
    fill(again, [2, 1, 0])
    files = sorted(path.name for path in sharded.folder.iterdir())
    assert len(files) == 6
    for name in files:
        assert (sharded.folder / name).read_bytes() == (
            again.folder / name
        ).read_bytes()


@pytest.mark.parametrize("array", [np.zeros(3), np.zeros((3, 4)), np.zeros(())])
def test_an_array_of_other_rows_is_an_error(sharded, array):
    with pytest.raises(ValueError, match='shard 0 has 4 rows, but "score" has shape'):
        sharded.write(0, {"score": array})
    assert not sharded.folder.exists()


@pytest.mark.parametrize("lost", ["json", "safetensors"])
def test_half_a_shard_is_missing(sharded, lost):
    fill(sharded)
    (sharded.folder / f"shard-00001.{lost}").unlink()
    assert sharded.missing() == [1]
    with pytest.raises(InputError, match=r"shard-00001\.safetensors: missing or damag"):
        sharded.read(1)
    fill(sharded, [1])
    assert same(sharded.read(1), arrays(sharded.rows(1)))


DAMAGES = {
    "cut": lambda content: content[:-2],
    "half": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "zeros": lambda content: bytes(len(content)),
    "bit": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("suffix", ["json", "safetensors"])
def test_a_damaged_shard_is_missing(sharded, suffix, damage):
    fill(sharded)
    path = sharded.folder / f"shard-00001.{suffix}"
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    assert sharded.missing() == [1]
    with pytest.raises(InputError, match="missing or damaged; run the same command"):
        sharded.read(1)


@pytest.mark.parametrize("text", ["null", "[]", "3", '"text"'])
def test_a_record_that_is_none_is_missing(sharded, text):
    fill(sharded)
    (sharded.folder / "shard-00002.json").write_text(text)
    assert sharded.missing() == [2]


def test_what_a_kill_leaves_behind_is_no_shard(sharded):
    fill(sharded, [0])
    (sharded.folder / ".shard-00001.safetensors.123.partial").write_bytes(b"half")
    (sharded.folder / ".shard-00001.json.123.partial").write_bytes(b"{")
    (sharded.folder / ".shard-00000.json.123.partial").write_bytes(b"{")
    assert sharded.missing() == [1, 2]
    fill(sharded, [1, 2])
    assert same(sharded.read(1), arrays(range(4, 8)))


def test_shards_of_another_run_are_refused(sharded):
    fill(sharded)
    others = {
        "config": ShardedPass(sharded.folder, 10, 4, config_hash({"model": "large"})),
        "rows": ShardedPass(sharded.folder, 10, 5, HASH),
    }
    for key, other in others.items():
        message = rf"shard-00000\.json: belongs to another run \({key} .*choose another"
        with pytest.raises(InputError, match=message):
            other.missing()
        with pytest.raises(InputError, match=message):
            other.read(0)
    longer = ShardedPass(sharded.folder, 11, 4, HASH)
    assert longer.is_done(0)
    with pytest.raises(InputError, match=r"shard-00002\.json: belongs to another run"):
        longer.is_done(2)


@pytest.mark.parametrize("failing", ["safetensors", "json"])
def test_a_full_disk_loses_no_finished_shard(sharded, monkeypatch, failing):
    fill(sharded, [0])
    replace = os.replace

    def full(source, target):
        if str(target).endswith(failing):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(InputError, match=rf"shard-00001\.{failing}: the disk is full"):
        fill(sharded, [1])
    monkeypatch.undo()
    assert sharded.missing() == [1, 2]
    assert not any(path.name.startswith(".") for path in sharded.folder.iterdir())
    fill(sharded, [1, 2])
    assert all(same(sharded.read(k), arrays(sharded.rows(k))) for k in range(3))


WRITER = """
import pathlib, sys
import numpy as np
from ntkjax.store.shards import ShardedPass
sharded = ShardedPass(pathlib.Path(sys.argv[1]), 500_000, 500, "hash")
for shard in sharded.missing():
    rows = np.array(sharded.rows(shard), np.int32)
    sharded.write(shard, {"rows": rows, "third": rows.astype(np.float32) / 3})
"""


def test_a_kill_at_any_moment_leaves_only_whole_shards(tmp_path):
    folder = tmp_path / "shards"
    sharded = ShardedPass(folder, 500_000, 500, "hash")
    done = 0
    for wait in (0.0, 0.02):
        writer = subprocess.Popen([sys.executable, "-c", WRITER, str(folder)])
        try:
            limit = time.monotonic() + 60
            while len(list(folder.glob("shard-*.json"))) <= done:  # until it writes
                assert writer.poll() is None
                assert time.monotonic() < limit
                time.sleep(0.005)
            time.sleep(wait)
        finally:
            writer.kill()
        assert writer.wait() == -signal.SIGKILL
        missing = set(sharded.missing())
        whole = [k for k in range(sharded.num_shards) if k not in missing]
        assert whole == list(range(len(whole)))  # they are written in order
        assert len(whole) > done  # and those of the run before were kept
        done = len(whole)
        for shard in whole:
            found, rows = sharded.read(shard), np.array(sharded.rows(shard), np.int32)
            assert (found["rows"] == rows).all()
            assert (found["third"] == rows.astype(np.float32) / 3).all()


@pytest.mark.parametrize("parts", [1, 2, 3, 7])
def test_the_parts_hold_every_shard_once(parts):
    shards = [0, 2, 3, 4, 8, 9]
    split = [part_of(shards, part, parts) for part in range(1, parts + 1)]
    assert sorted(itertools.chain(*split)) == shards
    assert all(k % parts == part for part, own in enumerate(split) for k in own)


def test_no_part_holds_no_shard():
    assert part_of(list(range(9)), *NO_PART) == []


def test_a_shard_says_by_itself_whether_it_is_whole(sharded):
    """Without the pass that it belongs to."""
    fill(sharded, [1])
    path = sharded.folder / "shard-00001.json"
    record, arrays = read_record(path), path.with_suffix(".safetensors")
    assert record is not None
    assert whole_content(path, record) == arrays.read_bytes()
    arrays.write_bytes(arrays.read_bytes()[:-1])
    assert whole_content(path, record) is None
    arrays.unlink()
    assert whole_content(path, record) is None


def test_a_part_keeps_its_shards_when_others_are_done():
    assert part_of([0, 1, 2, 3, 4], 2, 2) == [1, 3]
    assert part_of([2, 3, 4], 2, 2) == [3]


def test_parse_part():
    assert parse_part("1/1") == (1, 1)
    assert parse_part("2/16") == (2, 16)


@pytest.mark.parametrize(
    "text", ["0/2", "3/2", "1/0", "1", "1/", "a/b", "-1/2", "1/2 ", "9" * 5000 + "/1"]
)
def test_parts_that_cannot_be_are_refused(text):
    with pytest.raises(InputError, match=f"^shard {text}: expected i/n with 1 <= i"):
        parse_part(text)


def test_records_are_listed(tmp_path):
    store = ShardedPass(tmp_path / "pass", 5, 2, "c")
    assert not store.has_all_records()
    assert store.missing() == [0, 1, 2]
    for shard in (0, 2, 1):
        assert not store.has_all_records()
        rows = len(store.rows(shard))
        store.write(shard, {"x": np.zeros(rows, np.float32)})
    assert store.has_all_records()
    (store.folder / "shard-00001.json").unlink()
    assert store.missing() == [1]
    assert not store.has_all_records()


def test_shards_in_a_bucket(bucket):
    store = ShardedPass(bucket.path("run/pass"), 5, 2, "c")
    assert store.missing() == [0, 1, 2]
    arrays = {"x": np.arange(2, dtype=np.float32)}
    store.write(1, arrays)
    assert store.missing() == [0, 2]
    np.testing.assert_array_equal(store.read(1)["x"], arrays["x"])
    content, generation = bucket.objects["run/pass/shard-00001.safetensors"]
    bucket.objects["run/pass/shard-00001.safetensors"] = (content[:-1], generation)
    assert store.missing() == [0, 1, 2]
    with pytest.raises(InputError, match=r"gs://bucket/run/pass/shard-00000.*missing"):
        store.read(0)
