"""Every key of every family's config is read: perturb it, and the logits move."""

import json

import pytest

from ntkjax.checkpoints.families.config_keys import HARMLESS
from ntkjax.checkpoints.families.table import FAMILIES, read_config
from ntkjax.errors import InputError
from ntkjax.models.config import LayerKind, Rotary
from tests.checkpoints.files import GOLDEN
from tests.models.test_config import TOKENS, logits, moved


BASES = {
    "gemma2": "softcaps",
    "gemma3_text": "linear",
    "llama": "yarn",
    "mistral": "window",
    "qwen2": "window",
    "qwen3": "tied",
    "smollm3": "interval",
}

# Read, but not by the forward pass; or only where another key is missing.
SILENT = {"architectures", "model_type", "bos_token_id", "eos_token_id"}
LISTS = {
    "max_window_layers": "layer_types",
    "use_sliding_window": "layer_types",
    "sliding_window_pattern": "layer_types",
    "_sliding_window_pattern": "layer_types",
    "no_rope_layer_interval": "no_rope_layers",
}
FULL, SLIDING = "full_attention", "sliding_attention"


def base(family: str, **changes) -> dict:
    """A golden config without harmless keys; `...` takes a key out.

    Every model has a window, so that its keys act.
    """
    path = GOLDEN / "families" / family / BASES[family] / "config.json"
    raw = json.loads(path.read_bytes())
    raw = {key: value for key, value in raw.items() if key not in HARMLESS}
    if family in ("qwen3", "smollm3"):
        raw |= {"use_sliding_window": True, "sliding_window": 5}
        raw |= {"layer_types": [FULL, SLIDING], "max_window_layers": 1}
    if family == "smollm3":
        del raw["max_window_layers"]
    if family == "gemma3_text":
        del raw["_sliding_window_pattern"]
        raw["final_logit_softcapping"] = 4.0
    raw |= changes
    return {key: value for key, value in raw.items() if value is not ...}


def write(folder, raw: dict):
    (folder / "config.json").write_text(json.dumps(raw))
    return folder


def flipped(kinds: list[str]) -> list[str]:
    return [FULL if kind == SLIDING else SLIDING for kind in kinds]


def changed(key: str, value):
    """Another value that is allowed."""
    special = {
        "head_dim": lambda v: v + 2,
        "hidden_size": lambda v: v + 8,
        "num_attention_heads": lambda v: v // 2,
        "num_key_value_heads": lambda v: 1 if v == 2 else 2,
        "hidden_act": lambda v: "relu",
        "hidden_activation": lambda v: "relu",
        "sliding_window": lambda v: 2,
        "layer_types": flipped,
        "no_rope_layers": lambda v: [1 - flag for flag in v],
        "no_rope_layer_interval": lambda v: 1,
        "max_window_layers": lambda v: 0,
        "sliding_window_pattern": lambda v: 2,
        "rope_type": lambda v: {"default": "linear", "linear": "default"}.get(v),
        "rms_norm_eps": lambda v: 30 * v,
        "query_pre_attn_scalar": lambda v: 3 * v,
        "truncate": lambda v: not v,
    }
    if key in special:
        return special[key](value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return value / 2


def perturbed_keys(family: str) -> list[str]:
    """Keys, and keys inside the rotary settings, as paths with dots."""
    paths = []
    for key, value in base(family).items():
        if isinstance(value, dict):
            for inner, deeper in value.items():
                nested = isinstance(deeper, dict)
                paths += [f"{key}.{inner}.{k}" for k in deeper] if nested else []
                paths += [] if nested else [f"{key}.{inner}"]
        elif key not in SILENT:
            paths.append(key)
    return paths


def perturb(family: str, path: str) -> tuple[dict, dict]:
    """The config before and after a change of one key."""
    *parents, key = path.split(".")
    raw = base(family)
    if key == "num_hidden_layers":
        raw = base(family, layer_types=..., no_rope_layers=...)
    if key in LISTS:
        raw = base(family, **{LISTS[key]: ...})
    before = json.loads(json.dumps(raw))
    inner = raw
    for parent in parents:
        inner = inner[parent]
    value = inner[key]
    inner[key] = changed(key, value)
    if key == "rope_type":
        inner["factor"] = 4.0
        if inner[key] == "default":
            del inner["factor"]
    return before, raw


CASES = [
    (family, path)
    for family in BASES
    for path in perturbed_keys(family)
    if path not in ("use_bidirectional_attention", "attn_logit_softcapping")
    or (family, path) == ("gemma2", "attn_logit_softcapping")
    if (family, path) != ("llama", "rope_parameters.rope_type")
]


def test_every_family_is_perturbed():
    assert BASES.keys() == FAMILIES.keys()


@pytest.mark.slow
@pytest.mark.parametrize(("family", "path"), CASES)
def test_every_key_moves_the_logits(tmp_path, family, path):
    before, after = (
        read_config(write(tmp_path, raw)).decoder for raw in perturb(family, path)
    )
    assert before != after
    if path == "max_position_embeddings":
        assert after.max_positions == before.max_positions + 1
        return
    assert moved(logits(before), logits(after))


@pytest.mark.parametrize("family", BASES)
def test_more_tokens_than_positions_are_refused(tmp_path, family):
    positions = len(TOKENS) - 1
    raw = base(family, max_position_embeddings=positions)
    config = read_config(write(tmp_path, raw)).decoder
    with pytest.raises(InputError, match=f"positions for {positions}"):
        logits(config)


@pytest.mark.parametrize(
    ("family", "changes", "message"),
    [
        ("gemma2", {"use_bidirectional_attention": True}, "attention here is causal"),
        ("gemma3_text", {"use_bidirectional_attention": True}, "is causal"),
        ("gemma3_text", {"attn_logit_softcapping": 5.0}, "transformers ignores it"),
        ("gemma2", {"layer_types": [FULL]}, "layer_types must be 2 times full"),
        ("gemma2", {"layer_types": ["chunked", FULL]}, "layer_types must be 2 times"),
        ("qwen2", {"use_sliding_window": False}, "there is no sliding_window"),
        ("qwen3", {"sliding_window": None}, "there is no sliding_window"),
        ("smollm3", {"no_rope_layers": [1]}, "no_rope_layers must be 2 times 0 or 1"),
        ("smollm3", {"no_rope_layers": [1, 2]}, "must be 2 times 0 or 1"),
        ("mistral", {"attention_bias": False}, "unknown .*attention_bias=False"),
        ("qwen2", {"attention_bias": False}, "unknown .*attention_bias=False"),
        ("llama", {"sliding_window": 4096}, "unknown .*sliding_window=4096"),
        ("llama", {"rope_interleaved": True}, "rope_interleaved=True is not supp"),
        ("qwen2", {"use_mrope": True}, "use_mrope=True is not supported"),
        ("smollm3", {"sliding_window": ...}, "there is no sliding_window"),
    ],
)
def test_refused(tmp_path, family, changes, message):
    with pytest.raises(InputError, match=message):
        read_config(write(tmp_path, base(family, **changes)))


@pytest.mark.parametrize(
    ("family", "missing", "field", "expected"),
    [
        ("mistral", "sliding_window", "layers", (LayerKind(Rotary(1e4), 4096),) * 2),
        ("gemma2", "attn_logit_softcapping", "attention_softcap", 50.0),
        ("gemma2", "final_logit_softcapping", "final_softcap", 30.0),
        ("gemma3_text", "final_logit_softcapping", "final_softcap", None),
        ("gemma2", "head_dim", "head_dim", 256),
        ("qwen3", "head_dim", "head_dim", 128),
        ("gemma2", "tie_word_embeddings", "tie_embeddings", True),
        ("smollm3", "tie_word_embeddings", "tie_embeddings", True),
        ("qwen2", "tie_word_embeddings", "tie_embeddings", False),
        ("gemma2", "query_pre_attn_scalar", "attention_scale", 1 / 16),
        ("qwen2", "max_position_embeddings", "max_positions", 32_768),
        (
            "qwen3",
            "sliding_window",
            "layers",
            (LayerKind(Rotary(1e6)), LayerKind(Rotary(1e6), 4096)),
        ),
    ],
)
def test_missing_keys_have_the_defaults_of_transformers(
    tmp_path, family, missing, field, expected
):
    raw = base(family, **{missing: ...})
    assert getattr(read_config(write(tmp_path, raw)).decoder, field) == expected


@pytest.mark.parametrize(
    ("family", "published"),
    [
        ("gemma2", {"sliding_window_size": 4096, "hidden_act": "gelu_pytorch_tanh"}),
        ("gemma2", {"cache_implementation": "hybrid"}),
        ("llama", {"is_llama_config": True, "rope_interleaved": False}),
        ("llama", {"transformers.js_config": {"dtype": "q4"}, "pretraining_tp": 1}),
        ("qwen2", {"use_mrope": False}),
        ("smollm3", {"max_window_layers": 1}),
    ],
)
def test_keys_of_published_files_that_change_nothing(tmp_path, family, published):
    found = [
        read_config(write(tmp_path, base(family, **changes)))
        for changes in ({}, published)
    ]
    assert found[0] == found[1]


@pytest.mark.parametrize("name", ["attn", "final"])
def test_null_takes_a_softcap_away(tmp_path, name):
    raw = base("gemma2", **{f"{name}_logit_softcapping": None})
    found = read_config(write(tmp_path, raw)).decoder
    caps = {"attn": found.attention_softcap, "final": found.final_softcap}
    assert caps[name] is None
    assert len({*caps.values()}) == 2


def test_layers_of_old_files(tmp_path):
    """Files of transformers 4 have no layer_types: the pattern is the family's."""
    windows = {
        family: [
            layer.window
            for layer in read_config(
                write(tmp_path, base(family, layer_types=...))
            ).decoder.layers
        ]
        for family in ("gemma2", "gemma3_text", "qwen2", "smollm3")
    }
    assert windows == {
        "gemma2": [5, None],
        "gemma3_text": [5, 5, None, 5],
        "qwen2": [None, 5, 5],
        "smollm3": [None, 5],
    }
