"""Every field of the config is read: perturb it, and the logits move."""

import dataclasses
import functools
import zlib

import jax.numpy as jnp
import numpy as np
import pytest

from ntkjax.errors import InputError
from ntkjax.models.config import (
    DecoderConfig,
    LayerKind,
    LinearScaling,
    Llama3Scaling,
    Rotary,
    YarnScaling,
)
from ntkjax.models.language_model import LanguageModel, split_model
from tests.problems import RANK_TWO, tiny_config


TOKENS = jnp.arange(20, dtype=jnp.int32) % 40

# Frequencies 1 and 0.1 turn 6.4 and 0.64 times in 40 positions: the first lies above
# high_freq_factor and is kept, the second lies between the factors.
LLAMA3 = Llama3Scaling(
    factor=4.0, low_freq_factor=0.5, high_freq_factor=5.0, original_max_positions=40
)
# With four pairs the borders lie at 0.2 and 3.6 (0 and 4 when rounded).
YARN = YarnScaling(
    factor=4.0,
    beta_fast=5.0,
    beta_slow=0.1,
    original_max_positions=40,
    attention_factor=1.2,
    truncate=False,
)
LAYER = LayerKind(Rotary(100.0))

# Sizes stay below 128, see `weights_by_name`.
CHANGES = {
    "vocab_size": 41,
    "hidden_size": 14,
    "intermediate_size": 21,
    "layers": (LAYER,) * 3,
    "num_heads": 2,
    "num_kv_heads": 1,
    "head_dim": 6,
    "max_positions": len(TOKENS) - 1,
    "norm_eps": 1e-2,
    "activation": "relu",
    "tie_embeddings": True,
    "qkv_bias": True,
    "output_bias": True,
    "mlp_bias": True,
    "qk_norm": True,
    "attention_scale": 2.0,
    "attention_softcap": 0.5,
    "final_softcap": 1.0,
    "embedding_scale": 3.0,
    "unit_offset": True,
    "post_norms": True,
}
LAYER_CHANGES = {
    "no rotation": LayerKind(None),
    "window": LayerKind(LAYER.rotary, 5),
    "theta": LayerKind(Rotary(5.0)),
    "linear": LayerKind(Rotary(100.0, LinearScaling(2.0))),
    "llama3": LayerKind(Rotary(100.0, LLAMA3)),
    "yarn": LayerKind(Rotary(100.0, YARN)),
}
SCALING_CHANGES = [
    (LinearScaling(4.0), "factor", 8.0),
    (LLAMA3, "factor", 8.0),
    (LLAMA3, "low_freq_factor", 0.6),
    (LLAMA3, "high_freq_factor", 4.0),
    (LLAMA3, "original_max_positions", 44),
    (YARN, "factor", 8.0),
    (YARN, "beta_fast", 20.0),
    (YARN, "beta_slow", 0.3),
    (YARN, "original_max_positions", 80),
    (YARN, "attention_factor", 1.0),
    (YARN, "truncate", True),
]
# The smallest effects are 0.08, and 0.005 of a rotation in one layer alone; float32
# rounds to 1e-6.
MOVED = 1e-3


def weights_by_name(shapes) -> dict:
    """Each tensor is the corner of a large one that depends on its name alone, so that
    configs of different sizes share all the weights they can."""
    weights = {}
    for name, leaf in shapes.items():
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        large = rng.normal(size=(128,) * len(leaf.shape))
        corner = large[tuple(slice(size) for size in leaf.shape)]
        weights[name] = jnp.asarray(0.3 * corner, jnp.float32)
    return weights


@functools.cache  # many changes are compared with one config
def logits(config: DecoderConfig) -> np.ndarray:
    graphdef, theta, shapes = split_model(config, RANK_TWO)
    model = LanguageModel(config, RANK_TWO, graphdef, weights_by_name(shapes))
    theta = weights_by_name(theta)
    # Not compiled: each config runs once.
    return np.asarray(model.logits(theta, model.hidden(theta, TOKENS)))


def moved(before, after) -> bool:
    if before.shape != after.shape:
        return True
    return np.abs(after - before).max() > MOVED * np.abs(before).max()


@pytest.fixture(scope="module")
def unchanged():
    return logits(tiny_config())


@pytest.mark.slow
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


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYER_CHANGES)
def test_one_changed_layer_moves_the_logits(name, unchanged):
    for layers in ((LAYER_CHANGES[name], LAYER), (LAYER, LAYER_CHANGES[name])):
        assert moved(unchanged, logits(tiny_config(layers=layers)))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("scaling", "name", "value"),
    SCALING_CHANGES,
    ids=lambda value: getattr(type(value), "__name__", None),
)
def test_every_field_of_a_scaling_moves_the_logits(scaling, name, value):
    changed = dataclasses.replace(scaling, **{name: value})
    configs = [tiny_config(scaling=s, head_dim=8) for s in (scaling, changed)]
    before, after = map(logits, configs)
    assert moved(before, after)


def test_every_field_of_every_scaling_is_perturbed():
    perturbed = {(type(scaling), name) for scaling, name, _ in SCALING_CHANGES}
    kinds = (LinearScaling, Llama3Scaling, YarnScaling)
    assert perturbed == {(k, f.name) for k in kinds for f in dataclasses.fields(k)}


def test_an_equal_config_gives_equal_logits(unchanged):
    anew = logits.__wrapped__(tiny_config())
    assert (anew == unchanged).all()
