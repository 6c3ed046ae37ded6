# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "numpy",
#   "safetensors",
# ]
# ///
"""Tiny Llama checkpoints with the hidden states and logits that transformers computes.

Writes `llama/<variant>/` beside this file (README.md has the layout), after checking
that padding on the right changes nothing and that every setting of the variant moves
the logits. Weights depend on their names alone, so `plain`, `bf16`, `f16` and `sharded`
hold the same numbers up to rounding.
"""

import copy
import json
import os
import pathlib
import shutil
import zlib


os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import safetensors.numpy
import torch
import transformers
from transformers import LlamaConfig, LlamaForCausalLM


ROOT = pathlib.Path(__file__).parent / "llama"
LENGTHS = (20, 13, 7, 1)

BASE = {
    "vocab_size": 64,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "tie_word_embeddings": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
}
# The heads of 16 numbers turn 5.1, 1.6 and 0.5 or fewer times in 32 positions: with
# these factors some frequencies are kept, some interpolated, some stretched.
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
VARIANTS = {
    "plain": {},
    "gqa_tied": {
        "vocab_size": 96,
        "num_key_value_heads": 2,
        "tie_word_embeddings": True,
        "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0},
    },
    "llama3_rope": {
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 128,
        "rope_parameters": LLAMA3,
    },
    "head_dim": {"head_dim": 12, "num_key_value_heads": 2, "rms_norm_eps": 1e-6},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "gelu": {"hidden_act": "gelu_pytorch_tanh"},
    "bf16": {},
    "f16": {},
    "sharded": {},
}
STORED_AS = {"bf16": torch.bfloat16, "f16": torch.float16}
SHARD_SIZE = {"sharded": "30KB"}


def main():
    for variant, changes in VARIANTS.items():
        folder = ROOT / variant
        shutil.rmtree(folder, ignore_errors=True)
        save_checkpoint(folder, LlamaConfig(**{**BASE, **changes}))
        if variant == "llama3_rope":
            save_legacy_config(folder)
        model = LlamaForCausalLM.from_pretrained(
            folder, dtype=torch.float32, attn_implementation="eager"
        )
        expected = forward(model)
        check_rows_alone(model, expected)
        check_settings_matter(model, expected["logits"])
        safetensors.numpy.save_file(
            expected, folder / "expected.safetensors", metadata=versions()
        )
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"{variant}: {size / 1e3:.0f} kB")


def save_checkpoint(folder, config):
    """Random weights in the file layout of `save_pretrained`."""
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.from_numpy(draw(name, tuple(parameter.shape))))
    model.to(STORED_AS.get(folder.name, torch.float32)).save_pretrained(
        folder, max_shard_size=SHARD_SIZE.get(folder.name, "1GB")
    )
    (folder / "generation_config.json").unlink()


def draw(name, shape):
    """Weights that depend on their name alone; none is a constant vector."""
    normal = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    if name.endswith("norm.weight"):
        return 1 + 0.3 * normal
    if name.endswith("bias"):
        return 0.3 * normal
    if "embed_tokens" in name:
        return 0.1 * normal  # small, so that ε of the first norm can be seen
    return 1.5 * normal / shape[1] ** 0.5


def save_legacy_config(folder):
    """`config_legacy.json`: the same settings as transformers 4 spells them."""
    settings = json.loads((folder / "config.json").read_text())
    rope = settings.pop("rope_parameters")
    settings["rope_theta"] = rope.pop("rope_theta")
    settings["rope_scaling"] = rope
    settings["torch_dtype"] = settings.pop("dtype")
    path = folder / "config_legacy.json"
    path.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
    new, old = (
        LlamaConfig.from_json_file(folder / file)
        for file in ("config.json", "config_legacy.json")
    )
    assert old.rope_parameters == new.rope_parameters, old.rope_parameters


def tokens_of(config):
    """Right-padded token ids [n, T]; 0 is also a real token."""
    rng = np.random.default_rng(config.vocab_size)
    tokens = rng.integers(0, config.vocab_size, (len(LENGTHS), max(LENGTHS)))
    tokens[0, 3] = 0
    return np.where(real_positions(), tokens, 0).astype(np.int32)


def real_positions():
    return np.arange(max(LENGTHS))[None, :] < np.array(LENGTHS)[:, None]


@torch.no_grad()
def forward(model):
    """The padded batch in one call, under its attention mask."""
    tokens, real = tokens_of(model.config), real_positions()
    out = model(
        torch.from_numpy(tokens).long(),
        attention_mask=torch.from_numpy(real).long(),
        output_hidden_states=True,
    )
    return {
        "tokens": tokens,
        "lengths": np.array(LENGTHS, np.int32),
        "hidden": np.where(real[..., None], out.hidden_states[-1].numpy(), 0),
        "logits": np.where(real[..., None], out.logits.numpy(), 0),
    }


@torch.no_grad()
def check_rows_alone(model, expected):
    """Each row without padding and without batch mates gives the same numbers."""
    for row, length in enumerate(LENGTHS):
        tokens = torch.from_numpy(expected["tokens"][row : row + 1, :length]).long()
        hidden = model.model(tokens).last_hidden_state
        logits = model(tokens).logits
        for name, alone in (("hidden", hidden), ("logits", logits)):
            error = distance(alone[0].numpy(), expected[name][row, :length])
            assert error < 1e-5, f"{name} of row {row} depends on padding: {error}"


def check_settings_matter(model, logits):
    """A test of another decoder can only fail on settings that move the logits."""
    config = model.config
    changed = {"rms_norm_eps": 2 * config.rms_norm_eps, "hidden_act": "relu"}
    for name, value in changed.items():
        assert moved(model, logits, lambda c, n=name, v=value: setattr(c, n, v)), name
    for name, value in config.rope_parameters.items():
        if name != "rope_type":
            change = {**config.rope_parameters, name: type(value)(1.5 * value)}
            assert moved(
                model, logits, lambda c, r=change: setattr(c, "rope_parameters", r)
            ), name


def moved(model, logits, change):
    config = copy.deepcopy(model.config)
    change(config)
    other = LlamaForCausalLM(config)
    other.load_state_dict(model.state_dict())
    return distance(forward(other)["logits"], logits) > 1e-4


def distance(a, b):
    """max|a - b| / max|b|."""
    return np.abs(a - b).max() / np.abs(b).max()


def versions():
    """One metadata entry: safetensors writes several in random order."""
    modules = (torch, transformers, np, safetensors)
    found = {module.__name__: module.__version__ for module in modules}
    return {"versions": json.dumps(found)}


if __name__ == "__main__":
    main()
