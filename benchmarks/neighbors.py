"""How fast are others? `uv run python -m benchmarks.neighbors`.

The same model, adapter, tokens and quantity, side by side in one run: the product of
every candidate's loss gradient with the target's mean one, over a LoRA adapter. Ours is
`ntkjax select --method gradient-dot`, bergson's is `reduce` and `score`
(`peers/bergson_scores.py`), both from a cold start to the scores on disk.

Nothing is written unless the scores of both are equal to `TOLERANCE`. Runs alternate,
so that a machine that slows down slows both. Of a clean commit a run that was measured
is not measured again (`runs/neighbors/`).
"""

import json
import shutil
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np
import pyarrow.parquet as pq

from benchmarks.pretrained import NAME, gate, smollm2
from benchmarks.processes import run_command, run_peer
from benchmarks.records import ROOT, NotMeasured, commit, run, shared_folder
from ntkjax.checkpoints.adapter import write_adapter
from ntkjax.checkpoints.loading import load_model
from ntkjax.data.examples import read_examples
from ntkjax.data.tokenizer import load_tokenizer
from ntkjax.models.lora import LoraSettings, initial_theta
from ntkjax.store.atomic import write_json


WORK = ROOT / "runs" / "neighbors"
TARGETS, POOLS, TOKENS, REPEATS = 8, (64, 256), 128, 3
TOLERANCE = 1e-3
"""Of the largest score; both compute in float32."""


def main() -> int:
    settings = {
        "model": NAME,
        "targets": TARGETS,
        "pools": POOLS,
        "tokens": TOKENS,
        "lora": {"rank": 8, "parameters": "all linear layers"},
        "repeats": REPEATS,
    }
    return run("neighbors", settings, measure)


def measure() -> dict:
    """Seconds and memory of both, by size of the pool.

    Raises:
        NotMeasured: If model, data or a peer is missing, or scores are not equal.
    """
    data = shared_folder() / "data"
    folder = smollm2()
    error = gate(folder)
    WORK.mkdir(parents=True, exist_ok=True)
    write_problem(folder, data)
    rows = []
    for size in POOLS:
        both = [
            (once("ours", size, repeat), once("bergson", size, repeat))
            for repeat in range(REPEATS)
        ]
        _require_equal(_scores("ours", size), _scores("bergson", size), size)
        rows.append({"pool": size, **_summary(both)})
    return {"gate_error": error, "neighbors": rows}


def write_problem(folder: Path, data: Path) -> None:
    """Texts of `TOKENS` tokens as both want them, and an adapter with B ≠ 0."""
    model = load_model(folder, LoraSettings())
    start = initial_theta(model.theta_shapes, jax.random.key(0))
    keys = jax.random.split(jax.random.key(1), len(start))
    theta = {
        name: leaf if name.endswith("A") else 0.02 * jax.random.normal(key, leaf.shape)
        for key, (name, leaf) in zip(keys, start.items(), strict=True)
    }
    write_adapter(WORK / "adapter", theta, model, str(folder))
    tokenizer = load_tokenizer(folder)
    first, last = tokenizer.bos_token, tokenizer.eos_token
    found = texts(tokenizer, data / "pool_cot.jsonl", TARGETS + max(POOLS))
    parts = {"target": found[:TARGETS]}
    parts |= {f"pool-{n}": found[TARGETS : TARGETS + n] for n in POOLS}
    for name, chosen in parts.items():
        _write_lines(WORK / f"{name}.jsonl", chosen)
        marked = [f"{first}{text}{last}" for text in chosen]
        _write_lines(WORK / f"{name}-marked.jsonl", marked)


def texts(tokenizer, path: Path, count: int) -> list[str]:
    """Texts of `TOKENS` tokens, both ends included, that stay so when read again."""
    found, joined = [], ""
    for example in read_examples([path]):
        joined += f"{example.prompt}\n{example.response}\n"
        ids = tokenizer(joined).input_ids[: TOKENS - 2]
        if len(ids) == TOKENS - 2:
            text = tokenizer.decode(ids, clean_up_tokenization_spaces=False)
            found += [text] if tokenizer(text).input_ids == ids else []
            joined = ""
        if len(found) == count:
            return found
    raise NotMeasured(f"{path.name} has {len(found)} texts of {TOKENS} tokens.")


def once(name: str, size: int, repeat: int) -> dict:
    """Seconds and memory of one run from a cold start; kept for this very code."""
    kept, at = WORK / f"{name}-{size}-{repeat}.json", commit()
    is_clean = not at.endswith(("-dirty", "unknown"))
    if is_clean and kept.is_file():
        found = json.loads(kept.read_text())
        if found["at"] == at:
            return found
    out = WORK / f"{name}-{size}"
    shutil.rmtree(out, ignore_errors=True)
    try:
        found = {**RUNS[name](size, out), "at": at}
    except subprocess.CalledProcessError as error:
        raise NotMeasured(f"{name} ended with code {error.returncode}.") from error
    write_json(kept, found)
    return found


def _ours(size: int, out: Path) -> dict:
    return run_command(
        *("select", "--model", str(smollm2()), "--adapter", str(WORK / "adapter")),
        *("--target", str(WORK / "target.jsonl")),
        *("--pool", str(WORK / f"pool-{size}.jsonl"), "--out", str(out)),
        *("--method", "gradient-dot", "--shortlist", "none", "--warmup", "none"),
        *("--budget", str(size // 4), "--max-length", str(TOKENS)),
    )


def _bergson(size: int, out: Path) -> dict:
    target, pool = WORK / "target-marked.jsonl", WORK / f"pool-{size}-marked.jsonl"
    return run_peer("bergson_scores", WORK / "adapter", target, pool, out)


RUNS = {"ours": _ours, "bergson": _bergson}


def _scores(name: str, size: int) -> np.ndarray:
    out = WORK / f"{name}-{size}"
    if name == "ours":
        return pq.read_table(out / "scores.parquet")["score"].to_numpy()
    return np.load(out / "scores.npy").ravel()


def _require_equal(ours: np.ndarray, theirs: np.ndarray, size: int) -> None:
    error = np.abs(ours - theirs).max() / np.abs(ours).max()
    if not error <= TOLERANCE:
        raise NotMeasured(f"scores of {size} candidates differ by {error:.1e}.")


def _summary(both: Sequence[tuple[dict, dict]]) -> dict:
    """Medians, all runs, and the ratio bergson / ours in each pair."""
    ratios = [theirs["seconds"] / ours["seconds"] for ours, theirs in both]
    found: dict = {"ratio": round(statistics.median(ratios), 2)}
    found["ratios"] = [round(ratio, 2) for ratio in ratios]
    for name, runs in zip(RUNS, zip(*both, strict=True), strict=True):
        seconds = [one["seconds"] for one in runs]
        found[name] = {
            "seconds": statistics.median(seconds),
            "runs": seconds,
            "peak_mib": max(one["peak_mib"] for one in runs),
        }
    return found


def _write_lines(path: Path, lines: Sequence[str]) -> None:
    path.write_text("".join(json.dumps({"text": line}) + "\n" for line in lines))


if __name__ == "__main__":
    sys.exit(main())
