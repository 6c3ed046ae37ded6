import dataclasses
import json
import shutil

import numpy as np
import pytest

from ntkjax.devices.mesh import data_mesh
from ntkjax.devices.teams import Team
from ntkjax.errors import InputError
from ntkjax.store.seals import SEAL
from ntkjax.training import checkpoints
from ntkjax.training.checkpoints import Checkpoint, Checkpoints, training_identity
from tests.damages import damage_file, damages_of
from tests.training.problem import EXAMPLES, settings, small_model


ARRAYS = {
    # names that differ in a dot only, and one that is a path of another
    "theta": {"a.b.lora_A": np.full((2, 3), 0.1, np.float32), "a.b": np.float32([1])},
    "mu": {"a.b.lora_A": np.full((2, 3), 2, np.float32), "a.b": np.float32([2])},
    "count": np.int32(3),
}
ALONE = Team(data_mesh(1))
FACTS = {"history": [{"loss": 0.1 + 0.2, "validation_loss": None}], "best": None}


@pytest.fixture
def store(tmp_path):
    store = Checkpoints(tmp_path / "checkpoints", "me", ALONE)
    yield store
    store.close()


def test_what_was_saved_comes_back(store, capfd):
    assert store.newest() is None
    store.save(Checkpoint(3, ARRAYS, FACTS))
    found = store.newest()
    assert found.step == 3
    assert found.facts == FACTS
    for name in ("theta", "mu"):
        assert found.arrays[name].keys() == ARRAYS[name].keys()
        for key, array in ARRAYS[name].items():
            np.testing.assert_array_equal(found.arrays[name][key], array)
    assert found.arrays["count"].dtype == np.int32
    assert capfd.readouterr() == ("", "")


def test_the_newest_two_are_kept(store, tmp_path):
    for step in (2, 4, 6):
        store.save(Checkpoint(step, {"x": np.float32([step])}, FACTS))
    assert store.newest().arrays["x"] == [6]
    names = {path.name for path in (tmp_path / "checkpoints").iterdir()}
    assert names == {"4", "6"}


def test_an_unfinished_one_is_not_read(tmp_path):
    folder = tmp_path / "checkpoints"
    store = Checkpoints(folder, "me", ALONE)
    store.save(Checkpoint(2, ARRAYS, FACTS))
    store.close()
    # What a killed `save` leaves beside it.
    shutil.copytree(folder / "2", folder / "4.orbax-checkpoint-tmp")
    again = Checkpoints(folder, "me", ALONE)
    assert again.newest().step == 2
    again.close()


def opened(folder, said):
    """The step from which a training goes on, None at its beginning."""
    store = Checkpoints(folder, "me", ALONE, said.append)
    try:
        found = store.newest()
        return found and found.step
    finally:
        store.close()


@pytest.mark.slow
def test_a_damaged_newest_one_falls_back_to_the_one_before(store, tmp_path):
    for step in (2, 4):
        store.save(Checkpoint(step, ARRAYS, FACTS))
    saved, wrong = tmp_path / "checkpoints", []
    for number, (name, kind) in enumerate(damages_of(saved / "4")):
        folder, said = tmp_path / f"damaged-{number}", []
        shutil.copytree(saved, folder)
        damage_file(folder / "4" / name, kind)
        step = opened(folder, said)
        start = f"{folder}: the checkpoint of step 4 "
        words = "was not finished" if (name, kind) == (SEAL, "deleted") else "is damag"
        if step != 2 or len(said) != 1 or not said[0].startswith(start + words):
            wrong.append((name, kind, step, said))
        if (folder / "4").exists() or not said[0].endswith("goes on from step 2."):
            wrong.append((name, kind, said))
    assert not wrong
    assert number > 20


def test_with_none_whole_the_training_begins_anew(store, tmp_path):
    for step in (2, 4):
        store.save(Checkpoint(step, ARRAYS, FACTS))
    folder, said = tmp_path / "checkpoints", []
    (folder / "2" / SEAL).unlink()
    damage_file(folder / "4" / SEAL, "flipped")
    assert opened(folder, said) is None
    (line,) = said
    assert "step 4 is damaged (" in line
    assert line.endswith("step 2 was not finished; the training begins anew.")
    # and saves the same steps again
    again = Checkpoints(folder, "me", ALONE, said.append)
    again.save(Checkpoint(4, ARRAYS, FACTS))
    again.close()
    assert opened(folder, said) == 4
    assert len(said) == 1


def test_a_kill_before_the_seal(store, tmp_path, monkeypatch):
    store.save(Checkpoint(2, ARRAYS, FACTS))

    def kill(folder):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "seal", kill)
        with pytest.raises(KeyboardInterrupt):
            store.save(Checkpoint(4, ARRAYS, FACTS))
    said = []
    assert opened(tmp_path / "checkpoints", said) == 2
    assert said == [
        f"{tmp_path / 'checkpoints'}: the checkpoint of step 4 was not finished; the "
        "training goes on from step 2."
    ]


@pytest.mark.slow
def test_damage_in_a_bucket(bucket):
    folder, said = bucket.path("run/checkpoints"), []
    store = Checkpoints(folder, "me", ALONE, said.append)
    for step in (2, 4):
        store.save(Checkpoint(step, ARRAYS, FACTS))
    store.close()
    assert opened(folder, said) == 4
    assert not said
    facts = folder / "4" / "facts" / "metadata"
    facts.write_bytes(facts.read_bytes()[:-1])
    assert opened(folder, said) == 2
    assert said[0].startswith(f"{folder}: the checkpoint of step 4 is damaged (")
    assert not bucket.names("run/checkpoints/4/")


def test_another_training_is_refused(store, tmp_path):
    store.save(Checkpoint(2, ARRAYS, FACTS))
    other = Checkpoints(tmp_path / "checkpoints", "you", ALONE)
    with pytest.raises(InputError, match="checkpoints of another training"):
        other.newest()
    other.close()


def test_saving_rests_after_saving(store):
    assert store.may_save()
    store.save(Checkpoint(2, ARRAYS, FACTS))
    assert not store.may_save()


def test_a_full_disk_leaves_earlier_ones(store, monkeypatch):
    store.save(Checkpoint(2, ARRAYS, FACTS))

    def full(*arguments, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store._manager, "save", full)
    with pytest.raises(InputError, match=r"step 4 cannot be written .*No space left"):
        store.save(Checkpoint(4, ARRAYS, FACTS))
    assert store.newest().step == 2


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Checkpoints(tmp_path / "file" / "checkpoints", "me", ALONE)


def test_identity_follows_everything_that_decides():
    model, theta = small_model()
    other_model, other_theta = small_model(seed=1)
    data = [EXAMPLES[:5], EXAMPLES[5:]]
    other_targets = dataclasses.replace(EXAMPLES[0], targets=~EXAMPLES[0].targets)
    same = (model, theta, data, settings())
    different = [
        (other_model, theta, data, settings()),
        (model, other_theta, data, settings()),
        (model, theta, [EXAMPLES[:6], EXAMPLES[6:]], settings()),
        (model, theta, [[other_targets, *EXAMPLES[1:5]], EXAMPLES[5:]], settings()),
        (model, theta, data, settings(learning_rate=0.5)),
    ]
    mask = {name: np.ones(leaf.shape, bool) for name, leaf in theta.items()}
    other_mask = {**mask, "model.layers.0.mlp.up_proj.lora_A": np.zeros((2, 12), bool)}
    masked = [(*same, mask), (*same, other_mask)]
    runs = (same, *different, *masked)
    hashes = [training_identity(*arguments) for arguments in runs]
    assert len(set(hashes)) == len(hashes)
    assert training_identity(*same) == hashes[0]
    json.dumps(hashes)
