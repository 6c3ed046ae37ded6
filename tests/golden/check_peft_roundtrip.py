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
"""Does PEFT read an adapter that ntkjax wrote, and compute the same logits with it?

    uv run --python 3.11 tests/golden/check_peft_roundtrip.py BASE ADAPTER COMPUTED

BASE is the folder of the model, ADAPTER the folder that ntkjax wrote, COMPUTED a
safetensors file with ntkjax's `tokens` [n, T] and `logits` [n, T, V] and, where rows
are padded on the right, `lengths` [n]. Prints the relative error; exit code 1 when it
exceeds 1e-4 or PEFT does not take over every tensor of the adapter unchanged.
"""

import argparse
import os
import pathlib
import sys


os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import safetensors.numpy
import torch
from peft import PeftModel, get_peft_model_state_dict
from transformers import AutoModelForCausalLM


TOLERANCE = 1e-4


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("base", "adapter", "computed"):
        parser.add_argument(name, type=pathlib.Path)
    args = parser.parse_args()

    base = AutoModelForCausalLM.from_pretrained(
        args.base, dtype=torch.float32, attn_implementation="eager"
    )
    model = PeftModel.from_pretrained(base, args.adapter)
    wrong = changed_tensors(model, args.adapter)
    if wrong:
        print(f"PEFT did not take over: {', '.join(wrong)}")
        return 1

    computed = safetensors.numpy.load_file(args.computed)
    error = relative_error(model, computed)
    print(f"relative error of the logits: {error:.2e} (allowed: {TOLERANCE:.0e})")
    return 0 if error <= TOLERANCE else 1  # a NaN fails, too


def changed_tensors(model, folder):
    """Names in the file or in the model that are not, or not equal, in the other.

    PEFT itself only warns about missing tensors and ignores the ones left over.
    """
    saved = safetensors.numpy.load_file(folder / "adapter_model.safetensors")
    tensors = get_peft_model_state_dict(model, save_embedding_layers=False)
    loaded = {name: tensor.numpy() for name, tensor in tensors.items()}
    return sorted(
        name
        for name in saved.keys() | loaded.keys()
        if name not in saved
        or name not in loaded
        or not np.array_equal(saved[name], loaded[name])
    )


@torch.no_grad()
def relative_error(model, computed):
    """max|Δ| / max|logits| over real positions."""
    tokens = computed["tokens"]
    lengths = computed.get("lengths", np.full(len(tokens), tokens.shape[1]))
    real = np.arange(tokens.shape[1])[None, :] < lengths[:, None]
    logits = model(
        torch.from_numpy(tokens).long(), attention_mask=torch.from_numpy(real).long()
    ).logits.numpy()
    return np.abs(computed["logits"] - logits)[real].max() / np.abs(logits[real]).max()


if __name__ == "__main__":
    sys.exit(main())
