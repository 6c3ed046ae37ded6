import jax.numpy as jnp

from ntkjax.checkpoints.embedded import EMBEDDED_MODEL
from ntkjax.checkpoints.loading import load_model
from ntkjax.models.lora import LoraSettings


def test_the_embedded_model_is_small_and_loads():
    weights = EMBEDDED_MODEL / "model.safetensors"
    assert weights.stat().st_size < 4_000_000
    model = load_model(EMBEDDED_MODEL, LoraSettings(rank=2))
    size = sum(leaf.size for leaf in model.frozen.values())
    assert 1_000_000 < size < 3_000_000
    assert all(jnp.isfinite(leaf).all() for leaf in model.frozen.values())
