import json

import numpy as np
import pytest

from ntkjax.cli.main import main
from tests.commands.fidelity.test_show import check_line
from tests.commands.world import write_records


QUESTIONS = [
    {"id": "a", "prompt": "ab", "response": "cd", "source": "left"},
    {
        "id": "b",
        "prompt": "abc",
        "response": "e",
        "source": "right",
        "choices": ["e", "fgh"],
        "answer": 0,
    },
    {
        "id": "c",
        "prompt": "a" * 30,
        "response": "d",
        "choices": ["x", "y"],
        "answer": 1,
    },
]


@pytest.fixture
def data(world):
    path = world.root / "questions.jsonl"
    write_records(path, QUESTIONS)
    return path


def run(world, data, *more, out="run") -> int:
    flags = ["--model", world.model, "--data", data, "--out", world.root / out]
    given = ["--max-length", "24"] if "--max-length" not in more else []
    return main(["evaluate", *map(str, flags), *given, *map(str, more)])


@pytest.mark.slow
def test_prints_the_table_and_finds_a_finished_run(world, data, capsys):
    more = [
        "--generate",
        "--max-new-tokens",
        "3",
        "--adapter",
        world.write_adapter("a"),
    ]
    assert run(world, data, *more) == 0
    out, err = capsys.readouterr()
    assert "Traceback" not in err
    rows = [line.split() for line in out.splitlines() if line.strip()]
    for source, number in (("all", "3"), ("left", "1"), ("right", "1")):
        assert any(row[:2] == [source, number] for row in rows)
    assert any(row[:2] == ["(unnamed)", "1"] for row in rows)
    for header in ("perplexity", "NLL", "accuracy", "summed", "exact"):
        assert header in out
    left = next(row for row in rows if row[0] == "left")
    assert left.count("–") == 2  # no choices, so no accuracy of either kind
    assert "cut to fit 24 tokens: 1 of 3 responses, 2 of 4 choices, 1 of 3 pro" in out
    assert f"predictions: {world.root / 'run' / 'predictions.parquet'}" in out
    written = sorted(path.name for path in (world.root / "run").iterdir())
    assert written == [
        ".run-1-of-1.lock",
        "evaluation.json",
        "manifest.json",
        "metrics.jsonl",
        "predictions.parquet",
        "run.yaml",
    ]
    assert run(world, data, *more) == 0
    again = capsys.readouterr().out
    assert "finished before with the same settings; read again" in again
    assert again.startswith(out[: out.index("predictions:")])


def answer_out_of_range(world, data):
    records = [dict(record) for record in QUESTIONS]
    records[1]["answer"] = 2
    write_records(data, records)


def empty_file(world, data):
    data.write_text("")


def nan_weights(world, data):
    def damage(tensors):
        tensors["model.norm.weight"][2] = np.nan

    world.edit_tensors(damage)


def of_another_model(world, data):
    world.write_adapter("a")
    config = json.loads((world.root / "a" / "adapter_config.json").read_text())
    config["target_modules"] = ["q_proj"]
    (world.root / "a" / "adapter_config.json").write_text(json.dumps(config))


def same(world, data):
    pass


BAD = {
    "answer": (answer_out_of_range, [], ["line 2", '"answer" is 2', "0 to 1"]),
    "empty file": (empty_file, [], ["questions.jsonl", "no examples"]),
    "too many": (same, ["--num", 4], ["--num 4", "3"]),
    "none": (same, ["--num", 0], ["--num 0"]),
    "no answer": (same, ["--generate", "--max-new-tokens", 0], ["--max-new-tokens 0"]),
    "long answer": (
        same,
        ["--generate", "--max-new-tokens", 24],
        ["--max-new-tokens 24", "1 to 23", "--max-length"],
    ),
    "beyond positions": (same, ["--max-length", 65], ["--max-length 65", "64"]),
    "no batch": (same, ["--tokens-per-batch", 0], ["--tokens-per-batch 0"]),
    "bad dtype": (same, ["--dtype", "float64"], ["--dtype float64", "stored"]),
    "NaN weights": (nan_weights, [], ["safetensors", "model.norm.weight", "NaN"]),
    "no adapter": (same, ["--adapter", "absent"], ["--adapter absent"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_clear_line(world, data, capsys, case):
    damage, flags, says = BAD[case]
    damage(world, data)
    assert run(world, data, *flags) == 2
    check_line(capsys, says)
    assert not (world.root / "run").exists()


def test_an_adapter_of_another_model_is_refused(world, data, capsys):
    of_another_model(world, data)
    assert run(world, data, "--adapter", world.root / "a") == 2
    check_line(capsys, ["another model", "down_proj.lora_A"])
    assert not (world.root / "run").exists()


def test_help_names_every_flag(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--help"])
    assert stop.value.code == 0
    out = capsys.readouterr().out
    for flag in ("--adapter", "--num", "--generate", "--max-new-tokens", "--seed"):
        assert flag in out
