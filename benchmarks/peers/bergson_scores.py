# /// script
# requires-python = "==3.11.*"
# dependencies = [
#   "bergson==2.5.1",
#   "torch==2.13.0",
#   "transformers==5.24.0",
#   "peft==0.21.2",
#   "numpy==2.3.5",
# ]
# [tool.uv]
# override-dependencies = [
#   "torchaudio; python_version < '3'",
#   "torchvision; python_version < '3'",
# ]
# ///
"""Scores by bergson: `reduce` on the target, `score` on the pool, as its users call it.

    uv run --script benchmarks/peers/bergson_scores.py ADAPTER TARGET POOL OUT

ADAPTER is a folder of PEFT that names its base model; TARGET and POOL are JSON lines
with `text`, special tokens written out. OUT will hold `scores.npy` [candidates]:

    s(x) = ⟨(1/n) Σ_i ∇ℓ(d_i), ∇ℓ(x)⟩

over the adapter's parameters, ℓ the mean loss over all tokens but the first, without a
projection. (torchvision and torchaudio of the index do not fit a CPU build of torch.)
"""

import json
import os
import pathlib
import subprocess
import sys


os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"


def main() -> None:
    adapter, target, pool, out = sys.argv[1:]
    query, scored = f"{out}/query", f"{out}/scored"
    program = pathlib.Path(sys.executable).with_name("bergson")
    config = json.loads((pathlib.Path(adapter) / "adapter_config.json").read_text())
    shared = ["--model", adapter, "--tokenizer", config["base_model_name_or_path"]]
    shared += ["--loss_reduction", "mean", "--split", "train"]
    for words in (
        ["reduce", query, *shared, "--dataset", target, "--aggregation", "mean"],
        ["score", scored, *shared, "--dataset", pool, "--query_path", query],
    ):
        subprocess.run([program, *words], check=True, stdout=sys.stderr)

    import numpy as np
    from bergson.data import load_scores

    np.save(f"{out}/scores.npy", np.asarray(load_scores(pathlib.Path(scored))[:]))


if __name__ == "__main__":
    main()
