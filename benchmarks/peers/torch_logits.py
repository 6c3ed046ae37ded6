# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "torch==2.13.0",
#   "transformers==5.23.0",
#   "numpy==2.3.5",
# ]
# ///
"""Logits of a Hugging Face folder by transformers and PyTorch, in float32.

    uv run --script benchmarks/peers/torch_logits.py FOLDER TOKENS.npy LOGITS.npy

TOKENS holds ids [T], LOGITS will hold [T, V].
"""

import os
import sys


os.environ["HF_HUB_OFFLINE"] = "1"

import numpy as np
import torch
from transformers import AutoModelForCausalLM


def main() -> None:
    folder, tokens, logits = sys.argv[1:]
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager"
    )
    ids = torch.from_numpy(np.load(tokens).astype(np.int64))[None]
    with torch.no_grad():
        np.save(logits, model(ids).logits[0].numpy())


if __name__ == "__main__":
    main()
