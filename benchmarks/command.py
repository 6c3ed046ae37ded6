"""What every module does on the command line: gate, measure, write, print a table."""

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tyro

from benchmarks.gate import require_exact
from benchmarks.records import (
    RESULTS,
    NotMeasured,
    commit,
    record,
    shared_folder,
    write,
)
from benchmarks.subjects import Subject, random_subject, real_subject
from ntkjax.devices.mesh import one_cpu_device_per_core


MODELS = ("stories260k", "base4m")


@dataclass(frozen=True)
class Flags:
    """Flags of every module.

    Attributes:
        quick: A tiny random decoder in seconds, without shared models and data.
        out: Folder of the results.
        shared: Folder with models and data. Default: NTKJAX_SHARED, else ../shared.
    """

    quick: bool = False
    out: Path = RESULTS
    shared: Path | None = None


@dataclass(frozen=True)
class Benchmark:
    """One module.

    Attributes:
        name: Of the module and its results.
        settings: Settings by `quick`, a dataclass.
        measure: (subjects, settings) to the findings, ready for JSON.
        figure: A result to an SVG.
        table: A result to text for the terminal.
    """

    name: str
    settings: Callable[[bool], Any]
    measure: Callable[[list[Subject], Any], dict]
    figure: Callable[[dict], str]
    table: Callable[[dict], str]


def main(benchmark: Benchmark, arguments: list[str] | None = None) -> int:
    """Runs the module and returns the exit code: 2 where it cannot measure."""
    flags = tyro.cli(Flags, prog=f"benchmarks.{benchmark.name}", args=arguments)
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    one_cpu_device_per_core()
    try:
        result = measured(benchmark, subjects(flags), benchmark.settings(flags.quick))
    except NotMeasured as reason:
        print(f"benchmarks.{benchmark.name}: {reason}", file=sys.stderr)
        return 2
    path = write(result, benchmark.figure(result), flags.out)
    print(benchmark.table(result))
    print(
        f"{result['seconds']:.0f} s; {path.name} and {benchmark.name}.svg are written"
    )
    return 0


def subjects(flags: Flags) -> list[Subject]:
    """The models to be measured."""
    if flags.quick:
        return [random_subject()]
    shared = shared_folder(flags.shared)
    return [real_subject(shared, name) for name in MODELS]


def measured(benchmark: Benchmark, subjects: list[Subject], settings: Any) -> dict:
    """The result: the gate first, then the measurement."""
    began, made_by = time.monotonic(), commit()
    gate = require_exact()
    findings = benchmark.measure(subjects, settings)
    seconds = time.monotonic() - began
    described = {"models": [s.name for s in subjects], **asdict(settings)}
    findings = {"gate_error": gate, **findings}
    return record(benchmark.name, described, seconds, findings, made_by)


def say(line: str) -> None:
    """Progress, on standard error."""
    print(line, file=sys.stderr, flush=True)
