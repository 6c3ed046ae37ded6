"""Rates of two processes and of one: `python -m benchmarks.two_processes`.

The same selection on the embedded model, by one process on one core and by two on a
core each, in turns. A rate counts the shards that are written after every process has
its first one, which holds texts of every padded length: neither start-up nor
compilation is in it, but the wait for the slower process at the end is. The gate
before: all runs end with the same scores.
"""

import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pyarrow import parquet

from benchmarks.records import RESULTS, NotMeasured, commit, record
from ntkjax.data.world import make_world, write_world
from ntkjax.store.atomic import write_json
from tests.commands.session import free_port, meeting


ROUNDS = 5
WORLDS = 4
"""Their pools together are the pool."""
ROWS_PER_SHARD = 200
_PROGRAM = "from ntkjax.cli.main import script; script()"


def run(data: Path, out: Path, cores: list[int]) -> float:
    """Runs the selection with a process on each core; its examples per second."""
    words = [
        *("select", "--model", "embedded", "--method", "gradient-dot"),
        *("--target", str(data / "medical_train.jsonl")),
        *("--pool", str(data / "pools.jsonl"), "--budget", "100"),
        *("--warmup", "none", "--shortlist", "none", "--out", str(out)),
        *("--rows-per-shard", str(ROWS_PER_SHARD)),
    ]
    port, count = free_port(), len(cores)
    started = [
        _start([*words, *(meeting(index, count, port) if count > 1 else [])], core)
        for index, core in enumerate(cores)
    ]
    for process in started:
        _, said = process.communicate()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, words, None, said)
    return rate(out, count)


def write_pools(path: Path) -> None:
    """The pools of several worlds in one file, each record named by its world, too."""
    with path.open("w") as file, tempfile.TemporaryDirectory() as folder:
        for seed in range(WORLDS):
            write_world(make_world(seed), Path(folder) / str(seed))
            for line in (Path(folder) / str(seed) / "pool.jsonl").open():
                record = json.loads(line)
                file.write(
                    json.dumps({**record, "id": f"{seed}-{record['id']}"}) + "\n"
                )


def _start(words: list[str], core: int) -> subprocess.Popen:
    return subprocess.Popen(
        ["taskset", "--cpu-list", str(core), sys.executable, "-c", _PROGRAM, *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "1", "JAX_PLATFORMS": "cpu"},
    )


def rate(out: Path, count: int) -> float:
    """Examples per second of the scores, from when every process has a shard."""
    [folder] = out.glob("stages/loss-products-*")
    times = {
        int(re.sub(r"\D", "", path.name)): path.stat().st_mtime
        for path in folder.glob("shard-*.json")
    }
    begin = max(
        min(t for s, t in times.items() if s % count == k) for k in range(count)
    )
    later = sum(t > begin for t in times.values())
    return later * ROWS_PER_SHARD / (max(times.values()) - begin)


def scores(out: Path) -> np.ndarray:
    return parquet.read_table(out / "scores.parquet")["score"].to_numpy()


def main() -> None:
    made_by, began = commit(), time.perf_counter()
    cores = sorted(os.sched_getaffinity(0))[:2]
    rates: dict[str, list[float]] = {"one": [], "two": []}
    with tempfile.TemporaryDirectory() as parent:
        data = Path(parent) / "data"
        write_world(make_world(0), data)
        write_pools(data / "pools.jsonl")
        known = None
        for turn in range(ROUNDS):
            for name, used in (("one", cores[:1]), ("two", cores)):
                out = Path(parent) / f"{name}-{turn}"
                rates[name].append(run(data, out, used))
                known = scores(out) if known is None else known
                if not np.array_equal(known, scores(out)):
                    raise NotMeasured(f"{out.name}: other scores than the first run's.")
            print(rates["one"][-1], rates["two"][-1], flush=True)
        size = known.size
    findings = {
        **{f"{name}_per_second": [round(r, 1) for r in rates[name]] for name in rates},
        "ratio_of_medians": round(
            statistics.median(rates["two"]) / statistics.median(rates["one"]), 3
        ),
    }
    settings = {"rounds": ROUNDS, "rows_per_shard": ROWS_PER_SHARD, "pool": size}
    seconds = time.perf_counter() - began
    result = record("two_processes", settings, seconds, findings, made_by)
    write_json(RESULTS / "two_processes.json", result)
    print(findings)


if __name__ == "__main__":
    main()
