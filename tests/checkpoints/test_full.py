"""All weights as θ: in, out, and what they compute."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from ntkjax.checkpoints import full as module
from ntkjax.checkpoints.full import full_theta, write_full_model
from ntkjax.checkpoints.loading import load_model
from ntkjax.errors import InputError
from ntkjax.models.lora import LoraSettings
from tests.checkpoints.files import PLAIN, config_json, plain_tensors, write_plain


TOKENS = jnp.arange(6, dtype=jnp.int32)
OTHER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def source(folder, **config):
    """A checkpoint with other files beside it, some of them of its weights."""
    folder.mkdir()
    write_plain(folder, **config)
    for name in OTHER_FILES:
        (folder / name).write_text("{}")
    for name in ("model.safetensors.index.json", "adapter_config.json", "README.md"):
        (folder / name).write_text("{}")
    return folder


def moved(model) -> dict:
    theta = full_theta(model)
    rng = np.random.default_rng(0)
    return {
        name: leaf + jnp.asarray(0.1 * rng.normal(size=leaf.shape), jnp.float32)
        for name, leaf in theta.items()
    }


def logits(model, theta):
    return model.logits(theta, model.hidden(theta, TOKENS))


def test_theta_is_every_weight():
    model = load_model(PLAIN, None)
    theta, stored = full_theta(model), plain_tensors()
    assert list(theta) == list(model.theta_shapes)
    assert theta.keys() == stored.keys()
    for name, array in stored.items():
        np.testing.assert_array_equal(theta[name], array)


def test_theta_is_float32_whatever_the_model_is():
    theta = full_theta(load_model(PLAIN, None, jnp.bfloat16))
    assert {leaf.dtype for leaf in theta.values()} == {np.dtype(np.float32)}


def test_a_model_with_lora_is_refused():
    with pytest.raises(ValueError, match="load it without"):
        full_theta(load_model(PLAIN, LoraSettings(2)))


@pytest.mark.slow
@pytest.mark.parametrize("tied", [False, True])
def test_written_and_read_again_is_the_same(tmp_path, tied):
    head = {"lm_head.weight": ...} if tied else {}
    folder = source(tmp_path / "source", tie_word_embeddings=tied)
    write_plain(folder, plain_tensors(**head), tie_word_embeddings=tied)
    (folder / "model.safetensors.index.json").unlink()
    model = load_model(folder, None)
    theta = moved(model)
    out = tmp_path / "runs" / "model"
    write_full_model(out, theta, folder)
    again = load_model(out, None)
    for name, leaf in theta.items():
        np.testing.assert_array_equal(again.frozen[name], leaf)
    np.testing.assert_array_equal(
        logits(again, full_theta(again)), logits(model, theta)
    )
    # The same model as a base of adapters.
    adapted = load_model(out, LoraSettings(2))
    zeros = {name: jnp.zeros(shape) for name, shape in adapted.theta_shapes.items()}
    np.testing.assert_allclose(
        logits(adapted, zeros), logits(model, theta), rtol=1e-6, atol=1e-6
    )
    assert {path.name for path in out.iterdir()} == {
        "config.json",
        "model.safetensors",
        *OTHER_FILES,
    }


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"dtype": "bfloat16"}, {"dtype": "float32"}),
        ({"torch_dtype": "float16"}, {"torch_dtype": "float32"}),
        (
            {"dtype": "bfloat16", "torch_dtype": "bfloat16"},
            {"dtype": "float32", "torch_dtype": "float32"},
        ),
        ({}, {"torch_dtype": "float32"}),
    ],
)
def test_config_names_the_type_of_the_weights(tmp_path, before, after):
    absent = {"dtype": ..., "torch_dtype": ...}
    config = absent | before
    folder = source(tmp_path / "source", **config)
    write_full_model(tmp_path / "model", full_theta(load_model(PLAIN, None)), folder)
    found = json.loads((tmp_path / "model" / "config.json").read_text())
    assert found == config_json(**absent) | after


def test_weights_may_be_stored_in_half(tmp_path):
    model = load_model(PLAIN, None)
    out = tmp_path / "model"
    write_full_model(out, full_theta(model), PLAIN, jnp.bfloat16)
    config = json.loads((out / "config.json").read_text())
    assert "bfloat16" in (config.get("dtype"), config.get("torch_dtype"))
    again = load_model(out, None)
    for name, leaf in model.frozen.items():
        rounded = leaf.astype(jnp.bfloat16).astype(jnp.float32)
        np.testing.assert_array_equal(again.frozen[name], rounded)


def test_a_folder_of_before_is_replaced(tmp_path):
    out = tmp_path / "model"
    for place in (out, tmp_path / ".model.partial"):
        place.mkdir()
        (place / "old.json").write_text("{}")
    write_full_model(out, full_theta(load_model(PLAIN, None)), PLAIN)
    assert not (out / "old.json").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_what_fails_leaves_the_folder_of_before(tmp_path, monkeypatch):
    theta = full_theta(load_model(PLAIN, None))
    out = tmp_path / "model"
    write_full_model(out, theta, PLAIN)
    before = load_file(out / "model.safetensors")

    def full(*arguments):
        raise OSError(28, "No space left on device")

    bad = {**theta, "model.norm.weight": theta["model.norm.weight"] * jnp.inf}
    with pytest.raises(InputError, match=r"model\.norm\.weight.* NaN or infinite"):
        write_full_model(out, bad, PLAIN)
    monkeypatch.setattr(module, "write_bytes", full)
    with pytest.raises(InputError, match="disk is full"):
        write_full_model(out, moved(load_model(PLAIN, None)), PLAIN)
    after = load_file(out / "model.safetensors")
    assert all((after[name] == array).all() for name, array in before.items())
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
