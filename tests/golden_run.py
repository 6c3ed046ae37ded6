"""Every command on a real model, and whether two versions of the code agree on it.

    python -m tests.golden_run run FOLDER         needs NTKJAX_SHARED's stories260k
    python -m tests.golden_run compare OLD NEW    arrays by bits, JSON by numbers

A change that should change no number is shown to change none: `run` before it, `run`
after it on the same machine, `compare`. What a run says of its time, versions and
identity is left out.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow.parquet
import safetensors.numpy


ROOT = pathlib.Path(__file__).resolve().parents[1]
SHARED = pathlib.Path(os.environ.get("NTKJAX_SHARED", ROOT.parent / "shared"))
_START = "import ntkjax.cli.main as m; m.script()"
METHODS = ("ntk", "gradient-dot", "less", "dualsft", "rds")

# What two runs of the same code may say differently.
VOLATILE = {
    "seconds",
    "stages",
    "versions",
    "device",
    "schema",
    "peak_memory",
    "outputs",
}


def commands(data: pathlib.Path) -> Iterator[list[str]]:
    """The commands, to be run in one folder one after the other."""
    model = ["--model", str(SHARED / "models" / "stories260k"), "--max-length", "64"]
    target, pool, questions = (str(data / f"{n}.jsonl") for n in ("t", "p", "e"))
    yield [
        *("fidelity", *model, "--queries", target, "--candidates", pool),
        *("--num-queries", "4", "--num-candidates", "12", "--top", "4"),
        *("--kernels", "summed", "spectral_4", "random_4", "deflated_2_2"),
        *("--sketches", "shift:256", "--out", "fidelity"),
    ]
    select = [
        *("select", *model, "--target", target, "--pool", pool, "--budget", "8"),
        *("--rows-per-shard", "16", "--tokens-per-batch", "192"),
    ]
    for method in METHODS:
        more = []
        if method == "dualsft":
            more = ["--mask.share", "0.1", "--validation-share", "0.5"]
        if method in ("ntk", "less"):
            more = ["--training.epochs", "1", "--training.batch-size", "8"]
        yield [*select, "--method", method, *more, "--out", f"select-{method}"]
    for part in (1, 2, 3):
        out = ["--shard", f"{part}/3", "--out", f"job{part}"]
        yield [*select, "--method", "gradient-dot", *out]
    yield ["merge", "job1", "job2", "job3", "--out", "merged"]
    mask = ["--mask.share", "0.05", "--mask.granularity", "matrix"]
    yield ["mask", "--scores", "select-dualsft", *mask, "--out", "mask.safetensors"]
    chosen = ["select-ntk/selected.jsonl", target]
    yield [
        *("train", *model, "--data", *chosen, "--training.epochs", "2"),
        *("--training.batch-size", "4", "--mask", "mask.safetensors"),
        *("--validation-share", "0.2", "--validate-every", "2", "--out", "train"),
    ]
    yield [
        *("evaluate", *model, "--adapter", "train/adapter", "--data", questions),
        *("--generate", "--max-new-tokens", "4", "--out", "evaluate"),
    ]


def run(folder: pathlib.Path) -> None:
    """Runs all commands in a new folder."""
    shutil.rmtree(folder, ignore_errors=True)
    data = folder / "data"
    data.mkdir(parents=True)
    for name, source, number in (
        ("t", "financial_train", 12),
        ("p", "pool_cot", 60),
        ("e", "financial_eval", 10),
    ):
        lines = (SHARED / "data" / f"{source}.jsonl").read_text().splitlines()
        (data / f"{name}.jsonl").write_text("\n".join(lines[:number]) + "\n")
    for arguments in commands(data.relative_to(folder)):
        print("ntkjax", *arguments, flush=True)
        subprocess.run(
            [sys.executable, "-c", _START, *arguments],
            cwd=folder,
            check=True,
            env=os.environ | {"HF_HUB_OFFLINE": "1"},
        )


def compare(old: pathlib.Path, new: pathlib.Path) -> list[str]:
    """What differs, a line each."""
    found = []
    names = {
        path.relative_to(folder)
        for folder in (old, new)
        for path in folder.rglob("*")
        if path.suffix in (".json", ".jsonl", ".parquet", ".safetensors")
        and not {"stages", "checkpoints"} & set(path.relative_to(folder).parts)
        and path.name not in ("manifest.json", "metrics.jsonl")
    }
    for name in sorted(names):
        a, b = old / name, new / name
        if not (a.exists() and b.exists()):
            found.append(f"{name}: only in {old if a.exists() else new}")
            continue
        found += [f"{name}: {line}" for line in differences(_read(a), _read(b))]
    return found


def differences(a: Any, b: Any, where: str = "") -> Iterator[str]:
    """Where two nested values differ."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in sorted((a.keys() | b.keys()) - VOLATILE):
            if key not in a or key not in b:
                yield f"{where}.{key}: only in the {'old' if key in a else 'new'}"
            else:
                yield from differences(a[key], b[key], f"{where}.{key}")
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (x, y) in enumerate(zip(a, b, strict=True)):
            yield from differences(x, y, f"{where}[{index}]")
    elif isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
            yield f"{where}: arrays differ"
    elif a != b:
        yield f"{where}: {a!r} and {b!r}"


def _read(path: pathlib.Path) -> Any:
    if path.suffix == ".safetensors":
        return dict(safetensors.numpy.load_file(path))
    if path.suffix == ".parquet":
        return pyarrow.parquet.read_table(path).to_pydict()
    if path.suffix == ".jsonl":
        return path.read_text(encoding="utf-8")
    return json.loads(path.read_text(encoding="utf-8"))


if __name__ == "__main__":
    if sys.argv[1] == "run":
        run(pathlib.Path(sys.argv[2]).resolve())
    else:
        lines = compare(*map(pathlib.Path, sys.argv[2:4]))
        print(*lines, sep="\n")
        print(f"{len(lines)} differences.")
        sys.exit(bool(lines))
