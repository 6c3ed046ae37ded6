"""This package against transformers, PEFT and neural-tangents (README.md beside it)."""

import shutil

import jax
import jax.numpy as jnp
import pytest
from safetensors.numpy import load_file

from ntkjax.checkpoints.adapter import read_adapter, read_adapter_settings
from ntkjax.checkpoints.families.table import read_config
from ntkjax.checkpoints.loading import load_model
from ntkjax.data.batches import Batch
from ntkjax.gradients.gram import gram
from ntkjax.models.lora import LoraSettings
from ntkjax.outputs.pooled import PooledLogits
from tests.golden.parity import GOLDEN, distance, errors
from tests.oracles import to_float64


VARIANTS = sorted(path.parent.name for path in GOLDEN.glob("llama/*/config.json"))
ADAPTERS = sorted(path.parent.name for path in GOLDEN.glob("adapters/*/*.json"))

# Both sides round to float32; measured: up to 3e-6 for logits and kernels, 8e-6 for
# gradients.
FLOAT32, FLOAT32_GRADIENT = 1e-5, 5e-5
FLOAT64 = 1e-12


def load_adapted(name):
    """`llama/plain` with an adapter, and what PEFT computes with it."""
    folder = GOLDEN / "adapters" / name
    model = load_model(GOLDEN / "llama" / "plain", read_adapter_settings(folder))
    expected = load_file(folder / "expected.safetensors")
    return model, read_adapter(folder, model), expected


@pytest.mark.slow
@pytest.mark.parametrize("variant", VARIANTS)
def test_decoder_agrees_with_transformers(variant):
    found = errors(GOLDEN / "llama" / variant)
    assert found.keys() == {"hidden", "logits"}
    assert max(found.values()) < FLOAT32


def test_both_spellings_of_rotary_settings_are_the_same_model(tmp_path):
    folder = GOLDEN / "llama" / "llama3_rope"
    shutil.copy(folder / "config_legacy.json", tmp_path / "config.json")
    assert read_config(tmp_path) == read_config(folder)


def test_shards_hold_the_same_model():
    one, many = (
        load_model(GOLDEN / "llama" / name, LoraSettings(rank=2)).frozen
        for name in ("plain", "sharded")
    )
    assert one.keys() == many.keys()
    assert all((one[name] == many[name]).all() for name in one)


@pytest.mark.slow
@pytest.mark.parametrize("name", ADAPTERS)
def test_adapter_agrees_with_peft(name):
    model, theta, expected = load_adapted(name)

    def logits(theta, row):
        return model.logits(theta, model.hidden(theta, row))

    summed = lambda theta, row: logits(theta, row).mean(axis=0).sum()
    tokens = expected.pop("tokens")
    found = jax.jit(jax.vmap(lambda row: logits(theta, row)))(tokens)
    assert distance(found, expected.pop("logits")) < FLOAT32

    gradients = jax.jit(jax.vmap(jax.grad(summed), (None, 0)))(theta, tokens)
    assert expected.keys() == {f"base_model.model.{key}.weight" for key in theta}
    for key, gradient in gradients.items():
        peft_name = f"base_model.model.{key}.weight"
        assert distance(gradient, expected[peft_name]) < FLOAT32_GRADIENT, key


@pytest.mark.slow
@pytest.mark.usefixtures("x64")
def test_mlp_kernels_agree_with_neural_tangents():
    expected = to_float64(load_file(GOLDEN / "neural_tangents" / "mlp.safetensors"))
    x, y, full, traced = (expected.pop(key) for key in ("x", "y", "full", "traced"))

    def mlp(w, row):
        row = jnp.tanh(row @ w["w0"] + w["b0"])
        return jnp.tanh(row @ w["w1"] + w["b1"]) @ w["w2"] + w["b2"]

    assert distance(gram(mlp, outputs="full")(expected, x, y), full) < FLOAT64
    assert distance(gram(mlp)(expected, x, y), traced) < FLOAT64


@pytest.mark.slow
def test_language_model_kernel_agrees_with_neural_tangents():
    expected = load_file(GOLDEN / "neural_tangents" / "lm.safetensors")
    model, theta, _ = load_adapted("default")
    xs, ys = (
        Batch(
            jnp.asarray(expected[side]),
            jnp.ones(expected[side].shape, bool),
            jnp.asarray(expected[f"weights_{side}"]),
        )
        for side in ("x", "y")
    )
    found = jax.jit(gram(PooledLogits(model, model.config.vocab_size)))(theta, xs, ys)
    assert distance(found, expected["traced"]) < FLOAT32
