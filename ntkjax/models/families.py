"""Config keys of Hugging Face: every one is used, harmless, or refused by name.

A checkpoint whose config says something that this decoder does not do must not load:
wrong numbers would follow in silence. So each key of the file is either read below, or
listed as harmless (it cannot change the logits), or named in an error.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntkjax.errors import InputError
from ntkjax.models.config import DecoderConfig, Llama3Scaling
from ntkjax.models.decoder import ACTIVATIONS


@dataclass(frozen=True)
class ModelConfig:
    """The architecture, and the special tokens that templates need."""

    decoder: DecoderConfig
    bos_id: int | None
    eos_id: int | None


# Keys that cannot change the logits of a forward pass.
HARMLESS = {
    "_name_or_path",
    "attention_dropout",  # zero outside training
    "chunk_size_feed_forward",
    "dtype",
    "id2label",
    "initializer_range",
    "label2id",
    "name_or_path",
    "output_attentions",
    "output_hidden_states",
    "pad_token_id",
    "pretraining_tp",  # splits the same matrix products
    "problem_type",
    "return_dict",
    "task_specific_params",
    "tokenizer_class",
    "torch_dtype",
    "transformers_version",
    "use_cache",
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
            f"{folder} has no config.json: --model needs a Hugging Face model folder."
        ) from None
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: cannot be read as JSON: {error}.") from error
    if not isinstance(raw, dict):
        raise InputError(f"{path}: expected a JSON object, got {type(raw).__name__}.")
    model_type = raw.get("model_type")
    if not isinstance(model_type, str) or model_type not in FAMILIES:
        raise InputError(
            f"{path}: model_type {model_type!r} is not supported; supported are: "
            f"{', '.join(sorted(FAMILIES))}."
        )
    return FAMILIES[model_type](_Keys(path, raw))


class _Keys:
    """The keys of one config file, each taken once and checked for its type."""

    def __init__(self, path: Path, raw: dict[str, Any]):
        self.path = path
        self.left = {k: v for k, v in raw.items() if k not in HARMLESS}

    def take(self, key: str, kind: type | tuple, default: Any = ...) -> Any:
        value = self.left.pop(key, None)
        if value is None:
            if default is ...:
                raise InputError(f"{self.path}: required key {key!r} is missing.")
            return default
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (
            isinstance(value, bool) and bool not in kinds
        ):
            names = " or ".join(k.__name__ for k in kinds)
            raise InputError(
                f"{self.path}: key {key!r} must be {names}, got {value!r}."
            )
        return value

    def positive(self, key: str, default: Any = ...) -> int:
        value = self.take(key, int, default)
        if value < 1:
            raise InputError(f"{self.path}: key {key!r} must be positive, got {value}.")
        return value

    def done(self) -> None:
        if self.left:
            pairs = ", ".join(f"{k}={v!r}" for k, v in sorted(self.left.items()))
            raise InputError(
                f"{self.path}: unknown config keys, refused because they may change "
                f"the model's output: {pairs[:500]}."
            )


def _llama(keys: _Keys) -> ModelConfig:
    _check_architecture(keys, "LlamaForCausalLM")
    keys.take("model_type", str)
    hidden_size = keys.positive("hidden_size")
    num_heads = keys.positive("num_attention_heads")
    num_kv_heads = keys.positive("num_key_value_heads", num_heads)
    if num_heads % num_kv_heads:
        raise InputError(
            f"{keys.path}: num_attention_heads={num_heads} is no multiple of "
            f"num_key_value_heads={num_kv_heads}."
        )
    head_dim = keys.take("head_dim", int, None)
    if head_dim is None and hidden_size % num_heads:
        raise InputError(
            f"{keys.path}: hidden_size={hidden_size} is no multiple of "
            f"num_attention_heads={num_heads}, and there is no head_dim."
        )
    head_dim = hidden_size // num_heads if head_dim is None else head_dim
    if head_dim < 2 or head_dim % 2:
        raise InputError(f"{keys.path}: {head_dim=} must be even and positive.")
    rope_theta, rope_scaling = _rope(keys)
    decoder = DecoderConfig(
        vocab_size=keys.positive("vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=keys.positive("intermediate_size"),
        num_layers=keys.positive("num_hidden_layers"),
        num_heads=num_heads,
        num_kv_heads=num_kv_heads,
        head_dim=head_dim,
        max_positions=keys.positive("max_position_embeddings", 2048),
        norm_eps=float(keys.take("rms_norm_eps", (float, int), 1e-6)),
        rope_theta=rope_theta,
        rope_scaling=rope_scaling,
        activation=_activation(keys),
        attention_bias=keys.take("attention_bias", bool, False),
        mlp_bias=keys.take("mlp_bias", bool, False),
        tie_embeddings=keys.take("tie_word_embeddings", bool, False),
    )
    bos_id, eos_id = _token_id(keys, "bos_token_id"), _token_id(keys, "eos_token_id")
    keys.done()
    return ModelConfig(decoder, bos_id, eos_id)


FAMILIES: dict[str, Callable[[_Keys], ModelConfig]] = {"llama": _llama}


def _check_architecture(keys: _Keys, expected: str) -> None:
    names = keys.take("architectures", list, [expected])
    if names != [expected]:
        raise InputError(
            f"{keys.path}: architectures is {names}, but only {expected} can be read."
        )


def _activation(keys: _Keys) -> str:
    name = keys.take("hidden_act", str, "silu")
    if name not in ACTIVATIONS:
        raise InputError(
            f"{keys.path}: hidden_act {name!r} is not supported; supported are: "
            f"{', '.join(sorted(ACTIVATIONS))}."
        )
    return name


def _token_id(keys: _Keys, key: str) -> int | None:
    """One token id; of several ends of text (chat models list them) the first."""
    value = keys.take(key, (int, list), None)
    if not isinstance(value, list):
        return value
    if not all(type(one) is int for one in value):
        raise InputError(f"{keys.path}: key {key!r} must list int, got {value!r}.")
    return value[0] if value else None


def _rope(keys: _Keys) -> tuple[float, Llama3Scaling | None]:
    """Base and scaling, from either spelling of the rotary settings.

    `rope_theta` beside `rope_scaling`, or both inside `rope_parameters`. A file may say
    the same thing twice, but not two things.
    """
    new, old = (keys.take(k, dict, {}) for k in ("rope_parameters", "rope_scaling"))
    if differing := sorted(k for k in new.keys() & old.keys() if new[k] != old[k]):
        raise InputError(
            f"{keys.path}: rope_parameters and rope_scaling differ in "
            f"{', '.join(differing)}."
        )
    inner = _Keys(keys.path, {**new, **old})
    inside = inner.take("rope_theta", (float, int), None)
    theta = keys.take("rope_theta", (float, int), inside)
    if inside is not None and theta != inside:
        raise InputError(
            f"{keys.path}: rope_theta is {theta}, but {inside} in the rotary settings."
        )
    old_name = inner.take("type", str, "default")
    kind = inner.take("rope_type", str, old_name)
    scaling = None
    if kind == "llama3":
        scaling = Llama3Scaling(
            factor=float(inner.take("factor", (float, int))),
            low_freq_factor=float(inner.take("low_freq_factor", (float, int))),
            high_freq_factor=float(inner.take("high_freq_factor", (float, int))),
            original_max_positions=inner.take("original_max_position_embeddings", int),
        )
        if not 0 < scaling.low_freq_factor < scaling.high_freq_factor:
            raise InputError(
                f"{keys.path}: rope needs 0 < low_freq_factor < high_freq_factor, got "
                f"{scaling.low_freq_factor} and {scaling.high_freq_factor}."
            )
    elif kind != "default":
        raise InputError(
            f"{keys.path}: rope_type {kind!r} is not supported; supported are: "
            "default, llama3."
        )
    inner.done()
    theta = float(10_000.0 if theta is None else theta)
    if theta <= 0 or (scaling and scaling.factor <= 0):
        raise InputError(f"{keys.path}: rope_theta and factor must be positive.")
    return theta, scaling
