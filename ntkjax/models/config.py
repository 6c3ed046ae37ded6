"""What a decoder is made of: the settings that its forward pass reads.

Every field is read by `ntkjax.models.decoder` or `ntkjax.models.rope`; a test perturbs
each one and sees the output move. `ntkjax.models.families` fills them from a Hugging
Face `config.json`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Llama3Scaling:
    """Frequency scaling of Llama 3.1 and later (`rope_type: llama3`).

    Wavelengths longer than `original_max_positions / low_freq_factor` are stretched by
    `factor`, those shorter than `original_max_positions / high_freq_factor` are kept,
    and the ones between are interpolated.
    """

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_positions: int


@dataclass(frozen=True)
class DecoderConfig:
    """A decoder of the Llama family.

    `num_kv_heads` key/value heads are shared by `num_heads` query heads of `head_dim`
    numbers each; `num_heads * head_dim` need not equal `hidden_size`.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_positions: int
    norm_eps: float
    rope_theta: float
    rope_scaling: Llama3Scaling | None
    activation: str
    attention_bias: bool
    mlp_bias: bool
    tie_embeddings: bool
