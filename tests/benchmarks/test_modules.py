"""Each module's quick measurement, from a random model to JSON and SVG."""

import json
import math
from collections.abc import Iterator

import pytest

from benchmarks import (
    cross_terms,
    dualsft,
    methods,
    ranking,
    readme_methods,
    real_methods,
)
from benchmarks.command import measured
from benchmarks.dualsft_arms import Arm, Training
from benchmarks.dualsft_choices import IN_B, Amounts
from benchmarks.records import write
from ntkjax.data.world import make_world, write_world
from ntkjax.training.settings import TrainingSettings


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


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """A small part of the small world; no shared files."""
    folder = tmp_path_factory.mktemp("task")
    write_world(make_world(0), folder)
    lines = (folder / "pool.jsonl").read_bytes().splitlines(keepends=True)
    target = (folder / "legal_train.jsonl").read_bytes().splitlines(keepends=True)
    parts = {"few": lines[:64], "retain": lines[64:72], "target": target[:12]}
    for name, some in parts.items():
        (folder / f"{name}.jsonl").write_bytes(b"".join(some))
    return real_methods.Task(
        "embedded",
        folder / "target.jsonl",
        folder / "few.jsonl",
        folder / "retain.jsonl",
        folder / "legal_eval.jsonl",
        max_length=24,
    )


def test_methods_on_real_text_are_compared_pair_by_pair(task, tmp_path):
    names = ("dsir", "random")
    found = real_methods.measure(task, tmp_path, budget=10, methods=names)
    assert found["order"] == list(names)
    assert found["overlap"]["dsir"] == {"random": found["overlap"]["random"]["dsir"]}
    for run in found["methods"].values():
        assert sum(run["sources"].values()) == 10
        assert run["seconds"] > 0
        assert run["peak_mib"] > 100
    # 10² / 64 in common by chance, out of twice ten less these.
    assert found["chance_overlap"] == pytest.approx(1.5625 / 18.4375)
    table = readme_methods.real_methods({"device": "cpu", **found})
    assert table.splitlines()[2].startswith("| dsir |")


@pytest.fixture(scope="module")
def arms(task, tmp_path_factory):
    amounts = Amounts(
        budget=10, warmup=TrainingSettings(steps=4), warmup_examples=16, sketch=64
    )
    training = Training(TrainingSettings(steps=3, batch_size=8), questions=8)
    chosen = [
        Arm("dualsft", "dualsft"),
        Arm("dualsft", "magnitude"),
        Arm("dualsft", IN_B[1]),
        Arm("dualsft", None),
    ]
    folder = tmp_path_factory.mktemp("dualsft")
    return dualsft.measure(task, amounts, training, folder, chosen)


def test_masked_arms_train_equally_many_parameters(arms):
    masked = [row["parameters"] for row in arms["arms"] if row["mask"] is not None]
    (every,) = [row["parameters"] for row in arms["arms"] if row["mask"] is None]
    assert set(masked) == {every // 10}


def test_mask_without_b_trains_nothing(arms):
    first, magnitude = arms["arms"][:2]
    assert magnitude["share_in_B"] == 0
    assert magnitude["validation"]["change"] == 0
    assert magnitude["retention"]["change"] == 0
    assert first["share_in_B"] > 0
    assert first["validation"]["change"] != 0


def test_small_step_does_what_i1_predicts(arms):
    for row in arms["arms"]:
        if row["mask"] != "magnitude":  # moves the loss by less than it is rounded
            step = row["single_steps"][1]
            assert step["first_order"] == -step["step"] * row["gains"]["I1"]
            assert step["ratio"] == pytest.approx(1, abs=0.05)


def test_dualsft_table_names_every_arm(arms):
    settings = {"budget": 10, "mask_share": 0.1}
    rounds = [
        {"I1": 0.5, "jaccard_data": None, "jaccard_parameters": None},
        {"I1": 0.25, "jaccard_data": 0.4, "jaccard_parameters": 0.6},
    ]
    several = {**arms["selections"], "two rounds": {"rounds": rounds}}
    result = {"device": "cpu", "settings": settings, **arms, "selections": several}
    assert all(map(math.isfinite, numbers_in(json.loads(json.dumps(result)))))
    table = readme_methods.dualsft(result)
    for row in arms["arms"]:
        mask = "all" if row["mask"] is None else f"{row['mask']} mask"
        assert f"| {row['data']} | {mask} |" in table
    assert "trains nothing" in table
    assert "after each round" in table


def test_agreement_is_with_the_fall_of_the_loss():
    row = lambda gain, change: {
        "gains": {"I1": gain},
        "validation": {"change": change},
    }
    rows = [row(0.1, -0.2), row(0.3, -0.4), row(0.2, 0.1)]
    assert dualsft.agreement(rows) == {"arms": 3, "I1": 0.5}


def test_methods_table_has_intervals_and_a_row_for_every_choice():
    accuracy = {methods.ALONE: 0.5, "random": 0.6, "vote": 0.62, "less": 0.7}
    rows = [
        {
            "seed": seed,
            "domain": domain,
            "method": method,
            "share": None if method == methods.ALONE else 0.25,
            "accuracy": value,
            "mean_tokens": 10.0 + (method == "less"),
        }
        for seed in (0, 1)
        for domain in methods.DOMAINS
        for method, value in accuracy.items()
    ]
    settings = {"budget": 10, "seeds": [0, 1]}
    found = {"settings": settings, "rows": rows, **methods.summary(rows)}
    table = readme_methods.methods(found)
    assert "of 10.0 tokens (domain only) to 11.0 (less) on average" in table
    # The gain is the same in both worlds: the interval is a point, and leaves out zero.
    gains = ", ".join(["**+10**"] * len(methods.DOMAINS))
    assert f"| less | 25 | +10 [+10, +10] | +8 [+8, +8] | {gains} |" in table
    assert "| random | 25 |  | -2 [-2, -2] | –, –, –, – |" in table
    assert "| domain only |  | -10 [-10, -10] | -12 [-12, -12] |" in table
