"""PEFT adapters in and out; the numbers that PEFT computes are in tests/golden."""

import json
import shutil

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from ntkjax.checkpoints.adapter import (
    adapter_files,
    read_adapter,
    read_adapter_settings,
    write_adapter,
)
from ntkjax.errors import InputError
from ntkjax.models.lora import LAYER_MATRICES, LoraSettings
from tests.checkpoints.files import GOLDEN
from tests.problems import random_model, tiny_config


DEFAULT = GOLDEN / "adapters" / "default"
CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"

NAMES = LoraSettings(2, 6.0, ("q_proj", "down_proj"), rslora=True)

# Keys that PEFT's LoraConfig needs to build the same adapter, and what it reads there.
WRITTEN = {
    "base_model_name_or_path": "owner/base",
    "bias": "none",
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "lora_alpha": 6,
    "lora_dropout": 0.0,
    "modules_to_save": None,
    "peft_type": "LORA",
    "r": 2,
    "target_modules": ["q_proj", "down_proj"],
    "task_type": "CAUSAL_LM",
    "use_dora": False,
    "use_rslora": True,
}


def written(folder, lora=NAMES):
    model, theta = random_model(tiny_config(num_layers=2), lora)
    write_adapter(folder, theta, model, "owner/base")
    return model, theta


def edit_config(folder, **changes):
    """The golden adapter's config with changes; `...` takes a key out."""
    raw = json.loads((DEFAULT / CONFIG).read_bytes()) | changes
    raw = {key: value for key, value in raw.items() if value is not ...}
    (folder / CONFIG).write_text(json.dumps(raw))
    return folder


def edit_weights(folder, edit):
    tensors = load_file(folder / WEIGHTS)
    save_file(edit(tensors), folder / WEIGHTS)


SETTINGS = {
    "names": NAMES,
    "all": LoraSettings(3, 2.5),
    "head": LoraSettings(1, 1.0, ("lm_head", "v_proj")),
    "regex": LoraSettings(2, 4.0, (r"model\.layers\.1\.mlp\.(gate|up)_proj",)),
    "one layer": LoraSettings(2, 4.0, ("1.mlp.up_proj",)),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_round_trip_is_exact(tmp_path, name):
    lora = SETTINGS[name]
    model, theta = written(tmp_path / "new" / "adapter", lora)
    folder = tmp_path / "new" / "adapter"
    found = read_adapter(folder, model)
    assert list(found) == list(theta)
    assert all((found[key] == theta[key]).all() for key in theta)
    assert {leaf.dtype for leaf in found.values()} == {np.dtype(np.float32)}

    stored = read_adapter_settings(folder)
    assert (stored.rank, stored.scale) == (lora.rank, lora.scale)
    # The settings may be written in other words, but they name the same matrices.
    again, _ = random_model(tiny_config(num_layers=2), stored)
    assert again.theta_shapes == model.theta_shapes


def test_written_files_are_those_of_peft(tmp_path):
    _, theta = written(tmp_path)
    assert json.loads((tmp_path / CONFIG).read_bytes()) == WRITTEN
    tensors = load_file(tmp_path / WEIGHTS)
    assert tensors.keys() == {f"base_model.model.{name}.weight" for name in theta}
    assert {path.name for path in tmp_path.iterdir()} == {CONFIG, WEIGHTS}
    # Real PEFT writes every one of these keys, too.
    assert json.loads((DEFAULT / CONFIG).read_bytes()).keys() >= WRITTEN.keys()


def test_regular_expressions_are_written_as_full_names(tmp_path):
    # In a list, PEFT takes names only: a regular expression would match nothing.
    written(tmp_path, SETTINGS["regex"])
    targets = json.loads((tmp_path / CONFIG).read_bytes())["target_modules"]
    assert targets == [f"model.layers.1.mlp.{x}_proj" for x in ("gate", "up")]


@pytest.mark.parametrize("alpha", [16.0, 2.5])
def test_alpha_is_written_as_peft_does(tmp_path, alpha):
    written(tmp_path, LoraSettings(2, alpha, ("q_proj",)))
    found = json.loads((tmp_path / CONFIG).read_bytes())["lora_alpha"]
    assert found == alpha
    assert isinstance(found, int) == alpha.is_integer()


def test_numbers_that_are_not_float32_arrive_as_float32(tmp_path):
    model, theta = written(tmp_path)
    halve = lambda tensors: {k: v.astype(np.float16) for k, v in tensors.items()}
    edit_weights(tmp_path, halve)
    found = read_adapter(tmp_path, model)
    for key, leaf in theta.items():
        assert found[key].dtype == np.float32
        # float16 has 11 bits
        np.testing.assert_allclose(found[key], leaf, rtol=2**-11, atol=1e-7)


def without_one(tensors):
    return dict(list(tensors.items())[1:])


def with_one_more(tensors):
    return {**tensors, "base_model.model.lm_head.lora_A.weight": np.ones((2, 12), "f4")}


def wider(tensors):
    name = "base_model.model.model.layers.0.mlp.down_proj.lora_A.weight"
    return {**tensors, name: np.ones((2, 21), np.float32)}


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (without_one, r"1 tensors do not fit, first model\.layers\.0\.mlp.down_proj"),
        (with_one_more, r"1 tensors do not fit, first lm_head\.lora_A"),
        (wider, r"1 tensors do not fit, first .* \(2, 21\) instead of \(2, 20\)"),
    ],
)
def test_adapter_of_another_model(tmp_path, edit, message):
    model, _ = written(tmp_path)
    edit_weights(tmp_path, edit)
    with pytest.raises(InputError, match=f"an adapter of another model: {message}"):
        read_adapter(tmp_path, model)


def test_all_shapes_of_another_model_are_counted(tmp_path):
    written(tmp_path)
    config = tiny_config(num_layers=2, hidden_size=16, intermediate_size=24)
    larger, _ = random_model(config, NAMES)
    # A of q_proj, A and B of down_proj, in two layers (q_proj's B has num_heads·H rows)
    with pytest.raises(InputError, match="another model: 6 tensors do not fit"):
        read_adapter(tmp_path, larger)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_numbers_that_are_not_finite(tmp_path, bad):
    model, _ = written(tmp_path)

    def edit(tensors):
        tensors[sorted(tensors)[-1]][0, 0] = bad
        return tensors

    edit_weights(tmp_path, edit)
    with pytest.raises(InputError, match=r"q_proj\.lora_B' has 1 numbers that are NaN"):
        read_adapter(tmp_path, model)


def test_missing_and_truncated_weights(tmp_path):
    model, _ = written(tmp_path)
    path = tmp_path / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="damaged or truncated"):
        read_adapter(tmp_path, model)
    path.unlink()
    with pytest.raises(InputError, match=r"adapter_model\.safetensors: no such file"):
        read_adapter(tmp_path, model)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, LoraSettings(4, 8.0, ("q_proj", "v_proj"))),
        ({"r": 3, "lora_alpha": 2.5, "use_rslora": True},
         LoraSettings(3, 2.5, ("q_proj", "v_proj"), True)),
        ({"target_modules": "x.*"}, LoraSettings(4, 8.0, ("x.*",))),
        # the order of PEFT's sets is not fixed
        ({"target_modules": ["v_proj", "q_proj"]},
         LoraSettings(4, 8.0, ("q_proj", "v_proj"))),
        ({"init_lora_weights": "gaussian", "lora_dropout": 0.1, "task_type": "X"},
         LoraSettings(4, 8.0, ("q_proj", "v_proj"))),
        # what an older PEFT does not write
        ({"use_rslora": ..., "use_dora": ..., "bias": ..., "init_lora_weights": ...},
         LoraSettings(4, 8.0, ("q_proj", "v_proj"))),
    ],
)  # fmt: skip
def test_settings(tmp_path, changes, expected):
    assert read_adapter_settings(edit_config(tmp_path, **changes)) == expected


def test_all_linear_settings_of_real_peft():
    found = read_adapter_settings(GOLDEN / "adapters" / "all_linear_rslora")
    assert found == LoraSettings(3, 5.0, tuple(sorted(LAYER_MATRICES)), True)
    assert found.scale == 5 / 3**0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"use_dora": True}, "not supported: use_dora=True"),
        ({"modules_to_save": ["lm_head"]}, r"supported: modules_to_save=\['lm_head'\]"),
        ({"rank_pattern": {"q_proj": 2}}, "not supported: rank_pattern="),
        ({"alpha_pattern": {"q_proj": 2}}, "not supported: alpha_pattern="),
        ({"bias": "all"}, "not supported: bias='all'"),
        ({"fan_in_fan_out": True}, "not supported: fan_in_fan_out=True"),
        ({"layers_to_transform": [0]}, "not supported: layers_to_transform="),
        ({"layers_to_transform": 0}, "not supported: layers_to_transform=0"),
        ({"of_tomorrow": 1.5}, "not supported: of_tomorrow=1.5"),
        ({"use_dora": True, "lora_bias": True}, "lora_bias=True, use_dora=True"),
        ({"init_lora_weights": "pissa"}, "init_lora_weights='pissa' changes the base"),
        ({"init_lora_weights": "olora"}, "init_lora_weights='olora' changes the base"),
        ({"peft_type": "IA3"}, "peft_type 'IA3' is not supported, only LORA"),
        ({"peft_type": ...}, "missing or incomplete.*peft_type"),
        ({"r": ...}, "missing or incomplete.*'r'"),
        ({"r": 0}, r"json: lora\.rank 0: expected at least 1"),
        ({"r": "four"}, "'r' must be int, got 'four'"),
        ({"r": 4.5}, "'r' must be int, got 4.5"),
        ({"r": None}, "'r' must be int, got None"),
        ({"lora_alpha": "x"}, "'lora_alpha' must be .*, got 'x'"),
        ({"lora_alpha": None}, "'lora_alpha' must be .*, got None"),
        ({"use_rslora": "no"}, "'use_rslora' must be bool, got 'no'"),
        ({"target_modules": []}, r"json: lora\.targets: expected at least one"),
        ({"target_modules": None}, "'target_modules' must be .*, got None"),
        ({"target_modules": [1]}, r"'target_modules' must be .*, got \[1\]"),
        ({"target_modules": {"q_proj": 1}}, "'target_modules' must be .*, got {"),
    ],
)
def test_refused_settings(tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        read_adapter_settings(edit_config(tmp_path, **changes))


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"3", b'{"a": "\xff"}'])
def test_damaged_settings(tmp_path, content):
    if content is not None:
        (tmp_path / CONFIG).write_bytes(content)
    with pytest.raises(InputError, match=r"adapter .*missing or incomplete.*LoRA"):
        read_adapter_settings(tmp_path)


def test_files_that_decide(tmp_path):
    shutil.copytree(DEFAULT, tmp_path, dirs_exist_ok=True)
    (tmp_path / "README.md").touch()
    assert adapter_files(tmp_path) == [tmp_path / CONFIG, tmp_path / WEIGHTS]
    (tmp_path / WEIGHTS).unlink()
    assert adapter_files(tmp_path) == [tmp_path / CONFIG]


def test_adapted_head_is_read_back(tmp_path):
    model, theta = written(tmp_path, SETTINGS["head"])
    found = read_adapter(tmp_path, model)
    state = jax.random.normal(jax.random.key(0), (3, 12))
    plain = jax.tree.map(np.zeros_like, theta)
    assert (model.logits(found, state) == model.logits(theta, state)).all()
    assert not np.allclose(model.logits(found, state), model.logits(plain, state))


def test_a_model_without_lora_has_no_adapter(tmp_path):
    model, theta = random_model(tiny_config(num_layers=1), None)
    with pytest.raises(ValueError, match="write_full_model"):
        write_adapter(tmp_path / "adapter", theta, model, "owner/base")
    assert not (tmp_path / "adapter").exists()
