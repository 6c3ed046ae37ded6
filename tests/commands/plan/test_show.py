import json
import pathlib

import numpy as np
import pytest

from ntkjax.checkpoints.families.table import read_config
from ntkjax.cli.main import main
from ntkjax.runs.device_mesh import weight_bytes
from tests.commands.select.problem import flags_of, write_problem
from tests.commands.world import build_world


LLAMA = pathlib.Path(__file__).parents[3] / "examples" / "configs" / "llama-3-8b"
LARGE = ["plan", "--model", str(LLAMA), "--num-pool", "1800000"]
LARGE += ["--num-target", "200", "--budget", "9000"]


def test_a_pod_is_planned(capsys, tmp_path):
    numbers = tmp_path / "plan.json"
    words = ["--hardware", "v5p-128", "--dtype", "bfloat16", "--json", str(numbers)]
    assert main([*LARGE, *words]) == 0
    out = capsys.readouterr().out
    assert "v5p-128: 64 chips, 16 processes; mesh data=64,model=1" in out
    assert "8,030,261,248 weights" in out
    for stage in ("warm-up", "embeddings", "vote", "scores", "total"):
        assert stage in out
    assert "not measured here" in out
    assert "https://" in out
    found = json.loads(numbers.read_text())
    assert found["fits"] is True
    assert found["plan"]["model"] == 1


def test_what_does_not_fit_is_said_with_what_would(capsys):
    assert main([*LARGE, "--hardware", "v5e-2"]) == 0
    out = capsys.readouterr().out
    assert "does not fit: needs" in out
    assert "smallest change that makes it fit: --" in out


def test_the_flags_of_select_are_flags_of_plan(world, capsys):
    words = ["--model", str(world.model), "--max-length", "24", "--method", "less"]
    words += ["--pool", str(world.candidates), "--target", str(world.queries)]
    words += ["--out", str(world.out), "--budget", "5", "--hardware", "v5e-4"]
    words += ["--sketch.size", "64"]
    assert main(["plan", *words]) == 0
    out = capsys.readouterr().out
    assert "sketches of the target" in out
    assert not world.out.exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--hardware", "tpu"], "--hardware tpu: expected one of cpu, v5e-N"),
        (
            ["--hardware", "v5e-16", "--mesh", "data=5,model=3"],
            "15 devices, but v5e",
        ),
        (["--hardware", "v5e-16", "--mesh", "many"], "--mesh many: expected auto, or"),
        (["--hardware", "v5e-16", "--measure"], "--measure: this machine computes on"),
        (["--pool", "p.jsonl"], "--pool or --num-pool: give one of them"),
    ],
)
def test_slips_end_with_2_and_one_line(words, message, capsys):
    assert main([*LARGE, *words]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert message in captured.err


def widen(world, num_tokens: int) -> None:
    """Gives embedding and head rows for more tokens than the tokenizer knows."""
    world.edit_config(vocab_size=num_tokens)

    def grow(tensors: dict) -> None:
        for name in ("model.embed_tokens.weight", "lm_head.weight"):
            known = tensors[name]
            more = np.zeros((num_tokens - len(known), known.shape[1]), known.dtype)
            tensors[name] = np.concatenate([known, more])

    world.edit_tensors(grow)


@pytest.mark.slow
def test_what_plan_says_of_a_small_device_is_what_select_does(tmp_path, capsys):
    """A model that one device cannot hold, and two can."""
    world = build_world(tmp_path)
    write_problem(world)
    widen(world, 8192)
    size = weight_bytes(read_config(world.model).decoder, 4, 1)
    memory = str(0.8 * size / 2**30)

    def run(command: str, mesh: str, *words: str) -> tuple[int, str, str]:
        flags = flags_of(
            world, mesh=mesh, memory_per_device=memory, tokens_per_batch=32
        )
        code = main([command, *flags, *words])
        return code, *capsys.readouterr()

    _, out, _ = run("plan", "data=2", "--hardware", "cpu")
    assert "does not fit: needs" in out
    assert "smallest change that makes it fit: --mesh data=1,model=2" in out
    code, _, err = run("select", "data=2")
    assert code == 2
    assert "choose --mesh data=1,model=2" in err
    for mesh in ("data=1,model=2", "auto"):
        _, out, _ = run("plan", mesh, "--hardware", "cpu")
        assert "mesh data=1,model=2" in out
        assert "\nfits: needs" in out
    assert run("select", "auto")[0] == 0
    assert (world.out / "selected.jsonl").exists()
