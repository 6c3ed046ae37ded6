"""Warm-ups on the tiny world: kept, published once, read by everyone."""

import dataclasses
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from ntkjax.checkpoints.text_encoder import text_encoder
from ntkjax.commands.select import warmup
from ntkjax.commands.select.pool_passes import Stages, Unfinished
from ntkjax.commands.select.warmup import HISTORY, MOST_SNAPSHOTS, no_warm_up, warm_up
from ntkjax.data.examples import read_examples
from ntkjax.devices.mesh import data_mesh
from ntkjax.errors import InputError
from ntkjax.models.lora import LoraSettings
from ntkjax.runs.model import prepare
from ntkjax.store.seals import SEAL
from ntkjax.store.shards import NO_PART
from ntkjax.training.loop import train_adapter
from ntkjax.training.settings import TrainingSettings
from tests.commands.select.problem import MAX_LENGTH, write_problem
from tests.commands.world import build_world
from tests.damages import DAMAGES, damage_file, damages_of


pytestmark = pytest.mark.slow


SETTINGS = TrainingSettings(steps=5, batch_size=4, learning_rate=0.05, beta2=0.99)
# 7 examples: an epoch has two steps


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("warmup"))
    write_problem(world)
    return world


@pytest.fixture(scope="module")
def target(world):
    encode = text_encoder(world.model, MAX_LENGTH)
    return encode(read_examples([world.root / "target.jsonl"]))


@pytest.fixture(scope="module")
def prepared(world):
    lora = LoraSettings(2, 4.0, ("q_proj", "down_proj"))
    adapter = world.root / "start"
    return prepare(world.model, lora, adapter, dtype="float32", seed=0)


@pytest.fixture
def warm(prepared, target):
    """Function (folder, seed, part, settings) ↦ snapshots and history."""

    def warm(folder, seed=0, part=(1, 1), settings=SETTINGS, run="run"):
        return warm_up(
            Stages(folder, {}, 10, part, run),
            prepared.model,
            prepared.theta,
            target,
            settings,
            seed=seed,
            max_length=MAX_LENGTH,
            mesh=data_mesh(),
        )

    return warm


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def assert_equal(first, second):
    jax.tree.map(np.testing.assert_array_equal, first, second)


def test_snapshots_are_those_of_the_training(prepared, target, warm, tmp_path):
    states = []
    train_adapter(
        prepared.model,
        prepared.theta,
        [target],
        SETTINGS,
        seed=0,
        max_length=MAX_LENGTH,
        mesh=data_mesh(),
        observe=states.append,
    )
    snapshots, history = warm(tmp_path)
    assert [snapshot.num_steps for snapshot in snapshots] == [2, 4, 5]
    rates = [row["learning_rate"] for row in states[-1].history]
    parts = rates[:2], rates[2:4], rates[4:]
    for snapshot, rows in zip(snapshots, parts, strict=True):
        state = states[snapshot.num_steps - 1]
        assert_equal(snapshot.theta, jax.device_get(state.theta))
        adam = state.moments[1]
        assert_equal(snapshot.first_moment, jax.device_get(adam.mu))
        assert_equal(snapshot.second_moment, jax.device_get(adam.nu))
        assert snapshot.learning_rate == pytest.approx(np.mean(rows), rel=1e-6)
        assert snapshot.betas == (0.9, 0.99)
    assert [row["step"] for row in history] == [1, 2, 3, 4, 5]
    assert all(row.keys() == {"step", "loss", "learning_rate"} for row in history)
    assert len({snapshot.identity for snapshot in snapshots}) == 3


def test_many_epochs_leave_few_snapshots(warm, tmp_path):
    many = TrainingSettings(steps=38, batch_size=4, learning_rate=0.01)
    snapshots, _ = warm(tmp_path, settings=many)
    # 19 epochs: every third one, and the last
    assert [s.num_steps for s in snapshots] == [6, 12, 18, 24, 30, 36, 38]
    assert len(snapshots) <= MOST_SNAPSHOTS


def test_a_warm_up_is_read_the_second_time(warm, tmp_path, monkeypatch):
    first, history = warm(tmp_path)
    monkeypatch.setattr(warmup, "train_adapter", None)  # not called again
    again, its_history = warm(tmp_path, part=(2, 3))
    assert its_history == history
    assert [s.identity for s in again] == [s.identity for s in first]
    assert_equal(again[-1].theta, first[-1].theta)


def test_someone_who_only_reads_trains_nothing(warm, tmp_path):
    with pytest.raises(Unfinished, match="warm-up: 1 of 1"):
        warm(tmp_path, part=NO_PART)
    assert not list(tmp_path.iterdir())
    first, _ = warm(tmp_path)
    again, _ = warm(tmp_path, part=NO_PART)
    assert [s.identity for s in again] == [s.identity for s in first]


def test_what_decides_a_warm_up_makes_another(warm, tmp_path):
    (first, _), (second, _) = warm(tmp_path), warm(tmp_path, seed=1)
    assert first[-1].identity != second[-1].identity
    assert len(list(tmp_path.glob("warmup-*"))) == 2
    (same, _) = warm(tmp_path / "elsewhere", part=(2, 3))
    assert [s.identity for s in same] == [s.identity for s in first]


def test_a_kill_before_the_publication(warm, tmp_path, monkeypatch):
    def stop(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(warmup, "publish", stop)
        with pytest.raises(KeyboardInterrupt):
            warm(tmp_path / "killed")
    again, _ = warm(tmp_path / "killed")
    undisturbed, _ = warm(tmp_path / "undisturbed")
    assert [s.identity for s in again] == [s.identity for s in undisturbed]
    assert not list(tmp_path.glob("*/warmup-*.*"))


def test_a_damaged_warm_up_is_computed_again(warm, tmp_path, capsys):
    """Whichever of its files it is; and someone who only reads finds none."""
    first, history = warm(tmp_path)
    (folder,) = tmp_path.iterdir()
    content = contents(folder)
    capsys.readouterr()
    cases = [("step-0000005.safetensors", kind) for kind in DAMAGES]
    for name, kind in [*cases, (HISTORY, "flipped"), (SEAL, "deleted")]:
        damage_file(folder / name, kind)
        with pytest.raises(Unfinished):
            warm(tmp_path, part=NO_PART)
        again, its_history = warm(tmp_path)
        assert f"{folder}: damaged (" in capsys.readouterr().err, (name, kind)
        assert its_history == history
        assert [s.identity for s in again] == [s.identity for s in first]
        assert_equal(again[-1].theta, first[-1].theta)
        assert contents(folder) == content
        assert list(tmp_path.iterdir()) == [folder]


def test_a_warm_up_that_goes_on_has_all_its_snapshots(
    warm, tmp_path, monkeypatch, capsys
):
    """Those of before a kill are checked: the training does not see them again."""
    undisturbed, _ = warm(tmp_path / "undisturbed")
    publish = warmup.publish

    def stop(*arguments, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(warmup, "publish", stop)
    with pytest.raises(KeyboardInterrupt):
        warm(tmp_path / "killed")
    monkeypatch.setattr(warmup, "publish", publish)
    for number, (name, kind) in enumerate(damages_of(tmp_path / "killed")):
        stages = shutil.copytree(tmp_path / "killed", tmp_path / f"damaged-{number}")
        damage_file(stages / name, kind)
        capsys.readouterr()
        again, _ = warm(stages)
        assert [s.identity for s in again] == [s.identity for s in undisturbed], name
        assert "begins anew" in capsys.readouterr().err, (name, kind)


def test_what_another_job_published_is_checked(warm, tmp_path, monkeypatch):
    def damaging(found, folder, last):
        (found / "step-0000002.safetensors").write_bytes(b"")
        found.rename(folder)

    monkeypatch.setattr(warmup, "publish", damaging)
    with pytest.raises(InputError, match=r"damaged \(step-0000002.* run the same com"):
        warm(tmp_path)


def test_the_first_of_two_jobs_publishes(warm, tmp_path, monkeypatch):
    """Another job, done a moment before, has the numbers that count."""
    published, _ = warm(tmp_path / "other", seed=1)
    (theirs,) = (tmp_path / "other").glob("warmup-*")
    publish = warmup.publish

    def too_late(found, folder, last):
        theirs.rename(folder)
        publish(found, folder, last)

    monkeypatch.setattr(warmup, "publish", too_late)
    snapshots, _ = warm(tmp_path / "mine")
    assert [s.identity for s in snapshots] == [s.identity for s in published]
    assert len(list((tmp_path / "mine").iterdir())) == 1


def test_another_run_waits_for_the_same_warm_up(warm, tmp_path, monkeypatch, capfd):
    """The second begins while the first one is about to publish, and trains nothing."""
    publish, train, trained, second = warmup.publish, warmup.train_adapter, [], []
    pool = ThreadPoolExecutor(1)

    def second_first(found, folder, last):
        monkeypatch.setattr(warmup, "publish", publish)
        second.append(pool.submit(warm, tmp_path, run="other"))
        said = ""
        while "another process computes this warm-up" not in said:
            assert not second[0].done(), second[0].result()
            said += capfd.readouterr().err
            time.sleep(0.01)
        publish(found, folder, last)

    def counted(*arguments, **named):
        trained.append(1)
        return train(*arguments, **named)

    monkeypatch.setattr(warmup, "publish", second_first)
    monkeypatch.setattr(warmup, "train_adapter", counted)
    snapshots, history = warm(tmp_path)
    theirs, their_history = second[0].result()
    assert [s.identity for s in snapshots] == [s.identity for s in theirs]
    assert history == their_history
    assert trained == [1]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_run_that_fails_lets_the_next_one_train(warm, tmp_path, monkeypatch):
    def fail(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(warmup, "train_adapter", fail)
        with pytest.raises(KeyboardInterrupt):
            warm(tmp_path)
    snapshots, _ = warm(tmp_path, run="other")
    assert len(snapshots) == 3


def test_no_warm_up_is_the_start(prepared):
    snapshot = no_warm_up(prepared.theta)
    assert_equal(snapshot.theta, prepared.theta)
    assert (snapshot.first_moment, snapshot.num_steps) == (None, 0)
    other = {name: leaf + 1 for name, leaf in prepared.theta.items()}
    assert no_warm_up(other).identity != snapshot.identity


def test_another_micro_batch_begins_anew_and_finds_what_is_finished(
    warm, tmp_path, monkeypatch, capsys
):
    """Half a warm-up of other roundings is not gone on with; a whole one is read."""
    other = dataclasses.replace(SETTINGS, micro_batch=2)

    def stop(*arguments, **named):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(warmup, "publish", stop)
        with pytest.raises(KeyboardInterrupt):
            warm(tmp_path / "killed")
    capsys.readouterr()
    again, _ = warm(tmp_path / "killed", settings=other)
    assert "begun with another micro-batch" in capsys.readouterr().err
    undisturbed, _ = warm(tmp_path / "undisturbed", settings=other)
    identities = [snapshot.identity for snapshot in undisturbed]
    assert [snapshot.identity for snapshot in again] == identities
    read, _ = warm(tmp_path / "undisturbed")
    assert [snapshot.identity for snapshot in read] == identities
