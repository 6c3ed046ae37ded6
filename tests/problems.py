"""Small problems that several test files share."""

import jax
import jax.numpy as jnp
import numpy as np

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.models.config import DecoderConfig, LayerKind, Rotary
from ntkjax.models.language_model import LanguageModel, split_model
from ntkjax.models.lora import LoraSettings


def mlp(num_outputs: int = 3, seed: int = 0):
    """A plain tanh network f(θ, x), its θ, and a function that draws inputs."""
    rng = np.random.default_rng(seed)
    theta = {
        "first": jnp.asarray(rng.normal(size=(4, 8)), jnp.float32),
        "bias": jnp.asarray(rng.normal(size=8), jnp.float32),
        "second": jnp.asarray(rng.normal(size=(8, num_outputs)), jnp.float32),
    }

    def draw(n: int):
        return jnp.asarray(rng.normal(size=(n, 4)), jnp.float32)

    return _tanh_network, theta, draw


def _tanh_network(theta, x):
    """One function for all, so that what is jitted for it is compiled once."""
    return jnp.tanh(x @ theta["first"] + theta["bias"]) @ theta["second"]


def random_like(tree, key, leading: tuple[int, ...] = ()):
    """Normal numbers with the structure of `tree` and more leading axes.

    Drawn by NumPy: JAX would compile a program for each shape.
    """
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))

    def draw(leaf):
        return jnp.asarray(rng.normal(size=(*leading, *leaf.shape)), leaf.dtype)

    return jax.tree.map(draw, tree)


def tiny_config(num_layers=1, theta=100.0, scaling=None, **changes) -> DecoderConfig:
    """A decoder small enough for dense Jacobians.

    One layer compiles in half the time of two; tests that are about layers ask for two.
    """
    layer = LayerKind(Rotary(theta, scaling))
    fields = {
        "layers": (layer,) * num_layers,
        "vocab_size": 40,
        "hidden_size": 12,
        "intermediate_size": 20,
        "num_heads": 4,
        "num_kv_heads": 2,
        "head_dim": 4,
        "max_positions": 64,
        "norm_eps": 1e-4,
        "activation": "silu",
        "tie_embeddings": False,
    }
    return DecoderConfig(**(fields | changes))


RANK_TWO = LoraSettings(rank=2, targets=("q_proj", "down_proj"))
"""One matrix of the attention and one of the feed-forward layer: programs with all
seven take twice as long to compile. Tests that are about the others ask for them."""


def random_model(config: DecoderConfig, lora: LoraSettings = RANK_TWO, seed: int = 0):
    """A model with random weights, and θ with A and B both random."""
    graphdef, theta_shapes, shapes = split_model(config, lora)
    rng = np.random.default_rng(seed)

    def draw(leaf):
        scale = leaf.shape[-1] ** -0.5 if len(leaf.shape) == 2 else 0.3
        offset = 0.0 if len(leaf.shape) == 2 else 1.0
        return jnp.asarray(offset + scale * rng.normal(size=leaf.shape), jnp.float32)

    frozen = {name: draw(leaf) for name, leaf in shapes.items()}
    theta = {name: draw(leaf) for name, leaf in theta_shapes.items()}
    return LanguageModel(config, lora, graphdef, frozen), theta


def random_examples(n: int, vocab_size: int = 40, seed: int = 1, longest: int = 9):
    """Tokenized examples of different lengths, the second part being targets."""
    rng = np.random.default_rng(seed)
    examples = []
    for index in range(n):
        length = int(rng.integers(4, longest + 1))
        tokens = rng.integers(0, vocab_size, length).astype(np.int32)
        targets = np.arange(length) >= length // 2
        examples.append(TokenizedExample(str(index), tokens, targets, False))
    return examples
