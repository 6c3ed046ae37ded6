"""Kills `ntkjax select` of several processes at random moments, and starts it again.

    uv run python -m tests.process_kills --kills 20

Four processes with a device each, in two series: a copy of the weights lies across all
of them (model=4), or across every two (data=2,model=2). At a random moment one process
or all get SIGKILL; the others must end by themselves within a stated time. Then it is
started again with 1 to 4 processes, and so on, until it may finish. It has to choose
the same examples as a run of one process that nobody disturbed, with the same votes
and scores up to rounding (meshes differ). A difference, a shard that is half written,
or a process that hangs makes the exit code 1.
"""

import argparse
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

import numpy as np

from benchmarks.records import RESULTS, commit, record
from ntkjax.store.atomic import write_json
from ntkjax.store.records import read_record
from ntkjax.store.shards import whole_content
from tests.commands.select.problem import (
    flags_of,
    lines_of,
    numbers,
    write_problem,
)
from tests.commands.session import end_all, free_port, meeting, start
from tests.commands.world import World, build_world


MOST = 4
PER_RUN = 4
"""Kills of a run before it may finish."""

HEARTBEAT = 10
BOUND = 75
"""Seconds within which a process that lost another must have ended: it waits 45 s for
others at the start, and hears of a loss within the heartbeat time-out or two."""

A_PEER_WAS_LOST = 75
"""The exit code of a process that found it out before JAX did."""

LIMIT = 900
"""Seconds after which an undisturbed command is said to hang."""

TOLERANCE = 1e-5
"""Of the largest number: a warm-up may go on where another mesh left it, and the first
steps of Adam are signs of gradients."""

MESHES = {
    "model-only": {1: "data=1", 2: "model=2", 3: "data=3", 4: "model=4"},
    "mixed": {1: "data=1", 2: "model=2", 3: "data=3", 4: "data=2,model=2"},
}
"""Mesh by number of processes; three devices cannot share four heads."""


@dataclass(frozen=True)
class Kill:
    """One kill.

    Attributes:
        series: Which meshes.
        processes: How many there were.
        whom: Number of the one that was killed; None for all.
        after: Seconds from the start.
        ended_within: Seconds that the others took to end.
        stage: What the run had done.
    """

    series: str
    processes: int
    whom: int | None
    after: float
    ended_within: float
    stage: str


@dataclass
class Report:
    """What happened."""

    kills: list[Kill] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    largest_difference: float = 0.0


def launch(world: World, out: pathlib.Path, series: str, count: int) -> list:
    """The processes of the selection."""
    changes = {
        "warmup": "target",
        "training__steps": 60,
        "training__batch_size": 4,
        "rows_per_shard": 2,
        "tokens_per_batch": 64,
        "shortlist_size": 16,
        "mesh": MESHES[series][count],
    }
    words = ["select", *flags_of(world, out=out, **changes)]
    port = free_port()
    return [
        start(
            [*words, *(meeting(index, count, port, HEARTBEAT) if count > 1 else [])],
            out.with_name(f"{out.name}-{index}.log"),
            1,
        )
        for index in range(count)
    ]


def finish(world: World, out: pathlib.Path, series: str, count: int) -> float:
    """Lets it end; seconds taken.

    Raises:
        RuntimeError: If it fails or hangs.
    """
    began = time.monotonic()
    codes = end_all(launch(world, out, series, count), LIMIT)
    if any(codes):
        logs = sorted(out.parent.glob(f"{out.name}-*.log"))
        said = "\n".join(log.read_text(errors="replace")[-2000:] for log in logs)
        raise RuntimeError(f"{out.name}, {count} processes: codes {codes}\n{said}")
    return time.monotonic() - began


def disturb(
    started: list[subprocess.Popen], seconds: float, whom: int | None
) -> float | None:
    """Kills after so long; how long the others lived on. None if all had ended."""
    time.sleep(seconds)
    if all(process.poll() == 0 for process in started):
        return None
    for index, process in enumerate(started):
        if whom in (None, index):
            process.kill()
    began = time.monotonic()
    codes = end_all(started, BOUND)
    lasted = time.monotonic() - began
    allowed = {0, -signal.SIGKILL, -signal.SIGABRT, A_PEER_WAS_LOST}
    if not set(codes) <= allowed or lasted >= BOUND:
        raise RuntimeError(f"after a kill of {whom}: codes {codes} in {lasted:.0f} s")
    return lasted


def stage_of(out: pathlib.Path) -> str:
    """How far a run has come, by what stands in its directory."""
    if (out / "selection.json").exists():
        return "exit"
    for name in ("kernel-scores", "embeddings"):
        count = len(list(out.glob(f"stages/{name}-*/shard-*.json")))
        if count:
            return f"{name}, {count} shards"
    if any(out.glob("stages/warmup-*/history.json")):
        return "warmed up"
    steps = [int(path.name) for path in out.glob("stages/*/checkpoints/[0-9]*")]
    if steps:
        return f"warm-up, step {max(steps)}"
    return "opened" if (out / "run.yaml").exists() else "start-up"


def half_written(out: pathlib.Path) -> list[str]:
    """Records of shards without the arrays that they name."""
    records = {path: read_record(path) for path in out.glob("stages/*/shard-*.json")}
    return [
        f"{path.relative_to(out)}: half-written"
        for path, record in records.items()
        if record is None or whole_content(path, record) is None
    ]


def compare(out: pathlib.Path, alone: pathlib.Path, report: Report) -> None:
    if lines_of(out / "selected.jsonl") != lines_of(alone / "selected.jsonl"):
        report.problems.append(f"{out.name}: other examples are selected")
    for name in ("votes", "score"):
        found, expected = numbers(out, name), numbers(alone, name)
        if not np.array_equal(np.isnan(found), np.isnan(expected)):
            report.problems.append(f"{out.name}: other rows have {name}")
            continue
        largest = np.nanmax(np.abs(expected))
        difference = float(np.nanmax(np.abs(found - expected)) / largest)
        report.largest_difference = max(report.largest_difference, difference)
        if difference > TOLERANCE:
            report.problems.append(f"{out.name}: {name} differ by {difference:.1e}")


def run_series(
    world: World, series: str, num_kills: int, rng: np.random.Generator, report: Report
) -> None:
    """One series: runs that are killed `PER_RUN` times each, then finished."""
    alone = world.root / "alone"
    duration = finish(world, world.root / f"{series}-whole", series, MOST)
    compare(world.root / f"{series}-whole", alone, report)
    done = run = 0
    while done < num_kills:
        out = world.root / f"{series}-{run}"
        run += 1
        for _ in range(PER_RUN):
            count = int(rng.integers(1, MOST + 1))
            whom = None if rng.random() < 0.4 else int(rng.integers(count))
            after = float(rng.uniform(0, duration))
            ended = disturb(launch(world, out, series, count), after, whom)
            if ended is None:
                break
            stage = stage_of(out)
            report.problems += half_written(out)
            kill = Kill(series, count, whom, round(after, 1), round(ended, 1), stage)
            report.kills.append(kill)
            print(kill, flush=True)
            done += 1
        finish(world, out, series, int(rng.integers(1, MOST + 1)))
        compare(out, alone, report)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="write the results file")
    given = parser.parse_args()
    made_by, began, report = commit(), time.monotonic(), Report()
    rng = np.random.default_rng(given.seed)
    with tempfile.TemporaryDirectory() as folder:
        world = build_world(pathlib.Path(folder) / "world")
        write_problem(world)
        finish(world, world.root / "alone", "mixed", 1)
        shares = given.kills // 2, -(-given.kills // 2)
        for series, share in zip(MESHES, shares, strict=True):
            run_series(world, series, share, rng, report)
    for problem in report.problems:
        print(f"PROBLEM {problem}")
    findings = {
        "kills": [vars(kill) for kill in report.kills],
        "problems": report.problems,
        "largest_difference": report.largest_difference,
        "longest_until_ended": max(kill.ended_within for kill in report.kills),
    }
    print(f"{len(report.kills)} kills, {len(report.problems)} problems")
    if given.record:
        settings = {"kills": given.kills, "seed": given.seed, "heartbeat": HEARTBEAT}
        result = record(
            "process_kills", settings, time.monotonic() - began, findings, made_by
        )
        result["command"] = "python -m tests.process_kills --record"
        write_json(RESULTS / "process_kills.json", result)
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
