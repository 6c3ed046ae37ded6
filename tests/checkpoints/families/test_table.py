"""Every key of config.json is used, harmless, or refused by name."""

import json
import shutil

import pytest

from ntkjax.checkpoints.families.config_keys import HARMLESS
from ntkjax.checkpoints.families.table import ModelConfig, read_config
from ntkjax.errors import InputError
from ntkjax.models.config import DecoderConfig, LayerKind, Llama3Scaling, Rotary
from tests.checkpoints.files import GOLDEN, write_config


def test_every_value_arrives():
    found = read_config(GOLDEN / "llama" / "llama3_rope")
    assert found == ModelConfig(
        DecoderConfig(
            vocab_size=64,
            hidden_size=32,
            intermediate_size=48,
            layers=(LayerKind(Rotary(10_000.0, Llama3Scaling(8.0, 1.0, 4.0, 32))),) * 2,
            num_heads=2,
            num_kv_heads=1,
            head_dim=16,
            max_positions=128,
            norm_eps=1e-5,
            activation="silu",
            tie_embeddings=False,
        ),
        bos_id=1,
        eos_id=2,
    )


def test_both_spellings_of_rotary_settings_are_the_same_config(tmp_path):
    folder = GOLDEN / "llama" / "llama3_rope"
    shutil.copy(folder / "config_legacy.json", tmp_path / "config.json")
    assert read_config(tmp_path) == read_config(folder)


# The right column is the default of transformers' LlamaConfig.
@pytest.mark.parametrize(
    ("key", "field", "default"),
    [
        ("num_key_value_heads", "num_kv_heads", 4),
        ("head_dim", "head_dim", 8),
        ("max_position_embeddings", "max_positions", 2048),
        ("rms_norm_eps", "norm_eps", 1e-6),
        ("rope_parameters", "layers", (LayerKind(Rotary(10_000.0)),) * 2),
        ("hidden_act", "activation", "silu"),
        ("attention_bias", "qkv_bias", False),
        ("attention_bias", "output_bias", False),
        ("mlp_bias", "mlp_bias", False),
        ("tie_word_embeddings", "tie_embeddings", False),
    ],
)
@pytest.mark.parametrize("absent", [..., None], ids=["missing", "null"])
def test_optional_keys_have_the_defaults_of_transformers(
    tmp_path, key, field, default, absent
):
    found = read_config(write_config(tmp_path, **{key: absent})).decoder
    assert getattr(found, field) == default


@pytest.mark.parametrize("key", sorted(HARMLESS))
def test_harmless_keys_are_ignored(tmp_path, key):
    found = read_config(write_config(tmp_path, **{key: "anything"}))
    assert found == read_config(GOLDEN / "llama" / "plain")


@pytest.mark.parametrize(
    ("value", "expected"), [(7, 7), ([7, 9], 7), ([], None), (None, None), (..., None)]
)
def test_special_tokens(tmp_path, value, expected):
    found = read_config(write_config(tmp_path, eos_token_id=value, bos_token_id=value))
    assert (found.bos_id, found.eos_id) == (expected, expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"query_pre_attn_scalar": 8}, "unknown config keys.*query_pre_attn_scalar=8"),
        ({"quantization_config": {"bits": 4}}, "quantized weights cannot be read"),
        ({"sliding_window": 0}, "unknown.*sliding_window=0"),
        ({"model_type": "gpt2"}, "model_type 'gpt2' .*supported are: gemma2"),
        ({"model_type": "gemma3"}, "its text model alone is gemma3_text"),
        ({"model_type": ...}, "model_type None .*supported are: gemma2"),
        ({"model_type": ["llama"]}, r"model_type \['llama'\] .*supported are: gemma2"),
        (
            {"architectures": ["LlamaForSequenceClassification"]},
            "only LlamaForCausalLM",
        ),
        ({"hidden_size": ...}, "required key 'hidden_size' is missing"),
        ({"vocab_size": None}, "required key 'vocab_size' is missing"),
        ({"hidden_size": "32"}, "'hidden_size' must be int, got '32'"),
        ({"hidden_size": 32.0}, "'hidden_size' must be int, got 32.0"),
        ({"hidden_size": True}, "'hidden_size' must be int, got True"),
        ({"mlp_bias": 1}, "'mlp_bias' must be bool, got 1"),
        ({"rms_norm_eps": "1e-5"}, "'rms_norm_eps' must be float or int"),
        ({"num_hidden_layers": 0}, "'num_hidden_layers' must be positive, got 0"),
        ({"num_key_value_heads": 3}, "num_attention_heads=4 is no multiple of .*=3"),
        ({"hidden_size": 34, "head_dim": ...}, "hidden_size=34 is no multiple of .*=4"),
        ({"head_dim": 7}, "head_dim=7 .* even"),
        ({"hidden_act": "swiglu"}, "hidden_act 'swiglu' .* gelu.*silu"),
        ({"eos_token_id": "</s>"}, "'eos_token_id' must be int or list"),
        ({"eos_token_id": ["</s>"]}, "'eos_token_id'.*</s>"),
    ],
)
def test_refused(tmp_path, changes, message):
    with pytest.raises(InputError, match=message) as caught:
        read_config(write_config(tmp_path, **changes))
    assert str(tmp_path / "config.json") in str(caught.value)


def test_every_unknown_key_is_named(tmp_path):
    with pytest.raises(InputError, match="first_new=1, second_new='x'"):
        read_config(write_config(tmp_path, second_new="x", first_new=1))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"model_type": "llama"', "cannot be read as JSON"),
        (b'{"model_type": "\xff"}', "cannot be read as JSON"),
        (b"", "cannot be read as JSON"),
        (json.dumps(["llama"]).encode(), "expected a JSON object, got list"),
        (None, "has no config.json"),
    ],
)
def test_damaged_file(tmp_path, content, message):
    if content is not None:
        (tmp_path / "config.json").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_config(tmp_path)
