"""Kills `ntkjax select` and `ntkjax train` at random moments, and runs them again.

    uv run python -m tests.kills --kills 30

Each run is killed (SIGKILL) at a moment drawn from its whole duration, start-up and end
included, started again and killed once more; then it may finish. It has to end with the
same bits as a run that nobody disturbed. A difference makes the exit code 1.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field

import numpy as np

from tests.commands.select.problem import (
    SAME_BITS,
    flags_of,
    same_bits,
    write_problem,
)
from tests.commands.world import World, build_world


LIMIT = 1800
"""Seconds after which a command is said to hang."""

PER_RUN = 2
"""Kills of a run before it may finish."""

_SCRIPT = "from ntkjax.cli.main import script; script()"


@dataclass(frozen=True)
class Command:
    """A command that is killed, and what it must end with.

    Attributes:
        name: Of the command.
        flags: All but --out.
        result: The file that is written last.
        files: Patterns of the files to compare.
    """

    name: str
    flags: list[str]
    result: str
    files: tuple[str, ...]

    def start(self, out: pathlib.Path) -> subprocess.Popen:
        words = [sys.executable, "-c", _SCRIPT, self.name, *self.flags]
        with out.with_suffix(".log").open("ab") as log:
            return subprocess.Popen(
                [*words, "--out", str(out)],
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"JAX_NUM_CPU_DEVICES": "2", "HF_HUB_OFFLINE": "1"},
            )

    def survives(self, out: pathlib.Path, seconds: float) -> bool:
        """Runs it for so long; whether it ended by itself (and well) before.

        If not it was killed.
        """
        process = self.start(out)
        try:
            code = process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
        if code != 0:
            log = out.with_suffix(".log").read_text(errors="replace")
            raise RuntimeError(f"{self.name} ended with code {code}:\n{log[-2000:]}")
        return True

    def finish(self, out: pathlib.Path) -> float:
        """Runs it to the end; seconds taken."""
        started = time.monotonic()
        if not self.survives(out, LIMIT):
            raise RuntimeError(f"{self.name} did not end within {LIMIT} s.")
        return time.monotonic() - started

    def content(self, out: pathlib.Path) -> dict[str, object]:
        """What must be equal, by name."""
        facts = json.loads((out / self.result).read_text())
        for measured in ("stages", "seconds"):  # by a clock
            facts.pop(measured, None)
        return {**same_bits(out, self.files), self.result: facts}


@dataclass(frozen=True)
class Kill:
    """One kill: how long after the start, and what the run had done by then."""

    command: str
    seconds: float
    stage: str


@dataclass(frozen=True)
class Known:
    """A command, what its undisturbed run wrote, and the seconds that it took."""

    command: Command
    content: dict[str, object]
    duration: float


@dataclass
class Report:
    """What happened.

    Attributes:
        kills: In order.
        differences: Files that are not as in the undisturbed run.
        leftovers: Files that were being written when a kill came.
        num_runs: Runs that were killed.
    """

    kills: list[Kill] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)
    leftovers: int = 0
    num_runs: int = 0


def commands(world: World, num_steps: int) -> list[Command]:
    """Both commands on the small world: many short stages, several checkpoints."""
    training = {
        "training__batch_size": 4,
        "training__learning_rate": 0.01,
        "warmup": "target",
        "training__steps": num_steps,
    }
    select = flags_of(
        world, out=None, rows_per_shard=1, tokens_per_batch=64, **training
    )
    target, pool = world.root / "target.jsonl", world.root / "pool.jsonl"
    train = [
        *("--model", str(world.model), "--data", str(target), str(pool)),
        *("--validation", str(world.queries), "--validate-every", "20"),
        *("--max-length", "24", "--save-every", "10"),
        *("--training.steps", str(num_steps)),
        *("--training.batch-size", "4", "--training.learning-rate", "0.01"),
    ]
    return [
        Command("select", select, "selection.json", SAME_BITS),
        Command("train", train, "train.json", ("adapter/*", "metrics.jsonl")),
    ]


def attack(
    known: Known, root: pathlib.Path, moments: list[float], report: Report
) -> None:
    """One run, killed at some moments of its life, then let finish and compared.

    Args:
        known: The command, and how it ends undisturbed.
        root: Where its directory goes.
        moments: Shares of the duration after which each start is killed. Those that
            came too late, since a resumed run has less to do, are left in the list.
        report: Where kills and differences are noted.
    """
    command = known.command
    out = root / f"{command.name}-{report.num_runs}"
    report.num_runs += 1
    for _ in range(PER_RUN):
        if not moments:
            break
        seconds = moments[0] * known.duration
        if command.survives(out, seconds):
            moments[0] *= 0.8
            break
        moments.pop(0)
        report.kills.append(Kill(command.name, seconds, stage_of(command, out)))
    report.leftovers += sum(1 for _ in out.rglob(".*.partial")) if out.exists() else 0
    command.finish(out)
    found = command.content(out)
    report.differences += [
        f"{out.name}: {name}"
        for name in sorted(found.keys() | known.content.keys())
        if found.get(name) != known.content.get(name)
    ]


def stage_of(command: Command, out: pathlib.Path) -> str:
    """How far a run has come, by what stands in its directory."""
    if not (out / "run.yaml").exists():
        return "start-up"
    if (out / command.result).exists():
        return "exit"
    if command.name == "train":
        steps = _checkpoints(out / "checkpoints")
        return "adapter" if (out / "adapter").exists() else f"training, step {steps}"
    counts = {
        name: len(list(out.glob(f"stages/{name}-*/shard-*.json")))
        for name in ("embeddings", "kernel-scores")
    }
    if (out / "scores.parquet").exists():
        return "report"
    for name in ("kernel-scores", "embeddings"):
        if counts[name]:
            return f"{name}, {counts[name]} shards"
    if (out / "adapter").exists():
        return "embeddings, 0 shards"
    jobs = sorted(out.glob("stages/warmup-*.*-1-of-1/checkpoints"))
    return f"warm-up, step {max(map(_checkpoints, jobs), default=0)}"


def _checkpoints(folder: pathlib.Path) -> int:
    """The newest checkpoint's step, 0 where there is none."""
    found = folder.iterdir() if folder.exists() else ()
    return max((int(path.name) for path in found if path.name.isdigit()), default=0)


def run_kills(
    root: pathlib.Path, num_kills: int, seed: int, num_steps: int = 2000
) -> Report:
    """Kills both commands in turn, `num_kills` times in all.

    Args:
        root: An empty directory.
        num_kills: How often.
        seed: Decides the moments.
        num_steps: Of the warm-up, and of the training.
    """
    world = build_world(root / "world")
    write_problem(world)
    known = [_undisturbed(command, root) for command in commands(world, num_steps)]
    rng = np.random.default_rng(seed)
    left = [_spread(rng, -(-num_kills // 2)), _spread(rng, num_kills // 2)]
    report = Report()
    while any(left):
        for each, moments in zip(known, left, strict=True):
            before = len(report.kills)
            if moments:
                attack(each, root, moments, report)
            for kill in report.kills[before:]:
                line = f"{kill.command:7}{kill.seconds:7.1f} s  {kill.stage}"
                print(line, flush=True)
    return report


def _undisturbed(command: Command, root: pathlib.Path) -> Known:
    out = root / f"{command.name}-undisturbed"
    duration = command.finish(out)
    print(f"undisturbed {command.name}: {duration:.1f} s", flush=True)
    return Known(command, command.content(out), duration)


def _spread(rng: np.random.Generator, count: int) -> list[float]:
    """Shares of a duration, one in each of `count` equal parts, in a random order."""
    parts = (np.arange(count) + rng.uniform(size=count)) / max(count, 1)
    return rng.permutation(parts).tolist()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = run_kills(pathlib.Path(folder), arguments.kills, arguments.seed)
    print(
        f"{len(report.kills)} kills, {report.leftovers} half-written files, "
        f"{len(report.differences)} differences"
    )
    for difference in report.differences:
        print(f"DIFFERENT {difference}")
    return 1 if report.differences else 0


if __name__ == "__main__":
    sys.exit(main())
