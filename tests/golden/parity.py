"""How far this package is from transformers and PEFT on one golden folder."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from safetensors import safe_open
from safetensors.numpy import load_file

from ntkjax.checkpoints.adapter import read_adapter, read_adapter_settings
from ntkjax.checkpoints.loading import load_model
from ntkjax.devices.precision import full_precision
from ntkjax.models.lora import LoraSettings


GOLDEN = Path(__file__).parent

# Both sides round to float32. Measured: 7e-6 at most for hidden states and logits, 1e-5
# for logits with an adapter, 2e-5 for gradients. Every setting of the variants moves
# the logits by 1e-4 or more.
TOLERANCES = {
    "hidden": 3e-5,
    "logits": 3e-5,
    "adapted_logits": 3e-5,
    "gradients": 1e-4,
}


def folders() -> dict[str, list[Path]]:
    """The golden checkpoints by family (`model_type`)."""
    found = {"llama": sorted((GOLDEN / "llama").iterdir())}
    for family in sorted((GOLDEN / "families").iterdir()):
        found[family.name] = found.get(family.name, []) + sorted(family.iterdir())
    return found


def errors(folder: Path) -> dict[str, float]:
    """The largest relative error of everything that the folder holds.

    Args:
        folder: With `config.json`, `model.safetensors`, `expected.safetensors` and
            perhaps `adapter/`.

    Returns:
        max|Δ| / max|expected| of `hidden` and `logits` at real positions, and of
        `adapted_logits` and `gradients` (the worst matrix) where there is an adapter.
    """
    expected = load_file(folder / "expected.safetensors")
    tokens, lengths = expected["tokens"], expected["lengths"]
    real = np.arange(tokens.shape[1])[None, :] < lengths[:, None]
    adapter = folder / "adapter"
    adapted = adapter.is_dir()
    lora = read_adapter_settings(adapter) if adapted else LoraSettings(rank=2)
    model = load_model(folder, lora)
    zero = {name: jnp.zeros(shape) for name, shape in model.theta_shapes.items()}
    with full_precision():
        forward = jax.jit(hidden_and_logits)
        hidden, logits = forward(model, zero, tokens)
        found = {"hidden": hidden, "logits": logits}
        if adapted:
            theta = read_adapter(adapter, model)
            found["adapted_logits"] = forward(model, theta, tokens)[1]
        result = {
            name: distance(np.asarray(array)[real], expected[name][real])
            for name, array in found.items()
        }
        if adapted:
            gradients = jax.jit(_gradients)(model, theta, expected["examples"])
            result["gradients"] = _worst(gradients, expected)
    return result


def reference_versions(folder: Path) -> dict[str, str]:
    """The versions of the packages that computed what is expected."""
    with safe_open(folder / "expected.safetensors", "np") as file:
        return json.loads(file.metadata()["versions"])


def distance(found, expected) -> float:
    """max|Δ| / max|expected|."""
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape, (found.shape, expected.shape)
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def hidden_and_logits(model, theta, tokens):
    """Of a batch [n, T]: [n, T, d] and [n, T, V]."""
    hidden = jax.vmap(lambda row: model.hidden(theta, row))(tokens)
    return hidden, jax.vmap(lambda row: model.logits(theta, row))(hidden)


def _gradients(model, theta, tokens):
    """Of Σ_v Σ_t logits[t, v] / T, one [n, *shape] for each matrix."""

    def summed(theta, row):
        return model.logits(theta, model.hidden(theta, row)).mean(axis=0).sum()

    return jax.vmap(jax.grad(summed), (None, 0))(theta, tokens)


def _worst(gradients, expected) -> float:
    names = {name for name in expected if name.startswith("base_model.")}
    found = {f"base_model.model.{name}.weight": g for name, g in gradients.items()}
    assert found.keys() == names, sorted(found.keys() ^ names)
    return max(distance(found[name], expected[name]) for name in names)
