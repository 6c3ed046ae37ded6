import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from ntkjax.checkpoints.full import full_theta
from ntkjax.checkpoints.loading import load_model, model_files
from ntkjax.checkpoints.mask import MaskFacts, theta_hash, write_mask
from ntkjax.cli.main import main
from ntkjax.store.run_directory import hash_files


def flags(world, **changes) -> list[str]:
    small = {
        "model": world.model,
        "data": (world.queries, world.candidates),
        "out": world.out,
        "max_length": 16,
        "lora.rank": 2,
        "lora.targets": ("q_proj", "down_proj"),
        "training.steps": 4,
        "training.batch_size": 4,
    }
    words = []
    for name, value in (small | changes).items():
        if value is not None:
            values = value if isinstance(value, tuple) else (value,)
            words += [f"--{name.replace('_', '-')}", *map(str, values)]
    return words


def run(world, **changes) -> int:
    return main(["train", *flags(world, **changes)])


@pytest.mark.slow
def test_run_prints_what_it_did(world, capsys):
    assert run(world, mix=(1, 3), validation_share=0.2) == 0
    printed = capsys.readouterr()
    # q_proj: A [2, 32] and B [32, 2]; down_proj: A [2, 48] and B [32, 2]
    assert "θ: 288 parameters in " in printed.out
    for part in ("q_proj 1/1 (128)", "down_proj 1/1 (160)", "k_proj 0/1 (0)"):
        assert part in printed.out
    assert "trained on 40 examples: 4 steps, " in printed.out
    assert "cut to 16 tokens: " in printed.out
    assert "loss: " in printed.out
    assert "validation loss on 10 examples: before " in printed.out
    assert "retention" not in printed.out
    assert "mask" not in printed.out
    assert "kept: the best one, after step " in printed.out
    assert f"adapter: {world.out / 'adapter'}" in printed.out
    assert "training: 4/4 steps" in printed.err
    assert "nan" not in printed.out.lower()
    assert (world.out / "adapter" / "adapter_config.json").exists()

    assert run(world, mix=(1, 3), validation_share=0.2) == 0
    assert "finished before with the same settings" in capsys.readouterr().out
    assert run(world, mix=(1, 2), validation_share=0.2) == 2
    assert "holds another run: mix was [1.0, 3.0]" in capsys.readouterr().err


@pytest.mark.slow
def test_all_weights_with_a_mask(world, capsys):
    """The mask keeps the norms alone; the model that comes out can be evaluated."""
    model = load_model(world.model, None)
    shapes = model.theta_shapes
    mask = {name: np.full(shape, "norm" in name) for name, shape in shapes.items()}
    path = world.root / "mask.safetensors"
    identity = hash_files(model_files(world.model))
    write_mask(path, mask, MaskFacts(identity, None, theta_hash(full_theta(model))))
    changes = {"parameters": "full", "mask": path, "retain": world.candidates}
    changes |= {"data": world.queries, "lora.rank": None, "lora.targets": None}
    assert run(world, **changes) == 0
    printed = capsys.readouterr().out
    size = sum(leaf.size for leaf in model.frozen.values())
    assert f"θ: {size:,} parameters in embed_tokens 1/1 (2,048), " in printed
    # three norms of 32
    assert f"mask: 96 of {size:,} parameters may move (" in printed
    assert f"from {path}" in printed
    assert "retention loss on 30 examples: before " in printed
    written = world.out / "model"
    assert f"model: {written}" in printed
    words = ["--model", written, "--data", world.queries, "--out", world.root / "e"]
    assert main(["evaluate", *map(str, words), "--max-length", "24"]) == 0


BAD = {
    "no data": ({"data": None}, ["--data"]),
    "missing data": ({"data": "absent.jsonl"}, ["absent.jsonl"]),
    "data twice": ({"data": ("queries.jsonl",) * 2}, ["queries.jsonl"]),
    "short mix": ({"mix": 1}, ["--mix 1.0", "2 data files"]),
    "negative mix": ({"mix": ("-1", 2)}, ["--mix"]),
    "zero mix": ({"mix": (0, 0)}, ["--mix 0.0 0.0"]),
    "no batch": ({"training.batch_size": 0}, ["--training.batch-size 0"]),
    "uneven parts": ({"training.micro_batch": 3}, ["--training.micro-batch 3", "4"]),
    "no rate": ({"training.learning_rate": 0}, ["--training.learning-rate 0.0"]),
    "two ends": (
        {"training.epochs": 2},
        ["--training.epochs and --training.steps", "only one"],
    ),
    "share of nothing": ({"validation_share": 0.001}, ["--validation-share 0.001"]),
    "unknown keep": ({"keep": "first"}, ["--keep first", "best, last"]),
    "unknown type": ({"dtype": "float64"}, ["--dtype float64"]),
    "missing adapter": ({"adapter": "absent"}, ["--adapter absent"]),
    "unknown parameters": ({"parameters": "all"}, ["--parameters all", "lora, full"]),
    "LoRA of all weights": ({"parameters": "full"}, ["--lora.rank", "leave one"]),
    "missing mask": ({"mask": "absent"}, ["--mask absent", "No such file"]),
    "no mask": (
        {"mask": "model/model.safetensors"},
        ["--mask model/model.safetensors", "no mask of parameters"],
    ),
    "missing general text": ({"retain": "absent.jsonl"}, ["absent.jsonl"]),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line(world, case, capsys, monkeypatch):
    monkeypatch.chdir(world.root)
    changes, names = BAD[case]
    assert run(world, **changes) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    assert line.startswith("ntkjax: ")
    assert all(name in line for name in names), line
    assert printed.out == ""
    assert not world.out.exists()


def test_the_same_id_in_two_files(world, capsys):
    lines = world.queries.read_text().splitlines()
    world.candidates.write_text(lines[0] + "\n")
    assert run(world) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert '"q0"' in line
    assert "candidates.jsonl line 1" in line


def test_out_with_another_run(world, capsys):
    world.out.mkdir()
    (world.out / "run.yaml").write_text("model: other\n")
    (world.out / "manifest.json").write_text('{"inputs": {}}')
    assert run(world) == 2
    assert "holds another run" in capsys.readouterr().err


def test_help_lists_every_flag(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help"])
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    for flag in ("--mix", "--validation-share", "--keep", "--training.micro-batch"):
        assert flag in printed


def start(world, out):
    code = "import sys; from ntkjax.cli.main import main; sys.exit(main())"
    changes = {"validation_share": 0.2, "validate_every": 25, "save_every": 2}
    words = flags(world, out=out, **changes, **{"training.steps": 600})
    return subprocess.Popen(
        [sys.executable, "-c", code, "train", *words],
        env=os.environ | {"JAX_NUM_CPU_DEVICES": "2"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_new_steps(process, out) -> None:
    """Until there are more steps than the newest checkpoint had at the beginning."""
    folder, metrics = out / "checkpoints", out / "metrics.jsonl"
    names = [path.name for path in folder.iterdir()] if folder.exists() else []
    before = max((int(name) for name in names if name.isdigit()), default=0)
    while process.poll() is None:
        if metrics.exists() and len(metrics.read_text().splitlines()) > before:
            return
        time.sleep(0.01)


@pytest.mark.slow
def test_killed_three_times_is_undisturbed(world):
    """SIGKILL at random moments of training; the same bits at the end."""
    undisturbed = start(world, world.root / "undisturbed")
    _, errors = undisturbed.communicate()
    assert undisturbed.returncode == 0, errors
    rng = random.Random(time.time_ns())
    for _ in range(3):
        process = start(world, world.out)
        # The old one goes before it is rewritten.
        (world.out / "metrics.jsonl").unlink(missing_ok=True)
        wait_for_new_steps(process, world.out)
        time.sleep(rng.uniform(0, 0.5))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    process = start(world, world.out)
    printed, errors = process.communicate()
    assert process.returncode == 0, errors
    assert "adapter: " in printed
    word, *progress = errors.splitlines()
    assert "the last start ended without a word in training, at a peak of " in word
    assert "--training.micro-batch needs less" in word
    assert all(line.startswith("training: ") for line in progress)
    for name in ("adapter/adapter_model.safetensors", "metrics.jsonl"):
        found = (world.out / name).read_bytes()
        assert found == (world.root / "undisturbed" / name).read_bytes()
    lines = (world.out / "metrics.jsonl").read_text().splitlines()
    assert [json.loads(line)["step"] for line in lines] == list(range(1, 601))
