"""Every method of `select` on real text: `python -m benchmarks.real_methods`.

base4m; the first 200 training examples of the financial file; 4,000 of the 16,695
chain-of-thought examples, drawn at random; 300 of them chosen, 128 tokens at most.
Every method is a command of its own, at its defaults but for a smaller LESS sketch.

The commands share one folder of stages and run in the order of `order`. Of methods with
a warm-up or a pass in common the first pays for it: `seconds` belong to this order.
`overlap` is the Jaccard index of two selections; `chance_overlap` is about what two
unrelated ones reach.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks.processes import run_command
from benchmarks.real_run import first_lines
from benchmarks.records import run, shared_folder
from ntkjax.data.examples import read_examples
from ntkjax.selection.dualsft.rescoring import jaccard
from ntkjax.selection.methods.table import METHODS


NUM_TARGET, NUM_POOL, NUM_RETAIN, MAX_LENGTH, SEED = 200, 4000, 200, 128, 0
BUDGET = 300
OPTIONS = {"less": ("--sketch.size=2048",)}


@dataclass(frozen=True)
class Task:
    """A domain and a pool, as files.

    Attributes:
        model: Folder of the model, or `embedded`.
        target: The domain's examples.
        pool: The candidates.
        retain: General text that is in neither.
        questions: What a fine-tuned model is asked.
        max_length: Longest example in tokens.
    """

    model: str
    target: Path
    pool: Path
    retain: Path
    questions: Path
    max_length: int = MAX_LENGTH


def main() -> int:
    settings = {**task_settings(), "budget": BUDGET, "options": OPTIONS}
    return run("real_methods", settings, measured)


def measured() -> dict:
    shared = shared_folder()
    with tempfile.TemporaryDirectory() as folder:
        return measure(financial_task(shared, Path(folder)), Path(folder))


def financial_task(shared: Path, folder: Path) -> Task:
    """Financial news, and a sample of chain-of-thought examples; files in `folder`."""
    data = shared / "data"
    target = first_lines(
        data / "financial_train.jsonl", NUM_TARGET, folder / "target.jsonl"
    )
    lines = (data / "pool_cot.jsonl").read_bytes().splitlines(keepends=True)
    drawn = np.random.default_rng(SEED).permutation(len(lines))
    parts = {
        "pool": drawn[:NUM_POOL],
        "retain": drawn[NUM_POOL : NUM_POOL + NUM_RETAIN],
    }
    for name, rows in parts.items():
        text = b"".join(lines[row] for row in np.sort(rows))
        (folder / f"{name}.jsonl").write_bytes(text)
    return Task(
        str(shared / "models" / "base4m"),
        target,
        folder / "pool.jsonl",
        folder / "retain.jsonl",
        data / "financial_eval.jsonl",
    )


def task_settings() -> dict:
    """What a results file says of `financial_task`."""
    return {
        "model": "base4m",
        "target": f"financial_train.jsonl, first {NUM_TARGET}",
        "pool": f"pool_cot.jsonl, {NUM_POOL} drawn at random",
        "max_length": MAX_LENGTH,
        "seed": SEED,
    }


def measure(
    task: Task,
    folder: Path,
    budget: int = BUDGET,
    methods: Sequence[str] = tuple(METHODS),
) -> dict:
    """Costs and selections of the methods, one after the other."""
    runs = {method: one_method(task, method, budget, folder) for method in methods}
    chosen = {method: chosen_ids(folder / method) for method in methods}
    overlap = {
        one: {other: jaccard(ids, chosen[other]) for other in methods if other != one}
        for one, ids in chosen.items()
    }
    both = budget**2 / len(read_examples([task.pool]))
    return {
        "order": list(methods),
        "methods": runs,
        "overlap": overlap,
        "chance_overlap": both / (2 * budget - both),
    }


def one_method(task: Task, method: str, budget: int, folder: Path) -> dict:
    """Seconds and memory of the command, and what it says of its selection."""
    costs = run_command(
        "select",
        f"--model={task.model}",
        f"--target={task.target}",
        f"--pool={task.pool}",
        f"--method={method}",
        f"--budget={budget}",
        f"--max-length={task.max_length}",
        f"--stages={folder / 'stages'}",
        f"--out={folder / method}",
        *OPTIONS.get(method, ()),
    )
    found = json.loads((folder / method / "selection.json").read_text("utf-8"))
    return {
        **costs,
        "stages": found["stages"],
        "warmup": found["warmup"]["kind"],
        "picker": found["picker"],
        "sources": {row["source"]: row["selected"] for row in found["sources"]},
        "length_score_spearman": found["length_score_spearman"],
    }


def chosen_ids(run: Path) -> np.ndarray:
    """Ids of the examples that a run chose."""
    return np.array([e.id for e in read_examples([run / "selected.jsonl"])])


if __name__ == "__main__":
    raise SystemExit(main())
