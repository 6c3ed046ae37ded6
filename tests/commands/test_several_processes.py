"""The same commands by one process and by two, over devices of both."""

import json

import numpy as np
import pyarrow.parquet
import pytest
import safetensors.numpy

from tests.commands.session import end_all, free_port, meeting, start
from tests.commands.world import World, build_world


def commands_of(world: World, out, extra: list[str]) -> list[list[str]]:
    """Fidelity, train, select with a warm-up, and evaluate."""
    model = ["--model", str(world.model), "--max-length", "24", *extra]
    lora = ["--lora.rank", "2"]
    fidelity = world.flags(kernels=("summed",), sketches=None, out=out / "fidelity")
    files = ["--target", str(world.queries), "--pool", str(world.candidates)]
    few = ["--budget", "5", "--training.steps", "2", "--rows-per-shard", "4"]
    data = ["--data", str(world.queries)]
    adapter = ["--adapter", str(out / "train" / "adapter")]
    return [
        ["fidelity", *fidelity, *lora, *extra],
        ["train", *model, *lora, *data, "--training.steps", "3", *to(out / "train")],
        ["select", *model, *lora, *files, *few, *to(out / "select")],
        ["evaluate", *model, *adapter, *data, *to(out / "evaluate")],
    ]


def to(out) -> list[str]:
    return ["--out", str(out)]


def scores_of(out) -> dict[str, np.ndarray]:
    scores = pyarrow.parquet.read_table(out / "select/scores.parquet").to_pydict()
    return {
        "votes": np.array(scores["votes"]),
        "scores": np.array([np.nan if s is None else s for s in scores["score"]]),
    }


def numbers_of(out) -> dict[str, np.ndarray]:
    theta = out / "train/adapter/adapter_model.safetensors"
    nll = json.loads((out / "evaluate/evaluation.json").read_text())
    return {
        **safetensors.numpy.load_file(out / "fidelity/kernels.safetensors"),
        **safetensors.numpy.load_file(theta),
        "nll": np.array(nll["overall"]["nll"]["value"]),
        **scores_of(out),
    }


MESHES = {"data-only": "data=4", "mixed": "data=2,model=2", "shared": "model=4"}
"""In the last, a copy of the weights lies across both processes: for `select` alone."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Folders of the runs: of one process and device, and of two with two each."""
    world = build_world(tmp_path_factory.mktemp("world"))
    (world.root / "alone").mkdir()
    commands = commands_of(world, world.root / "alone", [])
    (world.root / "alone.json").write_text(json.dumps(commands))
    log = world.root / "alone.log"
    words = [str(world.root / "alone.json")]
    assert end_all([start(words, log, 1)], 300) == [0], log.read_text()
    port, started, logs = free_port(), [], []
    for index in range(2):
        commands = []
        for name, mesh in MESHES.items():
            extra = ["--mesh", mesh, *meeting(index, 2, port, heartbeat=30)]
            found = commands_of(world, world.root / name, extra)
            commands += found if name != "shared" else found[2:3]
        path = world.root / f"process-{index}.json"
        path.write_text(json.dumps(commands))
        logs.append(path.with_suffix(".log"))
        started.append(start([str(path)], logs[-1], 2))
    codes = end_all(started, 600)
    assert codes == [0, 0], "\n".join(log.read_text() for log in logs)
    return world.root


@pytest.mark.slow
@pytest.mark.parametrize("name", MESHES)
def test_numbers_agree(runs, name):
    read = scores_of if name == "shared" else numbers_of
    expected, found = read(runs / "alone"), read(runs / name)
    assert found.keys() == expected.keys()
    for what, array in expected.items():
        known = ~np.isnan(array)
        assert np.array_equal(known, ~np.isnan(found[what])), what
        # Sums over devices round otherwise.
        difference = np.max(np.abs(found[what][known] - array[known]))
        assert difference <= 1e-5 * np.max(np.abs(array[known])), what
    selected = "select/selected.jsonl"
    assert (runs / name / selected).read_bytes() == (
        runs / "alone" / selected
    ).read_bytes()


@pytest.mark.slow
def test_only_one_process_speaks(runs):
    assert "report: " in (runs / "process-0.log").read_text()
    assert (runs / "process-1.log").read_text() == ""
