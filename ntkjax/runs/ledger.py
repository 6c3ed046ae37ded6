"""Seconds and peak memory of each stage, kept over interruptions in `metrics.jsonl`."""

import json
import resource
import sys
import time
from typing import Any

from ntkjax.devices import processes
from ntkjax.store.lines import append_line
from ntkjax.store.run_path import RunPath


METRICS = "metrics.jsonl"


class Ledger:
    """Books stages of a run, a line each; a resumed run adds to what is there."""

    def __init__(self, path: RunPath):
        self._path = path
        self._last = time.monotonic()

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
        append_line(self._path, json.dumps(row))

    def stages(self) -> list[dict[str, Any]]:
        """Stages in their order: the sum of seconds, the highest memory."""
        totals: dict[str, dict[str, Any]] = {}
        for line in self._path.read_bytes().decode().splitlines():
            try:
                row = json.loads(line)
                name, seconds, peak = row["stage"], row["seconds"], row["peak_mib"]
            except (ValueError, KeyError, TypeError):
                continue  # a line that a kill cut short
            total = totals.setdefault(
                name, {"stage": name, "seconds": 0, "peak_mib": 0}
            )
            total["seconds"] = round(total["seconds"] + seconds, 2)
            total["peak_mib"] = max(total["peak_mib"], peak)
        return list(totals.values())


def peak_mib() -> float:
    """The largest resident memory of this process so far, in MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
