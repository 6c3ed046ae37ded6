"""Stages folders with shards of made-up numbers, and warm-ups of a few bytes."""

import shutil

import numpy as np
import pytest

from ntkjax.commands.merge.stages import merge_stages
from ntkjax.errors import InputError
from ntkjax.store import atomic
from ntkjax.store.atomic import write_json, write_tensors
from ntkjax.store.seals import SEAL, config_hash, seal
from ntkjax.store.shards import ShardedPass
from tests.damages import DAMAGES, damage_file


HASH = config_hash({"pass": 1})
PASS = f"some-scores-{HASH[:16]}"
WARM_UP = f"warmup-{HASH[:16]}"


def store_of(stages) -> ShardedPass:
    """Ten rows in shards of four."""
    return ShardedPass(stages / PASS, 10, 4, HASH)


def write_shards(stages, shards, value=0.0):
    store = store_of(stages)
    for shard in shards:
        rows = np.array(store.rows(shard), np.float32)
        store.write(shard, {"score": rows + np.float32(value)})


def write_warm_up(stages, value=0.0):
    folder = stages / WARM_UP
    folder.mkdir(parents=True)
    for step in (1, 2):
        theta = {"theta/a": np.full(3, step + value, np.float32)}
        write_tensors(folder / f"step-{step:07d}.safetensors", theta)
    write_json(folder / "history.json", [{"step": 1}])
    seal(folder)


@pytest.fixture
def jobs(tmp_path):
    """Shards 0 and 2 with a warm-up, and shard 1 with the same one."""
    folders = [tmp_path / name / "stages" for name in ("one", "two")]
    write_shards(folders[0], [0, 2])
    write_shards(folders[1], [1])
    for folder in folders:
        write_warm_up(folder)
    return folders


@pytest.fixture
def whole(tmp_path):
    """What one job writes that does everything."""
    write_shards(tmp_path / "whole", [0, 1, 2])
    write_warm_up(tmp_path / "whole")
    return contents(tmp_path / "whole")


def contents(folder):
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_all_that_there_is(jobs, whole, tmp_path):
    out = tmp_path / "out"
    merged = merge_stages(jobs, out)
    assert (merged.num_shards, merged.damaged) == (3, ())
    assert contents(out) == whole
    stamps = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert merge_stages([*jobs, out], out) == merged  # again: nothing is written
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == stamps


def test_the_target_may_be_one_of_them(jobs, whole):
    assert merge_stages(jobs, jobs[1]).num_shards == 3
    assert contents(jobs[1]) == whole


def test_half_done_work_is_left_alone(jobs, whole, tmp_path):
    job = jobs[0] / f"{WARM_UP}.ab12cd34-1-of-2" / "found"
    job.mkdir(parents=True)
    (job / "step-0000001.safetensors").write_bytes(b"half")
    (jobs[0] / PASS / ".shard-00001.json.7.partial").write_text("{")
    (jobs[0] / PASS / "shard-00001.safetensors").write_bytes(b"without a record")
    merged = merge_stages(jobs, tmp_path / "out")
    assert (merged.num_shards, merged.damaged) == (3, ())
    assert contents(tmp_path / "out") == whole


def cut(path):
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize("name", ["shard-00001.safetensors", "shard-00001.json"])
def test_a_damaged_shard_is_left_out_and_counted(jobs, tmp_path, name):
    cut(jobs[1] / PASS / name)
    merged = merge_stages(jobs, tmp_path / "out")
    assert merged.num_shards == 2
    assert merged.damaged == (jobs[1] / PASS / "shard-00001.json",)
    assert store_of(tmp_path / "out").missing() == [1]


def test_another_job_may_have_it_whole(jobs, whole, tmp_path):
    """Also where the damaged one was merged before."""
    third = shutil.copytree(jobs[1], tmp_path / "three" / "stages")
    cut(jobs[1] / PASS / "shard-00001.safetensors")
    out = shutil.copytree(jobs[1], tmp_path / "out")
    merged = merge_stages([*jobs, third], out)
    assert merged.num_shards == 3
    assert len(merged.damaged) == 2
    assert contents(out) == whole


def test_the_same_shard_with_other_content(jobs, tmp_path):
    write_shards(jobs[1], [2], value=1e-6)
    out = tmp_path / "out"
    with pytest.raises(InputError, match="the same shard with different") as caught:
        merge_stages(jobs, out)
    for folder in jobs:
        assert str(folder / PASS / "shard-00002.json") in str(caught.value)
    assert not out.exists()
    cut(jobs[1] / PASS / "shard-00002.safetensors")  # damage is no contradiction
    assert merge_stages(jobs, out).num_shards == 3


def test_warm_ups_that_differ(jobs, tmp_path):
    shutil.rmtree(jobs[1] / WARM_UP)
    write_warm_up(jobs[1], value=1e-6)
    with pytest.raises(InputError, match="ended at different weights") as caught:
        merge_stages(jobs, tmp_path / "out")
    for folder in jobs:
        assert str(folder / WARM_UP) in str(caught.value)
    for flag in ("stages", "adapter", "warmup none"):
        assert flag in str(caught.value)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("name", ["step-0000002.safetensors", "history.json", SEAL])
@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_warm_up_is_left_out(jobs, whole, tmp_path, name, kind):
    damage_file(jobs[0] / WARM_UP / name, kind)
    out = shutil.copytree(jobs[0], tmp_path / "out")
    merged = merge_stages(jobs, out)
    assert merged.damaged == (out / WARM_UP, jobs[0] / WARM_UP)
    assert contents(out) == whole


def test_a_merge_that_was_killed_goes_on(jobs, whole, tmp_path, monkeypatch):
    """At every rename of a file, and in the middle of a warm-up's copy."""
    replace, copyfile, count = atomic.os.replace, shutil.copyfile, 0

    def stopping(act):
        def act_or_stop(*arguments):
            nonlocal count
            count += 1
            if count == stop:
                raise KeyboardInterrupt
            return act(*arguments)

        return act_or_stop

    for stop in range(1, 11):  # 4 files of the warm-up, 6 of shards
        out, count = tmp_path / f"out-{stop}", 0
        with monkeypatch.context() as patch:
            patch.setattr(atomic.os, "replace", stopping(replace))
            patch.setattr(shutil, "copyfile", stopping(copyfile))
            with pytest.raises(KeyboardInterrupt):
                merge_stages(jobs, out)
        found = {k: v for k, v in contents(out).items() if not k.startswith(".")}
        assert found.items() < whole.items()
        assert merge_stages(jobs, out).num_shards == 3
        assert contents(out) == whole
