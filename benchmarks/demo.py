"""`ntkjax demo`, as a user runs it, timed as a whole: `python -m benchmarks.demo`.

The README shows its output and its picture from here.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks.processes import run_command
from benchmarks.records import RESULTS, commit, record, write
from ntkjax.reports.demo.plots import accuracy_figure
from ntkjax.reports.demo.result import DemoResult
from ntkjax.store.results import read_result
from ntkjax.store.run_directory import plain_values


def main() -> None:
    made_by = commit()
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "ntkjax-demo"
        cost = run_command("demo", f"--out={out}")
        result = read_result(out / "demo.json", DemoResult)
    found = plain_values(result, without=("schema", "versions", "device"))
    seconds = cost.pop("seconds")
    findings = {"demo": found, **cost}
    figure = accuracy_figure(result)
    write(record("demo", {}, seconds, findings, made_by), figure, RESULTS)
    print(f"{seconds:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
