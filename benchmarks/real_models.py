"""`ntkjax fidelity` on the real models, as a user runs it, timed as a whole.

    uv run python -m benchmarks.real_models

For each model of the shared folder: 12 queries of the financial file against 80
candidates of the pool at 96 tokens, in a process of its own. The record keeps the wall
time (start-up, compilation and report included), the peak memory and the table. Read
`cross_term_ratio` as |approximate − exact| / |exact|, median over pairs, and
`spearman` as the agreement of the candidates' mean scores with the exact kernel's.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.records import run, shared_folder


MODELS = ("stories260k", "base4m")
FLAGS = (
    "--num-queries=12 --num-candidates=80 --max-length=96 --lora.rank=8 "
    "--lora.alpha=16 --pooling=all --seed=0"
)


def main() -> int:
    return run("real_models", {"flags": FLAGS}, measured)


def measured() -> dict:
    shared = shared_folder()
    return {name: measure(shared, name) for name in MODELS}


def measure(shared: Path, name: str) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = [
            sys.executable,
            "-c",
            "from ntkjax.cli.main import script; script()",
            "fidelity",
            f"--model={shared / 'models' / name}",
            f"--queries={shared / 'data' / 'financial_train.jsonl'}",
            f"--candidates={shared / 'data' / 'pool_cot.jsonl'}",
            f"--out={out}",
            *FLAGS.split(),
        ]
        started = time.perf_counter()
        subprocess.run(command, check=True)
        seconds = time.perf_counter() - started
        result = json.loads((out / "fidelity.json").read_text())
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    return {
        "queries": "financial_train.jsonl",
        "candidates": "pool_cot.jsonl",
        "seconds": round(seconds, 1),
        "seconds_by_stage": result["seconds"],
        "peak_mib_so_far": round(peak),
        "num_parameters": result["num_parameters"],
        "cosines": {
            kind: result["cosines"][kind]["mean"] for kind in ("signed", "absolute")
        },
        "kernels": {
            row["name"]: {
                "cost": row["cost"],
                "cross_term_ratio": row["cross_terms"]["raw_pairs"]["q50"],
                "cross_term_ratio_diagonal": row["cross_terms"]["raw_diagonal"]["q50"],
                "relative_error_after_factor": row["cross_terms"]["relative_error"],
                "frobenius_cosine": row["cross_terms"]["cosine"],
                "spearman": row["mean_score"]["spearman"],
                "kendall": row["mean_score"]["kendall"],
                "top_overlap": row["mean_score"]["top_overlap"],
                "spearman_per_query": row["per_query"]["spearman"],
            }
            for row in result["kernels"] + result["sketches"]
        },
    }


if __name__ == "__main__":
    raise SystemExit(main())
