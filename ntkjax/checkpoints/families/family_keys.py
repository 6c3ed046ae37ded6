"""What differs from family to family: one function from config keys to fields each.

They return the fields of `DecoderConfig` that not every family reads the same way; the
argument `shape` holds those that it does. Defaults of missing keys are those of
transformers.
"""

from typing import Any

from ntkjax.checkpoints.families.config_keys import Keys
from ntkjax.checkpoints.families.rotary_keys import (
    KINDS,
    read_rotary,
    read_two_rotaries,
)
from ntkjax.models.config import LayerKind, Rotary
from ntkjax.models.modules import ACTIVATIONS


FULL, SLIDING = KINDS


def llama(keys: Keys, shape: dict[str, Any]) -> dict[str, Any]:
    """Llama 1 to 3, SmolLM 1 and 2, and all that call themselves llama."""
    bias = keys.take("attention_bias", bool, False)
    keys.only("rope_interleaved", bool, False, "pairs are half a head apart")
    return {
        "layers": (LayerKind(_rotary(keys, shape)),)
        * keys.positive("num_hidden_layers"),
        "activation": _activation(keys),
        "tie_embeddings": keys.take("tie_word_embeddings", bool, False),
        "qkv_bias": bias,
        "output_bias": bias,
        "mlp_bias": keys.take("mlp_bias", bool, False),
    }


def mistral(keys: Keys, shape: dict[str, Any]) -> dict[str, Any]:
    """Llama with a window in every layer, or none; no biases."""
    without = keys.is_null("sliding_window")
    window = keys.positive("sliding_window", 4096)
    kind = LayerKind(_rotary(keys, shape), None if without else window)
    return {
        "layers": (kind,) * keys.positive("num_hidden_layers"),
        "activation": _activation(keys),
        "tie_embeddings": keys.take("tie_word_embeddings", bool, False),
    }


def qwen2(keys: Keys, shape: dict[str, Any]) -> dict[str, Any]:
    """Qwen2 and Qwen2.5: biases of queries, keys and values."""
    keys.only("use_mrope", bool, False, "positions are those of text")
    return {
        "layers": _qwen_layers(keys, _rotary(keys, shape)),
        "activation": _activation(keys),
        "tie_embeddings": keys.take("tie_word_embeddings", bool, False),
        "qkv_bias": True,
    }


def qwen3(keys: Keys, shape: dict[str, Any]) -> dict[str, Any]:
    """Normed queries and keys; biases only where the file says so."""
    bias = keys.take("attention_bias", bool, False)
    return {
        "layers": _qwen_layers(keys, _rotary(keys, shape)),
        "activation": _activation(keys),
        "tie_embeddings": keys.take("tie_word_embeddings", bool, False),
        "qkv_bias": bias,
        "output_bias": bias,
        "qk_norm": True,
    }


def smollm3(keys: Keys, shape: dict[str, Any]) -> dict[str, Any]:
    """Llama in which layers with a 0 in `no_rope_layers` have no positions."""
    bias = keys.take("attention_bias", bool, False)
    number = keys.positive("num_hidden_layers")
    interval = keys.positive("no_rope_layer_interval", 4)
    keys.take("max_window_layers", int, None)  # files have it; transformers ignores it
    rotated = [int((i + 1) % interval != 0) for i in range(number)]
    rotated = keys.take("no_rope_layers", list, rotated)
    if len(rotated) != number or not all(flag in (0, 1) for flag in rotated):
        raise keys.error(f"no_rope_layers must be {number} times 0 or 1, got {rotated}")
    window = _optional_window(keys, None)
    names = [SLIDING if window and not flag else FULL for flag in rotated]
    rotary = _rotary(keys, shape, 2_000_000.0)
    kinds = _layer_kinds(keys, names, window, {FULL: rotary, SLIDING: rotary})
    return {
        "layers": tuple(
            kind if flag else LayerKind(None, kind.window)
            for flag, kind in zip(rotated, kinds, strict=True)
        ),
        "activation": _activation(keys),
        "tie_embeddings": keys.take("tie_word_embeddings", bool, True),
        "qkv_bias": bias,
        "output_bias": bias,
        "mlp_bias": keys.take("mlp_bias", bool, False),
    }


def gemma2(keys: Keys, shape: dict[str, Any]) -> dict[str, Any]:
    """Soft-caps, more norms, scaled embeddings; every other layer has a window."""
    rotary, window = _rotary(keys, shape), keys.positive("sliding_window", 4096)
    keys.take("sliding_window_size", int, None)  # in files; transformers ignores it
    number = keys.positive("num_hidden_layers")
    names = [FULL if i % 2 else SLIDING for i in range(number)]
    return {
        "layers": _layer_kinds(keys, names, window, {FULL: rotary, SLIDING: rotary}),
        **_gemma(keys, shape),
        "attention_softcap": keys.optional_number("attn_logit_softcapping", 50.0),
        "final_softcap": keys.optional_number("final_logit_softcapping", 30.0),
    }


def gemma3(keys: Keys, shape: dict[str, Any]) -> dict[str, Any]:
    """Gemma 2 with normed queries and keys; windows rotate by a base of their own."""
    positions = shape["max_positions"]
    rotaries = read_two_rotaries(keys, positions, (1_000_000.0, 10_000.0))
    window = keys.positive("sliding_window", 4096)
    every = keys.positive("_sliding_window_pattern", 6)
    every = keys.positive("sliding_window_pattern", every)
    number = keys.positive("num_hidden_layers")
    names = [SLIDING if (i + 1) % every else FULL for i in range(number)]
    if keys.optional_number("attn_logit_softcapping") is not None:
        raise keys.error(
            "attn_logit_softcapping is not supported for gemma3_text: transformers "
            "ignores it"
        )
    rotary_of = {FULL: rotaries[0], SLIDING: rotaries[1]}
    return {
        "layers": _layer_kinds(keys, names, window, rotary_of),
        **_gemma(keys, shape),
        "final_softcap": keys.optional_number("final_logit_softcapping"),
        "qk_norm": True,
    }


def _gemma(keys: Keys, shape: dict[str, Any]) -> dict[str, Any]:
    """What Gemma 2 and 3 share."""
    keys.only("use_bidirectional_attention", bool, False, "attention here is causal")
    keys.take("hidden_act", str, None)  # old files have it; hidden_activation decides
    bias = keys.take("attention_bias", bool, False)
    scalar = keys.positive_number("query_pre_attn_scalar", 256)
    return {
        "activation": _activation(keys, "hidden_activation", "gelu_pytorch_tanh"),
        "tie_embeddings": keys.take("tie_word_embeddings", bool, True),
        "qkv_bias": bias,
        "output_bias": bias,
        "attention_scale": scalar**-0.5,
        "embedding_scale": shape["hidden_size"] ** 0.5,
        "unit_offset": True,
        "post_norms": True,
    }


def _layer_kinds(
    keys: Keys, names: list[str], window: int | None, rotary_of: dict[str, Rotary]
) -> tuple[LayerKind, ...]:
    """One kind for each layer, by `layer_types`, or by `names` where it is missing."""
    found = keys.take("layer_types", list, names)
    if len(found) != len(names) or not set(map(str, found)) <= set(KINDS):
        raise keys.error(
            f"layer_types must be {len(names)} times {' or '.join(KINDS)}, got {found}"
        )
    if window is None and SLIDING in found:
        raise keys.error(f"layer_types has {SLIDING}, but there is no sliding_window")
    kinds = {
        FULL: LayerKind(rotary_of[FULL]),
        SLIDING: LayerKind(rotary_of[SLIDING], window),
    }
    return tuple(kinds[name] for name in found)


def _qwen_layers(keys: Keys, rotary: Rotary) -> tuple[LayerKind, ...]:
    number, window = keys.positive("num_hidden_layers"), _optional_window(keys, 4096)
    first = keys.take("max_window_layers", int, 28)
    names = [SLIDING if window and i >= first else FULL for i in range(number)]
    return _layer_kinds(keys, names, window, {FULL: rotary, SLIDING: rotary})


def _optional_window(keys: Keys, default: int | None) -> int | None:
    """The window of models that have one only if `use_sliding_window` says so."""
    if keys.is_null("sliding_window") or "sliding_window" not in keys.left:
        window = None if keys.is_null("sliding_window") else default
        keys.left.pop("sliding_window", None)
    else:
        window = keys.positive("sliding_window")
    return window if keys.take("use_sliding_window", bool, False) else None


def _rotary(keys: Keys, shape: dict[str, Any], theta: float = 10_000.0) -> Rotary:
    return read_rotary(keys, shape["max_positions"], theta)


def _activation(keys: Keys, key: str = "hidden_act", default: str = "silu") -> str:
    return keys.one_of(key, tuple(ACTIVATIONS), default)
