"""Each module's quick measurement, from a random model to JSON and SVG."""

import json
import math
from collections.abc import Iterator

import pytest

from benchmarks import cross_terms, ranking
from benchmarks.command import measured
from benchmarks.records import write


pytestmark = pytest.mark.slow  # compiles a dozen small programs

PROVENANCE = {
    "benchmark", "command", "commit", "date", "device", "precision", "versions",
    "seconds", "settings", "gate_error", "summary", "rows",
}  # fmt: skip


def numbers_in(value) -> Iterator[float]:
    """All numbers of nested dicts and lists."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for part in value:
            yield from numbers_in(part)
    elif isinstance(value, int | float):
        yield float(value)


@pytest.fixture(scope="module", params=[cross_terms, ranking], ids=lambda m: m.__name__)
def finished(request, tiny):
    benchmark = request.param.BENCHMARK
    return benchmark, measured(benchmark, tiny, benchmark.settings(True))


def test_json_has_the_promised_fields_and_finite_numbers(finished, tmp_path):
    benchmark, result = finished
    path = write(result, benchmark.figure(result), tmp_path)
    stored = json.loads(path.read_text(encoding="utf-8"))
    assert stored.keys() >= PROVENANCE
    found = list(numbers_in(stored))
    assert len(found) > 100
    assert all(map(math.isfinite, found))


def test_figure_is_deterministic(finished):
    benchmark, result = finished
    first = benchmark.figure(result)
    assert first == benchmark.figure(json.loads(json.dumps(result)))
    assert first.startswith("<?xml")


def test_table_names_every_point(finished):
    benchmark, result = finished
    table = benchmark.table(result)
    assert all(entry["level"] in table for entry in result["summary"])


def test_summary_is_the_rows_over_seeds(finished):
    _, result = finished
    assert [entry["level"] for entry in result["summary"]] == ["base point", "B ≠ 0"]
    for entry, row in zip(result["summary"], result["rows"], strict=True):
        names = [kernel["name"] for kernel in row["kernels"]]
        listed = entry["kernels"]
        found = listed if isinstance(listed, dict) else [k["name"] for k in listed]
        assert list(found) == names
