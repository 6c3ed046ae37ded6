"""A selection does not depend on how, in which parts, or how often it was run."""

import shutil

import jax
import numpy as np
import pytest

from ntkjax.commands.select import run as module
from ntkjax.commands.select.pool_passes import Unfinished
from ntkjax.commands.select.run import run_select
from ntkjax.errors import InputError
from ntkjax.settings.devices import DeviceOptions
from ntkjax.store.shards import ShardedPass
from ntkjax.training.settings import TrainingSettings
from tests.commands.select.problem import (
    NUM_POOL,
    lines_of,
    numbers,
    same_bits,
    settings_of,
    table_of,
    write_problem,
)
from tests.commands.world import build_world


TRAINING = TrainingSettings(steps=3, batch_size=4, learning_rate=0.05)
WARM = {"warmup": "target", "training": TRAINING}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("bits"))
    write_problem(world)
    return world


@pytest.fixture
def select(world, tmp_path):
    """Function (changes) ↦ the directory of a run, by default a new one."""

    def select(out=None, **changes):
        out = tmp_path / "out" if out is None else out
        run_select(settings_of(world, out=out, **changes))
        return out

    return select


@pytest.fixture(scope="module")
def undisturbed(world):
    """A run with a warm-up, five shards of embeddings and two of scores."""
    out = world.root / "undisturbed"
    run_select(settings_of(world, out=out, **WARM))
    return out


@pytest.fixture
def copy(undisturbed, tmp_path):
    return shutil.copytree(undisturbed, tmp_path / "copy")


def close(found, expected) -> bool:
    """Within the promise of float32: 1e-5 of the largest."""
    return np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


@pytest.fixture(scope="module")
def everything(world):
    """Votes, similarities and scores of the whole pool."""
    out = world.root / "everything"
    run_select(settings_of(world, out=out, shortlist_size=NUM_POOL))
    return out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("devices", "changes"),
    [
        (
            2,
            {"tokens_per_batch": 100, "max_length": 17},
        ),  # other batch mates, more padding
        (1, {}),
        (2, {"rows_per_shard": 17}),
        (2, {"devices": DeviceOptions("model=2")}),
    ],
    ids=["batch size and padding", "one device", "shards", "shared weights"],
)
def test_numbers_do_not_depend_on_the_layout(
    everything, select, monkeypatch, devices, changes
):
    some = jax.local_devices()[:devices]
    monkeypatch.setattr(jax, "local_devices", lambda: some)
    out = select(shortlist_size=NUM_POOL, **changes)
    for name in ("score", "similarity"):
        assert close(numbers(out, name), numbers(everything, name))
    np.testing.assert_array_equal(numbers(out, "votes"), numbers(everything, "votes"))
    assert lines_of(out / "selected.jsonl") == lines_of(everything / "selected.jsonl")


def test_the_order_of_the_pool_does_not_matter(world, everything, select):
    order = np.random.default_rng(1).permutation(NUM_POOL)
    lines = lines_of(world.root / "pool.jsonl")
    path = world.root / "shuffled.jsonl"
    path.write_bytes(b"".join(lines[row] for row in order))
    out = select(shortlist_size=NUM_POOL, pool=(path,))
    assert table_of(out)["id"] == [f"p{row}" for row in order]
    for name in ("score", "similarity"):
        assert close(numbers(out, name), numbers(everything, name)[order])
    assert lines_of(out / "selected.jsonl") == lines_of(everything / "selected.jsonl")


def test_jobs_share_the_work_and_end_with_the_same_bits(
    undisturbed, select, monkeypatch
):
    """Two jobs by turns, as their machines might: each waits for the other's shards."""
    written = []
    write = ShardedPass.write

    def noted(self, shard, arrays, notes):
        written.append((job, self.folder.name.rpartition("-")[0], shard))
        write(self, shard, arrays, notes)

    monkeypatch.setattr(ShardedPass, "write", noted)
    left = []
    for job in ("2/2", "1/2", "2/2", "1/2"):
        try:
            out = select(shard=job, **WARM)
        except Unfinished as part:
            left.append((part.what, part.missing, part.total))
        else:
            left.append(None)
    assert left == [("embeddings", 3, 5), ("kernel scores", 1, 2), None, None]
    assert written == [
        *(("2/2", "embeddings", shard) for shard in (1, 3)),
        *(("1/2", "embeddings", shard) for shard in (0, 2, 4)),
        ("1/2", "kernel-scores", 0),
        ("2/2", "kernel-scores", 1),
    ]
    assert same_bits(out) == same_bits(undisturbed)


def test_a_part_alone_writes_no_result(select, tmp_path):
    with pytest.raises(Unfinished, match="embeddings: 4 of 5 shards are missing"):
        select(shard="4/4")
    out = tmp_path / "out"
    assert not (out / "selection.json").exists()
    assert not (out / "selected.jsonl").exists()
    again = select()  # without a part: what is missing is done here
    assert again == out
    assert (out / "selection.json").exists()


def remove_result(out):
    (out / "selection.json").unlink()


def remove_shards(out):
    for path in out.glob("stages/*/shard-00001.*"):
        path.unlink()


def remove_records(out):
    for path in out.glob("stages/*/shard-*.json"):
        path.unlink()


def truncate_shards(out):
    for path in out.glob("stages/*/shard-00001.safetensors"):
        path.write_bytes(path.read_bytes()[:-7])


def garble_a_shard(out):
    """The right length, and finite numbers, but not those that were written."""
    (path,) = out.glob("stages/kernel-scores-*/shard-00000.safetensors")
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\x3f")


def truncate_a_record(out):
    (path,) = out.glob("stages/embeddings-*/shard-00002.json")
    path.write_bytes(path.read_bytes()[:20])


def leave_partial_files(out):
    (scores,) = out.glob("stages/kernel-scores-*")
    for path in (out / ".selected.jsonl", scores / ".shard-00000.safetensors"):
        path.with_name(f"{path.name}.123.partial").write_bytes(b"\0" * 99)
    partial = out / ".adapter.123.partial"
    partial.mkdir()
    (partial / "adapter_config.json").write_text("{")


def remove_all_but_the_claim(out):
    for path in out.iterdir():
        if path.name in ("run.yaml", "manifest.json"):
            continue
        shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage",
    [
        remove_result,
        remove_shards,
        remove_records,
        truncate_shards,
        garble_a_shard,
        truncate_a_record,
        leave_partial_files,
        remove_all_but_the_claim,
    ],
    ids=lambda damage: damage.__name__,
)
def test_a_damaged_run_is_made_whole(undisturbed, copy, select, damage):
    remove_result(copy)
    if damage is not remove_result:
        damage(copy)
    select(copy, **WARM)
    assert same_bits(copy) == same_bits(undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("stop", [0, 1, 4, 5, 6])
def test_an_interrupted_pass_goes_on(undisturbed, select, tmp_path, monkeypatch, stop):
    """Ctrl-C instead of the write of one of the seven shards."""
    write, count = ShardedPass.write, 0

    def stopping(self, shard, arrays, notes):
        nonlocal count
        count += 1
        if count == stop + 1:
            raise KeyboardInterrupt
        write(self, shard, arrays, notes)

    monkeypatch.setattr(ShardedPass, "write", stopping)
    with pytest.raises(KeyboardInterrupt):
        select(**WARM)
    assert len(list((tmp_path / "out").glob("stages/*/shard-*.json"))) == stop
    count = 100
    assert same_bits(select(**WARM)) == same_bits(undisturbed)
    assert count == 107 - stop  # what was there was not computed again


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_a_kill_around_the_publication_of_the_adapter(
    undisturbed, select, tmp_path, monkeypatch, after
):
    publish = module.publish_theta

    def stopping(*arguments):
        if after:
            publish(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "publish_theta", stopping)
        with pytest.raises(KeyboardInterrupt):
            select(**WARM)
    assert (tmp_path / "out" / "adapter").exists() == after
    out = select(**WARM)
    assert same_bits(out) == same_bits(undisturbed)
    assert not list((out / "stages").glob("warmup-*.*"))


def other_weights(world):
    world.edit_tensors(lambda tensors: tensors["lm_head.weight"].__setitem__(0, 1.0))


def other_adapter(world):
    weights = world.write_adapter("other", seed=8) / "adapter_model.safetensors"
    weights.rename(world.root / "start" / weights.name)


def other_target(world):
    path = world.root / "target.jsonl"
    path.write_bytes(b"".join(lines_of(path)[:-1]))


def other_pool(world):
    path = world.root / "pool.jsonl"
    path.write_bytes(path.read_bytes() + b"\n")  # a blank line is a change as well


OTHERS = {
    other_weights: "inputs.model was",
    other_adapter: "inputs.adapter was",
    other_target: "inputs.target was",
    other_pool: "inputs.pool was",
}


@pytest.mark.parametrize("is_finished", [True, False], ids=["finished", "unfinished"])
@pytest.mark.parametrize("change", OTHERS, ids=lambda change: change.__name__)
def test_other_inputs_are_refused(tmp_path, change, is_finished):
    """Before anything is computed, whatever the run has done so far."""
    world = build_world(tmp_path / "world")
    write_problem(world)
    settings = settings_of(world)
    claim(settings)
    if is_finished:
        (world.out / "selection.json").write_text("{}")
    change(world)
    with pytest.raises(InputError, match="holds another run: ") as caught:
        run_select(settings)
    assert OTHERS[change] in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"seed": 1}, "seed was 0 and is now 1"),
        ({"kernel": "exact"}, "kernel was 'summed' and is now 'exact'"),
        ({"rows_per_shard": 9}, "rows_per_shard was 10 and is now 9"),
        ({"training": TrainingSettings(steps=4)}, r"training\.batch_size was 4"),
        ({"adapter": None}, "adapter was "),
    ],
    ids=str,
)
def test_other_settings_are_refused(copy, select, changes, says):
    before = same_bits(copy)
    with pytest.raises(InputError, match=f"holds another run: {says}"):
        select(copy, **(WARM | changes))
    assert same_bits(copy) == before


def claim(settings):
    """A run that ends right after it claimed its directory."""

    class Stop(Exception):
        pass

    def stop(*arguments):
        raise Stop

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_warmed_up", stop)
        with pytest.raises(Stop):
            run_select(settings)
