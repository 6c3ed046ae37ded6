"""Random decoders and random texts: what is known about them, we put there."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.models.config import DecoderConfig, LayerKind, Rotary
from ntkjax.models.language_model import LanguageModel, split_model
from ntkjax.models.lora import LoraSettings, initial_theta


B_DEVIATION = 0.05
"""Standard deviation of B where B ≠ 0."""


def random_decoder(
    width: int,
    vocab_size: int,
    lora: LoraSettings,
    seed: int,
    *,
    num_layers: int = 2,
    max_positions: int = 64,
) -> LanguageModel:
    """A decoder of `width` d, a multiple of 16, with independent normal weights.

    Rows of the embedding have variance 1, matrices 1/in, norms are 1.
    """
    config = DecoderConfig(
        vocab_size=vocab_size,
        hidden_size=width,
        intermediate_size=2 * width,
        layers=(LayerKind(Rotary(10_000.0)),) * num_layers,
        num_heads=4,
        num_kv_heads=2,
        head_dim=width // 4,
        max_positions=max_positions,
        norm_eps=1e-5,
        activation="silu",
        tie_embeddings=False,
    )
    graphdef, _, shapes = split_model(config, lora)
    rng = np.random.default_rng([seed, width])

    def draw(name: str, shape: tuple[int, ...]) -> Array:
        if len(shape) == 1:
            return jnp.ones(shape, jnp.float32)
        scale = 1.0 if "embed" in name else shape[-1] ** -0.5
        return jnp.asarray(scale * rng.normal(size=shape), jnp.float32)

    frozen = {name: draw(name, leaf.shape) for name, leaf in sorted(shapes.items())}
    return LanguageModel(config, lora, graphdef, frozen)


def start(model: LanguageModel, seed: int, random_b: bool) -> dict[str, Array]:
    """θ of a fresh adapter, with B normal (deviation `B_DEVIATION`) or zero."""
    theta = initial_theta(model.theta_shapes, jax.random.key(seed))
    if not random_b:
        return theta
    rng = np.random.default_rng([seed, 1])
    return {
        name: jnp.asarray(B_DEVIATION * rng.normal(size=leaf.shape), jnp.float32)
        if name.endswith("lora_B")
        else leaf
        for name, leaf in theta.items()
    }


def random_texts(
    num: int, length: int, vocab_size: int, seed: int
) -> list[TokenizedExample]:
    """Uniform random tokens, the second half being targets."""
    rng = np.random.default_rng([seed, 2])
    targets = np.arange(length) >= length // 2
    return [
        TokenizedExample(
            str(i), rng.integers(0, vocab_size, length).astype(np.int32), targets, False
        )
        for i in range(num)
    ]
