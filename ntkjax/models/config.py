"""What a decoder is made of: the settings that its forward pass reads.

Every field is read by `ntkjax.models.decoder` or `ntkjax.models.rope`; a test perturbs
each one and sees the output move. `ntkjax.checkpoints.families.table` fills them from a
Hugging Face `config.json`. The defaults are those of Llama.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class LinearScaling:
    """All positions divided by `factor` (`rope_type: linear`)."""

    factor: float


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
class YarnScaling:
    """Frequency scaling of YaRN (`rope_type: yarn`; arXiv 2309.00071, section 3).

    Dimensions that turn more than `beta_fast` times in `original_max_positions` are
    kept, those that turn less than `beta_slow` times are stretched by `factor`, and the
    ones between are interpolated by their index. `truncate` rounds the two borders
    outward to whole dimensions. Cosine and sine are multiplied by `attention_factor`.
    """

    factor: float
    beta_fast: float
    beta_slow: float
    original_max_positions: int
    attention_factor: float
    truncate: bool


Scaling = LinearScaling | Llama3Scaling | YarnScaling


@dataclass(frozen=True)
class Rotary:
    """Rotary position embedding: base of the frequencies, and how they are scaled."""

    theta: float
    scaling: Scaling | None = None


@dataclass(frozen=True)
class LayerKind:
    """What may differ from layer to layer.

    Attributes:
        rotary: Rotation of queries and keys; None for a layer without positions.
        window: How many positions a query sees, its own included; None for all.
    """

    rotary: Rotary | None
    window: int | None = None


@dataclass(frozen=True)
class DecoderConfig:
    """A decoder of the Llama, Mistral, Qwen and Gemma families.

    `num_kv_heads` key/value heads are shared by `num_heads` query heads of `head_dim`
    numbers each; `num_heads * head_dim` need not equal `hidden_size`.

    Attributes:
        layers: One kind for each layer.
        qkv_bias: Whether queries, keys and values have biases.
        output_bias: Whether the attention's output has one.
        qk_norm: Whether each head's query and key are normed before the rotation.
        attention_scale: Factor of q·k; None for 1/√head_dim.
        attention_softcap: c in c·tanh(score / c); None for plain scores.
        final_softcap: The same for logits; then they are not linear in h.
        embedding_scale: Factor of the embedded tokens, rounded to their type.
        unit_offset: Whether norms multiply by 1 + w in place of w.
        post_norms: Whether what attention and feed-forward add is normed once more.
    """

    vocab_size: int
    hidden_size: int
    intermediate_size: int
    layers: tuple[LayerKind, ...]
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_positions: int
    norm_eps: float
    activation: str
    tie_embeddings: bool
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    attention_scale: float | None = None
    attention_softcap: float | None = None
    final_softcap: float | None = None
    embedding_scale: float = 1.0
    unit_offset: bool = False
    post_norms: bool = False
