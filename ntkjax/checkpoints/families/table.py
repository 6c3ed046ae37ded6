"""Config keys of Hugging Face: every one is used, harmless, or refused by name.

A checkpoint whose config says something that this decoder does not do must not load:
wrong numbers would follow in silence. So each key of the file is either read below, or
listed as harmless (it cannot change the logits), or named in an error.

A family is a function of `ntkjax.checkpoints.families.family_keys` and a row of
`FAMILIES`.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntkjax.checkpoints.families import family_keys
from ntkjax.checkpoints.families.config_keys import NUMBER, Keys
from ntkjax.errors import InputError, setting
from ntkjax.models.config import DecoderConfig


@dataclass(frozen=True)
class Family:
    """How the config of one `model_type` is read.

    Attributes:
        architecture: The only class name that is accepted.
        read: Fields of the decoder beyond those of `_shape`, which it is given.
        positions: Of a file that does not say how many there are.
        head_dim: Of a file without one; None for hidden_size / num_attention_heads.
    """

    architecture: str
    read: Callable[[Keys, dict[str, Any]], dict[str, Any]]
    positions: int
    head_dim: int | None = None


@dataclass(frozen=True)
class ModelConfig:
    """The architecture, and the special tokens that templates need."""

    decoder: DecoderConfig
    bos_id: int | None
    eos_id: int | None


FAMILIES = {
    "gemma2": Family("Gemma2ForCausalLM", family_keys.gemma2, 8192, head_dim=256),
    "gemma3_text": Family(
        "Gemma3ForCausalLM", family_keys.gemma3, 131_072, head_dim=256
    ),
    "llama": Family("LlamaForCausalLM", family_keys.llama, 2048),
    "mistral": Family("MistralForCausalLM", family_keys.mistral, 131_072),
    "qwen2": Family("Qwen2ForCausalLM", family_keys.qwen2, 32_768),
    "qwen3": Family("Qwen3ForCausalLM", family_keys.qwen3, 32_768, head_dim=128),
    "smollm3": Family("SmolLM3ForCausalLM", family_keys.smollm3, 32_768),
}


def read_config(folder: Path) -> ModelConfig:
    """The architecture and special tokens of a checkpoint folder.

    Raises:
        InputError: If the file is missing or no JSON object, the `model_type` is not
            supported, a key is unknown or missing, or a value is of the wrong kind.
    """
    path = folder / "config.json"
    try:
        raw = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise InputError(
            f"{folder} has no config.json: {setting('model')} needs a Hugging Face "
            "model folder."
        ) from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}.") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(raw).__name__}.")
    model_type = raw.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        hint = ""
        if f"{model_type}_text" in FAMILIES:
            hint = (
                f" {model_type} reads images, too; its text model alone is "
                f"{model_type}_text."
            )
        raise InputError(
            f"{path}: model_type {model_type!r} is not supported; supported are: "
            f"{', '.join(sorted(FAMILIES))}.{hint}"
        )
    family, keys = FAMILIES[model_type], Keys(path, raw)
    keys.take("model_type", str)
    expected = family.architecture
    names = keys.take("architectures", list, [expected])
    if names != [expected]:
        raise keys.error(f"architectures is {names}, but only {expected} can be read")
    shape = _shape(keys, family)
    decoder = DecoderConfig(**shape, **family.read(keys, shape))
    bos_id, eos_id = _token_id(keys, "bos_token_id"), _token_id(keys, "eos_token_id")
    keys.done()
    return ModelConfig(decoder, bos_id, eos_id)


def _shape(keys: Keys, family: Family) -> dict[str, Any]:
    """The fields that every family has."""
    hidden_size = keys.positive("hidden_size")
    num_heads = keys.positive("num_attention_heads")
    num_kv_heads = keys.positive("num_key_value_heads", num_heads)
    if num_heads % num_kv_heads:
        raise keys.error(
            f"num_attention_heads={num_heads} is no multiple of "
            f"num_key_value_heads={num_kv_heads}"
        )
    head_dim = keys.take("head_dim", int, family.head_dim)
    if head_dim is None and hidden_size % num_heads:
        raise keys.error(
            f"hidden_size={hidden_size} is no multiple of "
            f"num_attention_heads={num_heads}, and there is no head_dim"
        )
    head_dim = hidden_size // num_heads if head_dim is None else head_dim
    if head_dim < 2 or head_dim % 2:
        raise keys.error(f"{head_dim=} must be even and positive")
    return {
        "vocab_size": keys.positive("vocab_size"),
        "hidden_size": hidden_size,
        "intermediate_size": keys.positive("intermediate_size"),
        "num_heads": num_heads,
        "num_kv_heads": num_kv_heads,
        "head_dim": head_dim,
        "max_positions": keys.positive("max_position_embeddings", family.positions),
        "norm_eps": float(keys.take("rms_norm_eps", NUMBER, 1e-6)),
    }


def _token_id(keys: Keys, key: str) -> int | None:
    """One token id; of several ends of text (chat models list them) the first."""
    value = keys.take(key, (int, list), None)
    if not isinstance(value, list):
        return value
    if not all(type(one) is int for one in value):
        raise keys.error(f"key {key!r} must list int, got {value!r}")
    return value[0] if value else None
