"""Selection, training and evaluation on real text: `python -m benchmarks.real_run`.

base4m; the first 200 training examples of the financial file; 1,000 of the 16,695
chain-of-thought examples of the pool. Then LoRA on the domain alone, with 1,000 random
examples and with the chosen ones, and the first 500 evaluation questions. The pool four
times over (new ids) says how time and memory grow. Intervals are bootstrap intervals
over questions: they say nothing about other seeds.
"""

import json
import tempfile
from pathlib import Path

import numpy as np

from benchmarks.processes import run_command
from benchmarks.records import run, shared_folder


BUDGET, MAX_LENGTH, NUM_TARGET, NUM_QUESTIONS = 1000, 256, 200, 500
RATE = 1e-3


def main() -> int:
    settings = {
        "model": "base4m",
        "target": f"financial_train.jsonl, first {NUM_TARGET}",
        "pool": "pool_cot.jsonl",
        "budget": BUDGET,
        "max_length": MAX_LENGTH,
        "learning_rate": RATE,
        "questions": f"financial_eval.jsonl, first {NUM_QUESTIONS}",
    }
    return run("real_run", settings, measured)


def measured() -> dict:
    shared = shared_folder()
    with tempfile.TemporaryDirectory() as folder:
        return measure(shared, Path(folder))


def measure(shared: Path, folder: Path) -> dict:
    model = f"--model={shared / 'models' / 'base4m'}"
    pool = shared / "data" / "pool_cot.jsonl"
    target = first_lines(
        shared / "data" / "financial_train.jsonl", NUM_TARGET, folder / "target.jsonl"
    )
    select = lambda pool, out: run_command(
        "select",
        model,
        f"--target={target}",
        f"--pool={pool}",
        f"--budget={BUDGET}",
        f"--max-length={MAX_LENGTH}",
        f"--out={out}",
    )
    once = select(pool, folder / "select")
    found = json.loads((folder / "select" / "selection.json").read_text())
    fourfold = select(four_times(pool, folder / "pool.jsonl"), folder / "fourfold")
    random = random_lines(pool, folder / "random.jsonl")
    arms = {
        "base": None,
        "domain only": [target],
        "random + domain": [target, random],
        "selected + domain": [target, folder / "select" / "selected.jsonl"],
    }
    questions = f"--data={shared / 'data' / 'financial_eval.jsonl'}"
    return {
        "select": {
            **once,
            "stages": found["stages"],
            "sources": found["sources"],
            "agreement": found["agreement"],
            "length_score_spearman": found["length_score_spearman"],
        },
        "fourfold_pool": {
            **fourfold,
            "seconds_ratio": fourfold["seconds"] / once["seconds"],
            "peak_ratio": fourfold["peak_mib"] / once["peak_mib"],
        },
        "arms": {
            name: one_arm(model, files, questions, folder / f"arm-{number}")
            for number, (name, files) in enumerate(arms.items())
        },
    }


def one_arm(model: str, files: list[Path] | None, questions: str, out: Path) -> dict:
    """Costs, and what the evaluation says."""
    found, adapter = {}, []
    if files is not None:
        data = ["--data", *map(str, files)]
        flags = [f"--max-length={MAX_LENGTH}", f"--training.learning-rate={RATE}"]
        found["train"] = run_command("train", model, *data, *flags, f"--out={out}-t")
        adapter = [f"--adapter={out}-t/adapter"]
    evaluate = ["evaluate", model, *adapter, questions, f"--num={NUM_QUESTIONS}"]
    found["evaluate"] = run_command(*evaluate, f"--out={out}-e")
    result = json.loads(Path(f"{out}-e/evaluation.json").read_text())
    return {**found, "overall": result["overall"]}


def first_lines(path: Path, number: int, out: Path) -> Path:
    lines = path.read_bytes().splitlines(keepends=True)
    out.write_bytes(b"".join(lines[:number]))
    return out


def random_lines(path: Path, out: Path) -> Path:
    """`BUDGET` random lines of the pool."""
    lines = path.read_bytes().splitlines(keepends=True)
    rows = np.random.default_rng(0).permutation(len(lines))[:BUDGET]
    out.write_bytes(b"".join(lines[row] for row in rows))
    return out


def four_times(path: Path, out: Path) -> Path:
    """The pool four times over, with ids of their own."""
    records = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    with out.open("w", encoding="utf-8") as file:
        for copy in range(4):
            for row in records:
                line = json.dumps({**row, "id": f"{row['id']}-{copy}"})
                file.write(line + "\n")
    return out


if __name__ == "__main__":
    raise SystemExit(main())
