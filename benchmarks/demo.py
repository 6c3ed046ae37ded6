"""`ntkjax demo`, as a user runs it, timed as a whole: `python -m benchmarks.demo`.

The README shows its output and its picture from here.
"""

import json
import sys
import tempfile
from pathlib import Path

from benchmarks.processes import run_command
from benchmarks.records import RESULTS, commit, record, write
from ntkjax.reports.demo.plots import accuracy_figure


def main() -> None:
    made_by = commit()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "ntkjax-demo"
        cost = run_command("demo", f"--out={out}")
        found = json.loads((out / "demo.json").read_text())
    for name in ("versions", "device"):
        found.pop(name)
    seconds = cost.pop("seconds")
    findings = {"demo": found, **cost}
    write(
        record("demo", {}, seconds, findings, made_by), accuracy_figure(found), RESULTS
    )
    print(f"{seconds:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
