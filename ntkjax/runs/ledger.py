"""Seconds and peak memory of each stage, kept over interruptions.

    RUN/metrics.jsonl           of the run
    RUN/metrics-2-of-8.jsonl    of one of several jobs that share the directory

Each has one writer, so that what one job wrote last stays as it was.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from typing import Any

from ntkjax.devices import processes
from ntkjax.store.folders import entries_of
from ntkjax.store.lines import append_line
from ntkjax.store.run_path import RunPath


class Ledger:
    """Books stages of a run, a line each; a resumed run adds to what is there."""

    def __init__(self):
        self._path: RunPath | None = None
        self._rows: list[dict[str, Any]] = []
        self._last = time.monotonic()

    def keep_in(self, path: RunPath) -> None:
        """Keeps the stages in a file, those booked before too; its own lines count."""
        self._path = path
        for row in self._rows:
            append_line(path, json.dumps(row))

    def book(self, stage: str) -> None:
        """Books the time since the last call on `stage`."""
        processes.note_stage(f"after {stage}")
        if not processes.is_first():
            return
        now = time.monotonic()
        row = {
            "stage": stage,
            "seconds": round(now - self._last, 2),
            "peak_mib": round(peak_mib(), 1),
        }
        self._last = now
        self._rows.append(row)
        if self._path is not None:
            append_line(self._path, json.dumps(row))

    def stages(self) -> list[dict[str, Any]]:
        """Stages of all jobs in their order: the sum of seconds, the highest memory."""
        totals: dict[str, dict[str, Any]] = {}
        for row in self._rows if self._path is None else _rows_beside(self._path):
            name = row["stage"]
            total = totals.setdefault(
                name, {"stage": name, "seconds": 0, "peak_mib": 0}
            )
            total["seconds"] = round(total["seconds"] + row["seconds"], 2)
            total["peak_mib"] = max(total["peak_mib"], row["peak_mib"])
        return list(totals.values())

    def seconds(self) -> dict[str, float]:
        """Seconds of each stage."""
        return {row["stage"]: row["seconds"] for row in self.stages()}


def _rows_beside(path: RunPath) -> Iterator[dict[str, Any]]:
    """The stages in all files of a directory, the jobs' first."""
    for each in sorted(entries_of(path.parent), key=lambda each: each.name):
        if each.name.startswith("metrics") and each.name.endswith(".jsonl"):
            yield from _rows_of(each)


def _rows_of(path: RunPath) -> Iterator[dict[str, Any]]:
    """The stages in a file; a line that a kill cut short is passed over."""
    for line in path.read_bytes().decode(errors="replace").splitlines():
        try:
            row = json.loads(line)
            numbers = {name: float(row[name]) for name in ("seconds", "peak_mib")}
            yield {"stage": str(row["stage"]), **numbers}
        except (ValueError, KeyError, TypeError):
            continue


def peak_mib() -> float:
    """The largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
