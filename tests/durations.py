"""Recorded seconds of every test file, for the order in which files run.

    uv run pytest -n 2 --record-durations

writes them into durations.json; files that did not run keep what they had.
"""

import collections
import json
import pathlib


ROOT = pathlib.Path(__file__).resolve().parents[1]
FILE = pathlib.Path(__file__).with_suffix(".json")


def read() -> dict[str, list[float]]:
    """For each test file its seconds: [tests that are not slow, slow ones]."""
    return json.loads(FILE.read_bytes()) if FILE.exists() else {}


def longest_first(items: list) -> None:
    """Sorts by files; one that was never recorded counts as the average."""
    recorded = read()
    tiers = collections.defaultdict(set)
    for item in items:
        tiers[item.path].add(item.get_closest_marker("slow") is not None)
    known = [sum(seconds) for seconds in recorded.values()]
    average = sum(known) / max(1, len(known))

    def seconds(path: pathlib.Path) -> float:
        found = recorded.get(str(path.relative_to(ROOT)))
        return sum(found[tier] for tier in tiers[path]) if found else average

    items.sort(key=lambda item: (-seconds(item.path), str(item.path)))


class Recorder:
    """A plugin of pytest that writes the seconds of what ran."""

    def __init__(self):
        self.seconds = collections.defaultdict(lambda: [0.0, 0.0])

    def pytest_runtest_logreport(self, report):
        file = report.nodeid.split("::")[0]
        self.seconds[file]["slow" in report.keywords] += report.duration

    def pytest_sessionfinish(self):
        found = read() | {
            file: [round(seconds, 1) for seconds in both]
            for file, both in self.seconds.items()
        }
        lines = [
            f"{json.dumps(file)}: {json.dumps(found[file])}"
            for file in sorted(found)
            if (ROOT / file).exists()
        ]
        FILE.write_text("{\n" + ",\n".join(lines) + "\n}\n")
