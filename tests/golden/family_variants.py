"""The variants of `make_families.py`: settings, what to change in them, old spellings.

No torch and no transformers here: only dicts of config keys.
"""

from collections.abc import Iterator


TWO_LAYERS = {
    "vocab_size": 64,
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-3,
}
# More layers have less between them, so that the files stay small.
THREE_LAYERS = {**TWO_LAYERS, "num_hidden_layers": 3, "intermediate_size": 24}
FOUR_LAYERS = {**TWO_LAYERS, "num_hidden_layers": 4, "intermediate_size": 16}

# Heads of 12 numbers; by default, width / heads is 6.
WIDE_HEADS = {"num_attention_heads": 2, "num_key_value_heads": 1}
PLAIN_ROPE = {"rope_type": "default", "rope_theta": 10000.0}
LONG_ROPE = {"rope_type": "default", "rope_theta": 1000000.0}

LLAMA = {
    "linear": {
        **TWO_LAYERS,
        "rope_parameters": {**PLAIN_ROPE, "rope_type": "linear", "factor": 3.0},
    },
    # Up to `max_position_embeddings` tokens, the rotation is the default one. Beyond,
    # transformers derives it from the length of the padded batch, so that a text's
    # numbers would depend on its batch mates: ntkjax refuses such inputs, and these
    # rows have 16 tokens at most.
    "dynamic": {
        **TWO_LAYERS,
        "max_position_embeddings": 16,
        "rope_parameters": {**PLAIN_ROPE, "rope_type": "dynamic", "factor": 4.0},
    },
    # Wave lengths of 6, 29, 135, 628, ... tokens: short, between, and long ones.
    "llama3_tied": {
        **TWO_LAYERS,
        **WIDE_HEADS,
        "tie_word_embeddings": True,
        "rope_parameters": {
            **PLAIN_ROPE,
            "rope_type": "llama3",
            "factor": 4.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 32,
        },
    },
    # Pairs 1.5 and 4.2 of 6 turn `beta_fast` and `beta_slow` times in 8 positions.
    "yarn": {
        **TWO_LAYERS,
        **WIDE_HEADS,
        "max_position_embeddings": 32,
        "rope_parameters": {
            "rope_type": "yarn",
            "rope_theta": 100.0,
            "factor": 4.0,
            "original_max_position_embeddings": 8,
            "attention_factor": 1.3,
            "beta_fast": 0.4,
            "beta_slow": 0.05,
            "truncate": False,
        },
    },
    # Pairs 1.5 and 3.8 of 6, rounded to 1 and 4, with the default turns 32 and 1.
    "yarn_defaults": {
        **TWO_LAYERS,
        **WIDE_HEADS,
        "max_position_embeddings": 2048,
        "rope_parameters": {**PLAIN_ROPE, "rope_type": "yarn", "factor": 4.0},
    },
}
MISTRAL = {
    "window": {**TWO_LAYERS, "sliding_window": 5, "rope_parameters": PLAIN_ROPE},
    "no_window": {**TWO_LAYERS, "sliding_window": None, "rope_parameters": LONG_ROPE},
    "head_dim": {
        **TWO_LAYERS,
        "head_dim": 12,
        "sliding_window": None,
        "rope_parameters": LONG_ROPE,
    },
}
QWEN2 = {
    "tied": {**TWO_LAYERS, "tie_word_embeddings": True, "rope_parameters": LONG_ROPE},
    "untied": {
        **TWO_LAYERS,
        "tie_word_embeddings": False,
        "rope_parameters": LONG_ROPE,
    },
    "window": {
        **THREE_LAYERS,
        "use_sliding_window": True,
        "sliding_window": 5,
        "max_window_layers": 1,
        "rope_parameters": LONG_ROPE,
    },
}
QWEN3 = {
    "tied": {
        **TWO_LAYERS,
        "head_dim": 12,
        "tie_word_embeddings": True,
        "rope_parameters": LONG_ROPE,
    },
    "biases": {
        **TWO_LAYERS,
        "head_dim": 8,
        "tie_word_embeddings": False,
        "attention_bias": True,
        "rope_parameters": LONG_ROPE,
    },
    "bf16": {
        **TWO_LAYERS,
        "head_dim": 16,
        "num_key_value_heads": 1,
        "tie_word_embeddings": True,
        "rope_parameters": LONG_ROPE,
    },
}
GEMMA2 = {
    "softcaps": {
        **TWO_LAYERS,
        "rms_norm_eps": 1e-2,
        "head_dim": 12,
        "query_pre_attn_scalar": 7,
        "sliding_window": 5,
        "attn_logit_softcapping": 5.0,
        "final_logit_softcapping": 4.0,
        "hidden_activation": "gelu_pytorch_tanh",
        "rope_parameters": PLAIN_ROPE,
    },
    "no_softcaps": {
        **TWO_LAYERS,
        "rms_norm_eps": 1e-2,
        "head_dim": 8,
        "query_pre_attn_scalar": 10,
        "sliding_window": 4,
        "attn_logit_softcapping": None,
        "final_logit_softcapping": None,
        "hidden_activation": "gelu_pytorch_tanh",
        "rope_parameters": PLAIN_ROPE,
    },
}
GEMMA3 = {
    "two_bases": {
        **FOUR_LAYERS,
        **WIDE_HEADS,
        "head_dim": 8,
        "query_pre_attn_scalar": 5,
        "sliding_window": 5,
        "sliding_window_pattern": 2,
        "hidden_activation": "gelu_pytorch_tanh",
        "rope_parameters": {
            "full_attention": LONG_ROPE,
            "sliding_attention": {**PLAIN_ROPE, "rope_theta": 1000.0},
        },
    },
    "linear": {
        **FOUR_LAYERS,
        **WIDE_HEADS,
        "head_dim": 6,
        "query_pre_attn_scalar": 8,
        "sliding_window": 5,
        "sliding_window_pattern": 3,
        "hidden_activation": "gelu_pytorch_tanh",
        "rope_parameters": {
            "full_attention": {**PLAIN_ROPE, "rope_type": "linear", "factor": 8.0},
            "sliding_attention": {**PLAIN_ROPE, "rope_theta": 1000.0},
        },
    },
}
# The default special tokens are beyond this vocabulary.
SMOLLM3_TOKENS = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SMOLLM3 = {
    "interval": {
        **TWO_LAYERS,
        **SMOLLM3_TOKENS,
        "no_rope_layer_interval": 2,
        "rope_parameters": {**PLAIN_ROPE, "rope_theta": 5000000.0},
    },
    "listed": {
        **THREE_LAYERS,
        **SMOLLM3_TOKENS,
        "no_rope_layers": [1, 0, 1],
        "use_sliding_window": True,
        "sliding_window": 5,
        "attention_bias": True,
        "mlp_bias": True,
        "tie_word_embeddings": False,
        "rope_parameters": PLAIN_ROPE,
    },
}
VARIANTS = {
    (model_type, name): settings
    for model_type, variants in {
        "llama": LLAMA,
        "mistral": MISTRAL,
        "qwen2": QWEN2,
        "qwen3": QWEN3,
        "gemma2": GEMMA2,
        "gemma3_text": GEMMA3,
        "smollm3": SMOLLM3,
    }.items()
    for name, settings in variants.items()
}

# Sizes and parts: another value does not fit the weights.
STRUCTURE = {
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "tie_word_embeddings",
    "attention_bias",
    "mlp_bias",
}
# Read by generation and by the check on the length of a text; `neighbors` has its own
# values of the last.
OUTSIDE = {"max_position_embeddings", *SMOLLM3_TOKENS, "hidden_activation"}
INSTEAD_OF_NULL = {
    "sliding_window": 5,
    "attn_logit_softcapping": 5.0,
    "final_logit_softcapping": 4.0,
}
# Set by transformers where the file is silent.
YARN_DEFAULTS = {
    "beta_fast": 8,
    "beta_slow": 4,
    "attention_factor": 1.0,
    "truncate": False,
}


def neighbors(model_type: str, settings: dict) -> Iterator[tuple[str, dict]]:
    """Labels and settings that differ in one thing that the weights do not show."""
    gemma = model_type.startswith("gemma")
    if gemma:
        yield "relu", {**settings, "hidden_activation": "relu"}
        yield "exact gelu", {**settings, "hidden_activation": "gelu"}
    else:
        yield "relu", {**settings, "hidden_act": "relu"}
    sizes = ("num_attention_heads", "num_key_value_heads")
    halved = {key: settings[key] // 2 for key in sizes}
    if "head_dim" not in settings and all(halved.values()):
        yield "heads of another size", {**settings, **halved}
    # In Gemma, the kinds of layers stay, and need a window.
    nullable = INSTEAD_OF_NULL.keys() - ({"sliding_window"} if gemma else set())
    for name in settings.keys() - STRUCTURE - OUTSIDE:
        value = settings[name]
        for label, changed in others(name, value):
            yield label, {**settings, name: changed}
        if name in nullable and value is not None:
            yield f"no {name}", {**settings, name: None}


def others(name: str, value) -> Iterator[tuple[str, object]]:
    """Labels and other values of one setting."""
    if name == "rope_parameters":
        yield from rope_neighbors(value)
    elif isinstance(value, list):
        for place, flag in enumerate(value):
            flipped = [*value[:place], 1 - flag, *value[place + 1 :]]
            yield f"{name}[{place}]", flipped
    else:
        yield name, other(name, value)


def rope_neighbors(rope: dict) -> Iterator[tuple[str, dict]]:
    """The same for rotary settings, one dict or one for each kind of layer."""
    for name, value in rope.items():
        if isinstance(value, dict):
            for label, changed in rope_neighbors(value):
                yield f"{name}.{label}", {**rope, name: changed}
        elif name == "rope_type":
            if value != "default":
                plain = {"rope_type": "default", "rope_theta": rope["rope_theta"]}
                yield name, plain
        else:
            yield name, {**rope, name: other(name, value)}
    if rope.get("rope_type") == "yarn":
        for name, value in YARN_DEFAULTS.items():
            if name not in rope:
                yield f"default of {name}", {**rope, name: value}


def other(name: str, value):
    """Another value of the same kind."""
    if value is None:
        return INSTEAD_OF_NULL[name]
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else 1.5 * value


def without_effect(settings: dict) -> set[str]:
    """Labels of `neighbors` that have to leave the logits as they are."""
    dynamic = settings["rope_parameters"].get("rope_type") == "dynamic"
    return {"factor", "rope_type"} if dynamic else set()


def legacy_config(settings: dict) -> dict:
    """A `config.json` of transformers 5, spelled as in published files of version 4.

    What version 5 derives and then writes out (kinds of layers, head sizes) is left
    out; what only the old files say is added.
    """
    old = dict(settings)
    rope = old.pop("rope_parameters")
    if "full_attention" in rope:
        old["rope_local_base_freq"] = int(rope["sliding_attention"]["rope_theta"])
        rope = rope["full_attention"]
    scaling = dict(rope)
    old["rope_theta"] = scaling.pop("rope_theta")
    plain = scaling["rope_type"] == "default"
    old["rope_scaling"] = None if plain else scaling
    # The oldest files say `type`, which was never the name in Gemma 3.
    if old["model_type"] != "gemma3_text" and "truncate" not in scaling:
        scaling["type"] = scaling.pop("rope_type")
    if scaling.get("original_max_position_embeddings") == 2048:
        del scaling["original_max_position_embeddings"]  # max_position_embeddings
    old["torch_dtype"] = old.pop("dtype")
    old["transformers_version"] = "4.52.0"
    derived = old["hidden_size"] // old["num_attention_heads"]
    if old["model_type"] in ("llama", "mistral") and old.get("head_dim") == derived:
        del old["head_dim"]
    windowed = old.pop("layer_types", None)
    match old["model_type"]:
        case "qwen2" | "qwen3" if not old["use_sliding_window"]:
            old["sliding_window"] = 131072
        case "gemma2":
            old["hidden_act"] = old["hidden_activation"]
            old["cache_implementation"] = "hybrid"
        case "gemma3_text":
            old.pop("_sliding_window_pattern", None)
            old["sliding_window_pattern"] = windowed.index("full_attention") + 1
            old["cache_implementation"] = "hybrid"
        case "smollm3":
            old |= {"max_window_layers": 28, "pretraining_tp": 2}
            interval = old["no_rope_layer_interval"]
            places = range(1, old["num_hidden_layers"] + 1)
            if old["no_rope_layers"] == [int(i % interval != 0) for i in places]:
                del old["no_rope_layers"]
    return old
