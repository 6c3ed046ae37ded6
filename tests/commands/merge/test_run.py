"""Jobs of a selection on the tiny world, each with its own run, and their merge."""

import shutil

import numpy as np
import pytest
import safetensors.numpy

from ntkjax.commands.merge.run import run_merge
from ntkjax.commands.merge.settings import MergeSettings
from ntkjax.commands.select import warmup
from ntkjax.commands.select.pool_passes import Unfinished
from ntkjax.commands.select.run import run_select
from ntkjax.errors import InputError
from ntkjax.runs import inputs
from ntkjax.selection.options import DualsftOptions, MaskOptions
from ntkjax.store import atomic
from ntkjax.store.run_directory import hash_files
from ntkjax.store.run_lock import locked
from ntkjax.store.seals import seal
from ntkjax.store.shards import ShardedPass
from ntkjax.training.settings import TrainingSettings
from tests.commands.select.problem import (
    result_of,
    same_bits,
    settings_of,
    write_problem,
)
from tests.commands.world import build_world


TRAINING = TrainingSettings(steps=3, batch_size=4, learning_rate=0.05)
WARM = {"warmup": "target", "training": TRAINING}
# one pass, and no warm-up
SHORT = {"shortlist": "none", "method": "loss"}
FILES = ("selected.jsonl", "scores.parquet", "adapter/*", "stages/*/*", "*.safetensors")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("merge"))
    write_problem(world)
    return world


def work(world, out, shard, **changes):
    """A job; whether it could finish everything."""
    try:
        run_select(settings_of(world, out=out, shard=shard, **changes))
    except Unfinished:
        return False
    return True


def start_jobs(world, root, parts=2, **changes):
    runs = tuple(root / f"run{part}" for part in range(1, parts + 1))
    for part, run in enumerate(runs, 1):
        work(world, run, f"{part}/{parts}", **changes)
    return runs


def merge(runs, out):
    return run_merge(MergeSettings(tuple(runs), out))


def refusal(runs, out) -> str:
    with pytest.raises(InputError) as caught:
        merge(runs, out)
    return str(caught.value)


@pytest.fixture(scope="module")
def short(world):
    """One job's result, and two jobs' runs, of a single pass."""
    root = world.root / "short"
    run_select(settings_of(world, out=root / "alone", **SHORT))
    return root / "alone", start_jobs(world, root, **SHORT)


@pytest.fixture
def runs(short, tmp_path):
    """Copies of the two jobs' runs that a test may damage."""
    return [shutil.copytree(run, tmp_path / run.name) for run in short[1]]


def facts_of(out):
    """Of `selection.json`, without what clocks say."""
    return {k: v for k, v in result_of(out).items() if k != "stages"}


def assert_as_alone(out, alone):
    assert same_bits(out, FILES) == same_bits(alone, FILES)
    assert facts_of(out) == facts_of(alone)


def test_one_pass_is_merged_at_once(short, runs, tmp_path):
    out = tmp_path / "out"
    found = merge(runs, out)
    assert (found.merged.num_shards, found.merged.damaged) == (5, ())
    assert not found.selection.reused
    assert_as_alone(out, short[0])
    again = merge(runs, out)
    assert again.selection.reused
    assert again.merged is None


def test_two_merges_into_one_directory_are_refused(runs, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with locked(out, "1-of-1"):
        assert "another process works in it" in refusal(runs, out)
    assert merge(runs, out).merged.num_shards == 5


def test_the_model_is_read_once(runs, tmp_path, monkeypatch):
    """For the jobs' runs, whose files may be others; the selection takes its hash."""
    read = []

    def noted(paths):
        read.extend(path.name for path in paths)
        return hash_files(paths)

    monkeypatch.setattr(inputs, "hash_files", noted)
    merge(runs, tmp_path / "out")
    assert read.count("model.safetensors") == 1


@pytest.mark.slow
@pytest.mark.parametrize("disk", ["shared", "copied"])
def test_two_passes_take_two_rounds(world, tmp_path, disk, monkeypatch):
    """Warm-up, embeddings, then kernel scores of the shortlist."""
    alone, out = tmp_path / "alone", tmp_path / "out"
    run_select(settings_of(world, out=alone, **WARM))
    runs = start_jobs(world, tmp_path, **WARM)
    line = refusal(runs, out)
    assert line == (
        "kernel scores: 2 of 2 shards are missing, those of shard 1/2, shard 2/2; "
        f"run these jobs again with stages {out / 'stages'} (on another disk: copy "
        "that folder into the job's out instead), then this merge again; or the same "
        f"select without shard and with out {out} does them here."
    )
    written = []
    write = ShardedPass.write

    def noted(self, shard, arrays, notes):
        written.append((self.folder.name.rpartition("-")[0], shard))
        write(self, shard, arrays, notes)

    monkeypatch.setattr(ShardedPass, "write", noted)
    monkeypatch.setattr(warmup, "train_adapter", None)  # not a second time
    for part, run in enumerate(runs, 1):
        stages = out / "stages"
        if disk == "copied":
            shutil.copytree(stages, run / "stages", dirs_exist_ok=True)
            stages = None
        # on one disk the second job finds what it needs to finish
        finished = work(world, run, f"{part}/2", stages=stages, **WARM)
        assert finished == (disk == "shared" and part == 2)
    assert written == [("kernel-scores", 0), ("kernel-scores", 1)]
    merge(runs, out)
    assert_as_alone(out, alone)


@pytest.mark.slow
def test_sums_over_the_pool_and_a_mask(world, tmp_path):
    """DualSFT: sums over the pool, products with each, sums over the chosen."""
    changes = {
        **WARM,
        "method": "dualsft",
        "mask": MaskOptions(share=0.1),
        "dualsft": DualsftOptions(order="data-first"),
        "validation": (world.queries,),
    }
    alone, out = tmp_path / "alone", tmp_path / "out"
    run_select(settings_of(world, out=alone, **changes))
    runs = start_jobs(world, tmp_path, **changes)
    for missing in ("5 of 5", "1 of 1"):
        assert f"{missing} shards are missing" in refusal(runs, out)
        for part, run in enumerate(runs, 1):
            work(world, run, f"{part}/2", stages=out / "stages", **changes)
    merge(runs, out)
    assert (out / "mask.safetensors").exists()
    assert_as_alone(out, alone)


def test_a_job_that_is_missing_is_named(world, short, tmp_path):
    runs = start_jobs(world, tmp_path, parts=4, **SHORT)
    out = tmp_path / "out"
    line = refusal([runs[0], runs[2]], out)
    assert line.startswith(
        "losses: 2 of 5 shards are missing, those of shard 2/4, shard 4/4; run "
        "these jobs again with stages "
    )
    assert not (out / "selection.json").exists()
    # kept: the first job's shards come no second time
    shutil.rmtree(runs[0] / "stages")
    line = refusal([*runs[:3]], out)
    assert "1 of 5 shards are missing, those of shard 4/4; run this job" in line
    merge(runs, out)
    assert_as_alone(out, short[0])


def test_one_machine_may_do_the_rest(world, short, runs, tmp_path):
    out = tmp_path / "out"
    refusal(runs[:1], out)
    shards = {path: path.stat().st_mtime_ns for path in out.glob("stages/*/*")}
    assert len(shards) == 2 * 3
    assert work(world, out, None, **SHORT)
    assert {path: path.stat().st_mtime_ns for path in shards} == shards
    assert_as_alone(out, short[0])


def test_parts_of_other_counts_are_not_named(world, runs, tmp_path):
    third = tmp_path / "third"
    work(world, third, "1/3", **SHORT)
    line = refusal([runs[0], third], tmp_path / "out")  # 0, 2, 4 and 0, 3
    assert line.startswith("losses: 1 of 5 shards are missing; run the jobs again")


def test_no_warm_up_is_trained_here(world, tmp_path, monkeypatch):
    class Stop(Exception):
        pass

    def stop(*arguments, **options):
        raise Stop

    with monkeypatch.context() as patch:
        patch.setattr(warmup, "train_adapter", stop)
        with pytest.raises(Stop):
            work(world, tmp_path / "run", "1/2", **WARM)
    line = refusal([tmp_path / "run"], tmp_path / "out")
    assert line.startswith("warm-up: no job has finished it; run the jobs again")


def test_a_damaged_shard_is_asked_for_again(world, short, runs, tmp_path):
    (path,) = runs[1].glob("stages/losses-*/shard-00003.safetensors")
    path.write_bytes(path.read_bytes()[:-1] + b"\x7f")
    out = tmp_path / "out"
    line = refusal(runs, out)
    says = "losses: 1 of 5 shards are missing, those of shard 2/2 (1 damaged left out)"
    assert line.startswith(f"{says}; run this job again")
    assert work(world, runs[1], "2/2", stages=out / "stages", **SHORT)
    merge(runs, out)
    assert_as_alone(out, short[0])


def test_different_runs_are_refused(world, runs, tmp_path):
    work(world, tmp_path / "other", "2/2", **SHORT, seed=1)
    line = refusal([runs[0], tmp_path / "other"], tmp_path / "out")
    assert line == (
        f"merge of shards from different runs: seed is 0 in {runs[0]} and 1 in "
        f"{tmp_path / 'other'}."
    )
    assert not (tmp_path / "out").exists()


def test_another_out_is_refused(world, runs, tmp_path):
    work(world, tmp_path / "other", "1/1", **SHORT, seed=1)
    line = refusal(runs, tmp_path / "other")
    assert "holds another run: seed was 1 and is now 0" in line


@pytest.mark.slow
def test_warm_ups_that_differ_are_refused(world, tmp_path):
    runs = start_jobs(world, tmp_path, shortlist="none", **WARM)
    (path,) = runs[1].glob("stages/warmup-*/step-0000003.safetensors")
    arrays = safetensors.numpy.load_file(path)
    name = next(name for name in arrays if name.startswith("theta/"))
    arrays[name] = np.nextafter(arrays[name], np.float32(1))
    atomic.write_tensors(path, arrays)
    seal(path.parent)
    assert "ended at different weights" in refusal(runs, tmp_path / "out")


def test_stages_that_are_elsewhere(world, short, tmp_path):
    """Jobs with stages of their own, found by their notes; or not any more."""
    runs = []
    for part in (1, 2):
        runs.append(tmp_path / f"run{part}")
        stages = tmp_path / f"stages{part}"
        work(world, runs[-1], f"{part}/2", stages=stages, **SHORT)
    merge(runs, tmp_path / "out")
    assert_as_alone(tmp_path / "out", short[0])
    (tmp_path / "stages2").rename(tmp_path / "moved")
    line = refusal(runs, tmp_path / "again")
    assert line == (
        f"{runs[1]}: its jobs kept their shards in stages {tmp_path / 'stages2'}, "
        f"which is not here; copy that folder to {runs[1] / 'stages'}."
    )
    (tmp_path / "moved").rename(runs[1] / "stages")
    merge(runs, tmp_path / "again")


def test_stages_in_a_bucket_need_no_merge(world, bucket, tmp_path):
    runs = tuple(tmp_path / f"run{part}" for part in (1, 2))
    for part, run in enumerate(runs, 1):
        stages = bucket.path("stages")
        finished = work(world, run, f"{part}/2", stages=stages, **SHORT)
        assert finished == (part == 2)
    assert refusal(runs, tmp_path / "out") == (
        f"{runs[0]}: its jobs share stages gs://bucket/stages, so that nothing is to "
        "be merged; start the same select without shard: it finds their shards."
    )


@pytest.mark.parametrize("stop", [0, 1, 5, 11, 12, 13, 14])
def test_a_merge_that_was_killed_goes_on(short, runs, tmp_path, monkeypatch, stop):
    """Ctrl-C at one of its renames: two claim it, ten are shards, then the result."""
    replace, count, out = atomic.os.replace, 0, tmp_path / "out"

    def stopping(source, target):
        nonlocal count
        if not target.name.startswith(".run-"):  # a thread writes the note
            count += 1
            if count == stop + 1:
                raise KeyboardInterrupt
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, "replace", stopping)
        with pytest.raises(KeyboardInterrupt):
            merge(runs, out)
    assert not (out / "selection.json").exists()
    merge(runs, out)
    assert_as_alone(out, short[0])
