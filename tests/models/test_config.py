"""Every field of the config is read: perturb it, and the logits move."""

import dataclasses
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.models.config import DecoderConfig, Llama3Scaling
from ntkjax.models.language_model import LanguageModel, split_model
from tests.problems import RANK_TWO, tiny_config


TOKENS = jnp.arange(20, dtype=jnp.int32) % 40

# Frequencies 1 and 0.1 turn 6.4 and 0.64 times in 40 positions: the first lies above
# high_freq_factor and is kept, the second lies between the factors.
SCALING = Llama3Scaling(
    factor=4.0, low_freq_factor=0.5, high_freq_factor=5.0, original_max_positions=40
)

# Sizes stay below 64, see `weights_by_name`.
CHANGES = {
    "vocab_size": 41,
    "hidden_size": 14,
    "intermediate_size": 21,
    "num_layers": 3,
    "num_heads": 2,
    "num_kv_heads": 1,
    "head_dim": 6,
    "max_positions": len(TOKENS) - 1,
    "norm_eps": 1e-2,
    "rope_theta": 50.0,
    "rope_scaling": SCALING,
    "activation": "relu",
    "attention_bias": True,
    "mlp_bias": True,
    "tie_embeddings": True,
}
SCALING_CHANGES = {
    "factor": 8.0,
    "low_freq_factor": 0.6,
    "high_freq_factor": 4.0,
    "original_max_positions": 44,
}
# The smallest effect is 0.08 (of high_freq_factor); float32 rounds to 1e-6.
MOVED = 0.01


def weights_by_name(shapes) -> dict:
    """Each tensor is the corner of a large one that depends on its name alone, so that
    configs of different sizes share all the weights they can."""
    weights = {}
    for name, leaf in shapes.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        large = rng.normal(size=(64,) * len(leaf.shape))
        corner = large[tuple(slice(size) for size in leaf.shape)]
        weights[name] = jnp.asarray(0.3 * corner, jnp.float32)
    return weights


def logits(config: DecoderConfig):
    graphdef, theta, shapes = split_model(config, RANK_TWO)
    model = LanguageModel(config, RANK_TWO, graphdef, weights_by_name(shapes))
    theta = weights_by_name(theta)
    run = jax.jit(lambda m, theta, row: m.logits(theta, m.hidden(theta, row)))
    return np.asarray(run(model, theta, TOKENS))


def moved(before, after) -> bool:
    if before.shape != after.shape:
        return True
    return np.abs(after - before).max() > MOVED * np.abs(before).max()


@pytest.fixture(scope="module")
def unchanged():
    return logits(tiny_config())


@pytest.fixture(scope="module")
def unchanged_scaled():
    return logits(tiny_config(rope_scaling=SCALING))


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(DecoderConfig)])
def test_every_field_moves_the_logits(name, unchanged):
    config = tiny_config(**{name: CHANGES[name]})
    if name == "max_positions":
        with pytest.raises(InputError, match=r"20 tokens, but the model has .* 19"):
            logits(config)
        return
    after = logits(config)
    assert moved(unchanged, after)
    # Only the vocabulary may show as another shape; all else must change the numbers.
    assert (after.shape == unchanged.shape) == (name != "vocab_size")


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Llama3Scaling)])
def test_every_field_of_the_scaling_moves_the_logits(name, unchanged_scaled):
    scaling = dataclasses.replace(SCALING, **{name: SCALING_CHANGES[name]})
    assert moved(unchanged_scaled, logits(tiny_config(rope_scaling=scaling)))


def test_an_equal_config_gives_equal_logits(unchanged):
    assert (logits(tiny_config()) == unchanged).all()
