"""Results files: what every module writes, and where it looks for models and data.

A result is JSON with the commit, the date, the device, versions, sizes and the command
that made it, so that a number in it can be made again. It names models and data files,
never folders of the machine.
"""

import datetime
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from ntkjax.runs import environment
from ntkjax.store.atomic import write_atomically, write_json


ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benchmarks" / "results"


class NotMeasured(Exception):
    """Why a module cannot measure; its message is the one line that the user sees."""


def shared_folder(given: Path | None = None) -> Path:
    """The folder of real models and data: `given`, NTKJAX_SHARED or ../shared.

    Raises:
        NotMeasured: If it is absent.
    """
    folder = given or Path(os.environ.get("NTKJAX_SHARED", ROOT.parent / "shared"))
    for part in ("models", "data"):
        if not (folder / part).is_dir():
            raise NotMeasured(
                f"no {part} in {folder}: set NTKJAX_SHARED or --shared, or --quick."
            )
    return folder


def commit() -> str:
    """The commit, with `-dirty` if files changed outside benchmarks/results.

    `unknown` outside a git checkout.
    """
    try:
        found = _git("rev-parse", "HEAD").strip()
        changed = _git("status", "--porcelain", "--untracked-files=all").splitlines()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    paths = [line[3:].split(" -> ")[-1].strip('"') for line in changed]
    dirty = any(not path.startswith("benchmarks/results/") for path in paths)
    return found + "-dirty" * dirty


def record(
    module: str,
    settings: dict,
    seconds: float,
    findings: dict,
    made_by: str | None = None,
) -> dict:
    """The content of a results file.

    Args:
        module: Such as `cross_terms`.
        settings: Sizes, seeds and base point.
        seconds: Wall time of the whole measurement.
        findings: What was measured, ready for JSON.
        made_by: The commit when the module started; by default the present one.
    """
    # Values of flags that are folders stay out.
    flags = [word for word in sys.argv[1:] if word == "--quick"]
    return {
        "benchmark": module,
        "command": " ".join(["python -m", f"benchmarks.{module}", *flags]),
        "commit": made_by or commit(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": environment.device(),
        "precision": environment.precision(),
        "versions": environment.versions(),
        "seconds": round(seconds, 1),
        "settings": settings,
        **findings,
    }


def run(module: str, settings: dict, measure: Callable[[], dict]) -> int:
    """Measures and writes `<module>.json`; 2, and one line, where it cannot measure.

    Args:
        module: Such as `real_run`.
        settings: As in `record`.
        measure: Gives the findings.
    """
    made_by, started = commit(), time.perf_counter()
    try:
        findings = measure()
    except NotMeasured as reason:
        print(f"benchmarks.{module}: {reason}", file=sys.stderr)
        return 2
    seconds = time.perf_counter() - started
    result = record(module, settings, seconds, findings, made_by)
    RESULTS.mkdir(parents=True, exist_ok=True)
    write_json(RESULTS / f"{module}.json", result)
    return 0


def write(result: dict, figure: str, out: Path) -> Path:
    """`<module>.json` and `<module>.svg` in `out`; returns the former's path."""
    out.mkdir(parents=True, exist_ok=True)
    name = result["benchmark"]
    text = lambda path: path.write_text(figure, encoding="utf-8")
    write_atomically(out / f"{name}.svg", text)
    write_json(out / f"{name}.json", result)
    return out / f"{name}.json"


def _git(*words: str) -> str:
    done = subprocess.run(
        ["git", *words], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout
