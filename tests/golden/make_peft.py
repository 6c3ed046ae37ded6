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
"""LoRA adapters of PEFT on `llama/plain`, with its logits and gradients.

Writes `adapters/<name>/` beside this file (README.md has the layout). Run
`make_llama.py` first. The gradients are those of one scalar per example,

    g(x) = Σ_v Σ_t ω_t logits[t, v],    ω_t = 1/T,

so their inner products are the summed-logit kernel.
"""

import json
import os
import pathlib
import shutil
import zlib


os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import peft
import safetensors.numpy
import torch
import transformers
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict
from transformers import LlamaForCausalLM


HERE = pathlib.Path(__file__).parent
BASE = "llama/plain"
NUM_EXAMPLES, LENGTH = 3, 12

ADAPTERS = {
    "default": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    "all_linear_rslora": {
        "r": 3,
        "lora_alpha": 5,
        "use_rslora": True,
        "target_modules": [
            "q_proj",
            "k_proj",
            "v_proj",
            "o_proj",
            "gate_proj",
            "up_proj",
            "down_proj",
        ],
    },
    "regex": {
        "r": 2,
        "lora_alpha": 6,
        "target_modules": r"model\.layers\.1\.mlp\.(gate|up|down)_proj",
    },
}


def main():
    for name, settings in ADAPTERS.items():
        folder = HERE / "adapters" / name
        shutil.rmtree(folder, ignore_errors=True)
        base = LlamaForCausalLM.from_pretrained(
            HERE / BASE, dtype=torch.float32, attn_implementation="eager"
        )
        model = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **settings))
        fill(model)
        save(model, folder)
        expected = derivatives(model, folder)
        safetensors.numpy.save_file(
            expected, folder / "expected.safetensors", metadata=versions()
        )
        size = sum(path.stat().st_size for path in folder.iterdir())
        print(f"{name}: {len(expected) - 2} matrices, {size / 1e3:.0f} kB")


def fill(model):
    """Random A and B; neither is zero, so that both have a gradient."""
    with torch.no_grad():
        for name, parameter in lora_parameters(model).items():
            rng = np.random.default_rng(zlib.crc32(name.encode()))
            values = rng.standard_normal(tuple(parameter.shape))
            parameter.copy_(torch.from_numpy(values / parameter.shape[1] ** 0.5))


def lora_parameters(model):
    """The parameters by their names in `adapter_model.safetensors`."""
    return {
        name.replace(".default.", "."): parameter
        for name, parameter in model.named_parameters()
        if ".lora_A." in name or ".lora_B." in name
    }


def save(model, folder):
    """`save_pretrained`, with a base path and an order that any machine would write."""
    model.peft_config["default"].base_model_name_or_path = BASE
    model.save_pretrained(folder)
    (folder / "README.md").unlink()  # an empty model card
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text())
    if isinstance(config["target_modules"], list):  # a set of strings: order is random
        config["target_modules"] = sorted(config["target_modules"])
    path.write_text(json.dumps(config, indent=2, sort_keys=True))


def derivatives(model, folder):
    """Logits [n, T, V] and, per matrix, the gradients [n, *shape] of g."""
    saved = safetensors.numpy.load_file(folder / "adapter_model.safetensors")
    parameters = lora_parameters(model)
    assert saved.keys() == parameters.keys() == get_peft_model_state_dict(model).keys()

    rng = np.random.default_rng(LENGTH)
    shape = (NUM_EXAMPLES, LENGTH)
    tokens = rng.integers(0, model.config.vocab_size, shape).astype(np.int32)
    logits = model(torch.from_numpy(tokens).long()).logits
    with torch.no_grad(), model.disable_adapter():
        plain = model(torch.from_numpy(tokens).long()).logits
    assert (logits - plain).abs().max() > 0.1, "the adapter hardly does anything"

    rows = [
        torch.autograd.grad(g, list(parameters.values()), retain_graph=True)
        for g in logits.mean(dim=1).sum(dim=-1)
    ]
    gradients = {
        name: torch.stack(column).numpy()
        for name, column in zip(parameters, zip(*rows, strict=True), strict=True)
    }
    for name, gradient in gradients.items():
        assert np.abs(gradient).max() > 1e-3, f"{name} has no gradient"
    return {"tokens": tokens, "logits": logits.detach().numpy(), **gradients}


def versions():
    """One metadata entry: safetensors writes several in random order."""
    modules = (torch, transformers, peft, np, safetensors)
    found = {module.__name__: module.__version__ for module in modules}
    return {"versions": json.dumps(found)}


if __name__ == "__main__":
    main()
