"""Mask files: what was written comes back, and nothing else is taken for it."""

import dataclasses
import json
import shutil

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from ntkjax.checkpoints.mask import (
    MaskFacts,
    count_kept,
    read_mask,
    theta_hash,
    write_mask,
)
from ntkjax.errors import InputError
from ntkjax.models.lora import LoraSettings
from tests.checkpoints.files import PLAIN
from tests.damages import damage_file
from tests.problems import RANK_TWO, random_model, tiny_config


MODEL, THETA = random_model(tiny_config(num_layers=1))
SHAPES = MODEL.theta_shapes
FACTS = MaskFacts("model", RANK_TWO, theta_hash(THETA))
Q_A = "model.layers.0.self_attn.q_proj.lora_A"


def some_mask(shapes=SHAPES) -> dict:
    rng = np.random.default_rng(0)
    return {name: rng.random(shape) < 0.3 for name, shape in shapes.items()}


def other(**changes) -> MaskFacts:
    return dataclasses.replace(FACTS, **changes)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "mask.safetensors"
    write_mask(path, some_mask(), FACTS)
    return path


def refused(path, facts=FACTS, shapes=SHAPES) -> str:
    with pytest.raises(InputError) as caught:
        read_mask(path, shapes, facts)
    message = str(caught.value)
    assert message.startswith(f"mask {path}: ")
    assert "\n" not in message
    return message.removeprefix(f"mask {path}: ")


def test_what_was_written_comes_back(path):
    found = read_mask(path, SHAPES, FACTS)
    assert list(found) == list(SHAPES)
    for name, leaf in some_mask().items():
        assert found[name].dtype == np.bool_
        np.testing.assert_array_equal(found[name], leaf)
    assert count_kept(found) == sum(leaf.sum() for leaf in some_mask().values())


def test_no_damage_gives_another_mask(path, tmp_path):
    """Whichever byte it is, and neither do the same numbers in another order."""
    content, mask = path.read_bytes(), some_mask()
    damaged, said = tmp_path / "damaged", []
    for place in range(0, len(content), 5):
        flipped = content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]
        damaged.write_bytes(flipped)
        try:
            found = read_mask(damaged, SHAPES, FACTS)
        except InputError as error:
            said.append(str(error))
        else:
            for name, leaf in mask.items():
                np.testing.assert_array_equal(found[name], leaf, err_msg=str(place))
    assert len(said) > len(content) / 10
    assert all(line.startswith(f"mask {damaged}: ") for line in said)
    assert not any("\n" in line for line in said)
    for kind in ("truncated", "emptied", "deleted"):
        damaged.write_bytes(content)
        damage_file(damaged, kind)
        refused(damaged)
    swapped = {name: leaf.reshape(-1)[::-1] for name, leaf in mask.items()}
    swapped = {n: leaf.reshape(SHAPES[n]).copy() for n, leaf in swapped.items()}
    with safe_open(path, "np") as file:
        save_file(swapped, damaged, metadata=file.metadata())
    assert refused(damaged).startswith("damaged: it keeps other parameters than it was")


def test_masks_of_before_the_hash_are_read(path):
    with safe_open(path, "np") as file:
        about = json.loads(file.metadata()["ntkjax.mask"])
    assert len(about.pop("sha256")) == 64
    save_file(some_mask(), path, metadata={"ntkjax.mask": json.dumps(about)})
    assert read_mask(path, SHAPES, FACTS).keys() == SHAPES.keys()
    for lora in ([], "text"):
        metadata = {"ntkjax.mask": json.dumps(about | {"lora": lora})}
        save_file(some_mask(), path, metadata=metadata)
        assert refused(path).startswith("no mask of parameters")
    save_file(some_mask(), path, metadata={"ntkjax.mask": "[" * 10**5})
    assert refused(path).startswith("no mask of parameters")


def test_the_same_mask_gives_the_same_bytes(path, tmp_path):
    again = tmp_path / "again"
    write_mask(again, some_mask(), FACTS)
    assert again.read_bytes() == path.read_bytes()


def test_a_mask_of_all_weights(tmp_path):
    model, theta = random_model(tiny_config(num_layers=1), None)
    facts = MaskFacts("model", None, theta_hash(theta))
    path = tmp_path / "mask"
    write_mask(path, some_mask(model.theta_shapes), facts)
    found = read_mask(path, model.theta_shapes, facts)
    assert found.keys() == theta.keys()
    assert refused(path) == ("made for parameters full, but this training has lora.")


def test_targets_may_be_spelled_otherwise(path):
    lora = dataclasses.replace(RANK_TWO, targets=tuple(reversed(RANK_TWO.targets)))
    assert read_mask(path, SHAPES, other(lora=lora))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rank": 4}, "lora.rank was 2 and is now 4"),
        ({"alpha": 3.5}, "lora.alpha was 16.0 and is now 3.5"),
        ({"rslora": True}, "lora.rslora was False and is now True"),
    ],
)
def test_another_adapter(path, changes, message):
    lora = dataclasses.replace(RANK_TWO, **changes)
    model, _ = random_model(tiny_config(num_layers=1), lora)
    found = refused(path, other(lora=lora), model.theta_shapes)
    assert found == f"made for another adapter ({message})."


def test_other_targets_and_another_model(path):
    lora = LoraSettings(2, targets=("q_proj",))
    model, _ = random_model(tiny_config(num_layers=1), lora)
    found = refused(path, other(lora=lora), model.theta_shapes)
    assert found.startswith("made for another model or other lora.targets: ")
    assert "down_proj.lora_A is (2, 20) there and absent here" in found
    deep, _ = random_model(tiny_config(num_layers=2))
    found = refused(path, shapes=deep.theta_shapes)
    assert "model.layers.1.self_attn.q_proj.lora_A is absent there and (2, 12)" in found
    wide, _ = random_model(tiny_config(num_layers=1, hidden_size=16))
    found = refused(path, shapes=wide.theta_shapes)
    assert f"{Q_A} is (2, 12) there and (2, 16) here" in found


def test_another_model_of_the_same_shapes(path):
    assert "made for another model of the same shapes" in refused(
        path, other(model="another")
    )


def test_another_start(path):
    _, theta = random_model(tiny_config(num_layers=1), seed=1)
    found = refused(path, other(start=theta_hash(theta)))
    assert "starts otherwise; train with the same seed or adapter" in found


def test_a_mask_that_keeps_nothing(path):
    none = {name: np.zeros(shape, bool) for name, shape in SHAPES.items()}
    write_mask(path, none, FACTS)
    assert "keeps no parameter" in refused(path)


def test_no_file(tmp_path):
    assert refused(tmp_path / "absent") == "no such file."


def test_a_damaged_file(path):
    path.write_bytes(path.read_bytes()[:-7])
    assert "damaged or truncated" in refused(path)


def test_a_changed_number(path):
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    assert "damaged: it keeps " in refused(path)


def test_other_files(path, tmp_path):
    shutil.copyfile(PLAIN / "model.safetensors", path)
    assert "no mask of parameters" in refused(path)
    save_file(some_mask(), path, metadata={"ntkjax.mask": "[1]"})
    assert "no mask of parameters" in refused(path)
    save_file(some_mask(), path, metadata={"ntkjax.mask": "{"})
    assert "no mask of parameters" in refused(path)


def test_numbers_in_place_of_booleans(path):
    with safe_open(path, framework="np") as file:
        metadata = file.metadata()
    numbers = {name: leaf.astype(np.float32) for name, leaf in some_mask().items()}
    save_file(numbers, path, metadata=metadata)
    assert f"{Q_A} holds float32 in place of bool" in refused(path)


def test_the_hash_follows_names_and_numbers():
    changed = {**THETA, Q_A: THETA[Q_A].at[0, 0].add(1e-6)}
    renamed = {name.replace("q_proj", "z_proj"): leaf for name, leaf in THETA.items()}
    turned = {**THETA, Q_A: THETA[Q_A].T}
    hashes = {theta_hash(theta) for theta in (THETA, changed, renamed, turned)}
    assert len(hashes) == 4
    assert theta_hash(dict(reversed(THETA.items()))) == theta_hash(THETA)
