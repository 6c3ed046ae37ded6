# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "peft==0.21.2",
#   "numpy",
#   "safetensors",
# ]
# ///
"""Tiny checkpoints of every family with what transformers and PEFT compute with them.

Writes `families/<model_type>/<variant>/` beside this file (README.md has the layout),
after checking that padding on the right changes nothing, that every setting and every
weight moves the logits, and that both spellings of the config are one model. Arguments
such as `families/mistral/window` limit it to these.
"""

import copy
import json
import os
import pathlib
import shutil
import sys
import zlib


os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import peft
import safetensors.numpy
import torch
import transformers
from family_variants import VARIANTS, legacy_config, neighbors, without_effect
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from transformers import AutoConfig, AutoModelForCausalLM


HERE = pathlib.Path(__file__).parent
LENGTHS = (16, 11, 1)
NUM_EXAMPLES, LENGTH = 2, 12
TARGETS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]

# A test of another decoder can only fail on what moves the logits by more than its
# tolerance, 3e-5.
MOVED = 1e-4


def main():
    torch.set_num_threads(1)  # the matrices are small
    chosen = sys.argv[1:]
    for (model_type, variant), settings in VARIANTS.items():
        name = f"families/{model_type}/{variant}"
        if chosen and name not in chosen:
            continue
        folder = HERE / name
        shutil.rmtree(folder, ignore_errors=True)
        save_checkpoint(folder, model_type, settings)
        model = load(folder)
        expected = forward(model)
        check_rows_alone(model, expected)
        check_settings_matter(model, model_type, settings, expected["logits"])
        check_weights_matter(model, expected["logits"])
        save_legacy_config(folder, model, expected["logits"])
        expected |= with_adapter(model, folder, name, expected)
        safetensors.numpy.save_file(
            expected, folder / "expected.safetensors", metadata=versions()
        )
        files = (path for path in folder.rglob("*") if path.is_file())
        print(f"{name}: {sum(path.stat().st_size for path in files) / 1e3:.0f} kB")


def save_checkpoint(folder, model_type, settings):
    """Random weights in the file layout of `save_pretrained`."""
    config = make_config(model_type, settings)
    model = AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            values = draw(name, tuple(parameter.shape), model_type)
            parameter.copy_(torch.from_numpy(values))
    stored_as = torch.bfloat16 if folder.name == "bf16" else torch.float32
    model.to(stored_as).save_pretrained(folder)
    (folder / "generation_config.json").unlink()


def make_config(model_type, settings):
    """A config of its own: transformers writes into the dicts it is given."""
    return AutoConfig.for_model(model_type, **copy.deepcopy(settings))


def draw(name, shape, model_type):
    """Weights that depend on name and family alone; none is a constant vector."""
    normal = np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape)
    gemma = model_type.startswith("gemma")
    if name.endswith("norm.weight"):
        return 0.3 * normal + (not gemma)  # Gemma's norms multiply by 1 + w
    if name.endswith("bias"):
        return 0.3 * normal
    if "embed_tokens" in name:
        # Small, so that ε of the first norm can be seen; but Gemma 2's final soft-cap
        # can only be seen on large logits, and its head is tied.
        return (0.3 if model_type == "gemma2" else 0.1) * normal
    return 1.5 * normal / shape[1] ** 0.5


def load(folder):
    return AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )


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
    arguments = {
        "input_ids": torch.from_numpy(tokens).long(),
        "attention_mask": torch.from_numpy(real).long(),
        "output_hidden_states": True,
    }
    out = model(**arguments)
    hidden, logits = out.hidden_states[-1].numpy(), out.logits.numpy()
    return {
        "tokens": tokens,
        "lengths": np.array(LENGTHS, np.int32),
        "hidden": np.where(real[..., None], hidden, 0),
        "logits": np.where(real[..., None], logits, 0),
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


def check_settings_matter(model, model_type, settings, logits):
    """Every setting that could be read wrongly moves the logits, or is known not to."""
    for label, changed in neighbors(model_type, settings):
        config = make_config(model_type, changed)
        difference = distance(logits_under(config, model), logits)
        if label in without_effect(settings):
            assert difference == 0, f"{label} moves the logits by {difference:.1e}"
        else:
            assert difference > MOVED, f"{label} moves the logits by {difference:.1e}"


def check_weights_matter(model, logits):
    """So does every tensor, but for key biases where positions are not rotated.

    There q·b is the same for all keys, and softmax does not see it.
    """
    config = model.config
    rotated = getattr(config, "no_rope_layers", None) or [1] * config.num_hidden_layers
    blind = {
        f"model.layers.{layer}.self_attn.k_proj.bias"
        for layer, flag in enumerate(rotated)
        if not flag
    }
    for name, parameter in model.named_parameters():
        kept = parameter.detach().clone()
        parameter.data = 0.8 * kept.roll(1, dims=0)
        difference = distance(forward(model)["logits"], logits)
        assert (difference > MOVED) == (name not in blind), (name, difference)
        parameter.data = kept


def save_legacy_config(folder, model, logits):
    """`config_legacy.json`: the same settings as transformers 4 spells them."""
    settings = json.loads((folder / "config.json").read_text())
    legacy = legacy_config(settings)
    path = folder / "config_legacy.json"
    path.write_text(json.dumps(legacy, indent=2, sort_keys=True) + "\n")
    new = AutoConfig.from_pretrained(folder)
    old = type(new).from_json_file(path)
    assert without_type(old.rope_parameters) == without_type(new.rope_parameters)
    for key in ("layer_types", "no_rope_layers", "sliding_window", "head_dim"):
        assert getattr(old, key, None) == getattr(new, key, None), key
    assert (logits_under(old, model) == logits).all()


def without_type(rope):
    """Rotary settings without the oldest name of `rope_type`, which stays beside it."""
    return {
        key: without_type(value) if isinstance(value, dict) else value
        for key, value in rope.items()
        if key != "type"
    }


def logits_under(config, model):
    """What the model's weights give under other settings."""
    config._attn_implementation = "eager"
    other = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    other.load_state_dict(model.state_dict())
    return forward(other)["logits"]


def with_adapter(base, folder, name, expected):
    """Logits [n, T, V] under a LoRA adapter of PEFT, and gradients of

        g(x) = Σ_v Σ_t ω_t logits[t, v],    ω_t = 1/T,

    for unpadded examples, one [n, *shape] for each matrix.
    """
    settings = {"r": 2, "lora_alpha": 3, "target_modules": TARGETS}
    model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **settings))
    parameters = lora_parameters(model)
    with torch.no_grad():
        for key, parameter in parameters.items():
            rng = np.random.default_rng(zlib.crc32(key.encode()))
            values = rng.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(values / parameter.shape[1] ** 0.5))
    save_adapter(model, folder / "adapter", name)
    assert parameters.keys() == get_peft_model_state_dict(model).keys()
    assert len(parameters) == 2 * len(TARGETS) * model.config.num_hidden_layers
    adapted = forward(model)["logits"]
    assert distance(adapted, expected["logits"]) > 0.1

    rng = np.random.default_rng(LENGTH)
    shape = (NUM_EXAMPLES, LENGTH)
    examples = rng.integers(0, model.config.vocab_size, shape).astype(np.int32)
    logits = model(torch.from_numpy(examples).long()).logits
    rows = [
        torch.autograd.grad(g, list(parameters.values()), retain_graph=True)
        for g in logits.mean(dim=1).sum(dim=-1)
    ]
    gradients = {
        key: torch.stack(column).numpy()
        for key, column in zip(parameters, zip(*rows, strict=True), strict=True)
    }
    for key, gradient in gradients.items():
        assert np.abs(gradient).max() > 1e-3, f"{key} has no gradient"
    return {"adapted_logits": adapted, "examples": examples, **gradients}


def lora_parameters(model):
    """The parameters by their names in `adapter_model.safetensors`."""
    return {
        name.replace(".default.", "."): parameter
        for name, parameter in model.named_parameters()
        if ".lora_A." in name or ".lora_B." in name
    }


def save_adapter(model, folder, base):
    """`save_pretrained`, with a base path and an order that any machine would write."""
    model.peft_config["default"].base_model_name_or_path = base
    model.save_pretrained(folder)
    (folder / "README.md").unlink()  # an empty model card
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


def distance(a, b):
    """max|a - b| / max|b|."""
    return np.abs(a - b).max() / np.abs(b).max()


def versions():
    """One metadata entry: safetensors writes several in random order."""
    modules = (torch, transformers, peft, np, safetensors)
    found = {module.__name__: module.__version__ for module in modules}
    return {"versions": json.dumps(found)}


if __name__ == "__main__":
    main()
