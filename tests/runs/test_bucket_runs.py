"""Runs in a bucket end with the files of local runs, whatever interrupts them.

The bucket is `tests.bucket_server`: gcsfs, orbax and tensorstore write to it as they
write to Google's.
"""

import dataclasses
import json
import os
import subprocess
import sys
import threading

import pytest

from ntkjax.cli.main import main
from ntkjax.commands.select.run import run_select
from ntkjax.commands.train import run as train_module
from ntkjax.devices.mesh import data_mesh
from ntkjax.devices.teams import Team
from ntkjax.errors import InputError
from ntkjax.store.shards import ShardedPass
from ntkjax.training.checkpoints import Checkpoints
from ntkjax.training.settings import TrainingSettings
from tests.commands.select.problem import flags_of, settings_of, write_problem
from tests.commands.small_runs import RESULTS, TRAINING, contents, start
from tests.commands.world import build_world


RUNS = ("select", "select all weights", "train", "train all weights")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("world"))
    write_problem(world)
    return world


@pytest.fixture(scope="module")
def local(world):
    """Function name ↦ the directory of an undisturbed local run."""
    found = {}

    def local(name: str):
        if name not in found:
            found[name] = world.root / f"local {name}"
            start(world, name, found[name])
        return found[name]

    return local


@pytest.mark.slow
@pytest.mark.parametrize("name", [*RUNS, "fidelity", "evaluate"])
def test_the_files_are_those_of_a_local_run(world, local, bucket, tmp_path, name):
    result = start(world, name, bucket.path("runs/one")).result
    expected = contents(local(name))
    assert RESULTS[name.split()[0]] in expected
    assert contents(bucket.save("runs/one", tmp_path)) == expected
    before = dict(bucket.objects)
    again = start(world, name, bucket.path("runs/one")).result
    assert again == result  # it is read again
    assert bucket.objects == before


@pytest.mark.slow
def test_a_selection_goes_on(world, local, bucket, tmp_path, monkeypatch):
    write, written = ShardedPass.write, []

    def interrupted(self, shard, arrays, notes):
        if len(written) == 3:
            raise KeyboardInterrupt
        written.append(shard)
        write(self, shard, arrays, notes)

    with monkeypatch.context() as patch:
        patch.setattr(ShardedPass, "write", interrupted)
        with pytest.raises(KeyboardInterrupt):
            start(world, "select", bucket.path("run"))
    stored = [name for name in bucket.objects if "/shard-" in name]
    assert len(stored) == 6
    generations = {name: bucket.objects[name][1] for name in stored}
    start(world, "select", bucket.path("run"))
    assert {name: bucket.objects[name][1] for name in stored} == generations
    assert contents(bucket.save("run", tmp_path)) == contents(local("select"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["train", "train all weights"])
def test_a_training_goes_on(world, local, bucket, tmp_path, monkeypatch, name):
    train, steps = train_module.train_adapter, []

    def interrupting(*arguments, record, **named):
        def until(row):
            record(row)
            if row["step"] == 4:
                raise KeyboardInterrupt

        return train(*arguments, record=until, **named)

    def noting(*arguments, observe=None, **named):
        seen = lambda state: steps.append(state.step)
        return train(*arguments, observe=seen, **named)

    with monkeypatch.context() as patch:
        patch.setattr(train_module, "train_adapter", interrupting)
        with pytest.raises(KeyboardInterrupt):
            start(world, name, bucket.path("run"))
    lines = bucket.files("run")["metrics.jsonl"].splitlines()
    assert [json.loads(line)["step"] for line in lines] == [1, 2, 3, 4]
    monkeypatch.setattr(train_module, "train_adapter", noting)
    start(world, name, bucket.path("run"))
    assert steps == [3, 4, 5, 6]
    assert contents(bucket.save("run", tmp_path)) == contents(local(name))


@pytest.mark.slow
def test_stages_in_a_bucket_serve_other_runs(world, bucket, tmp_path):
    stages = bucket.path("stages")
    for name in ("one", "two"):
        settings = settings_of(
            world, out=tmp_path / name, stages=stages, shortlist_size=16
        )
        run_select(dataclasses.replace(settings, budget=4 if name == "one" else 5))
        if name == "one":
            before = dict(bucket.objects)
    assert before
    assert bucket.objects == before


SCRIPT = "from ntkjax.cli.main import script; script()"


def start_command(name: str, flags: list[str], bucket) -> subprocess.Popen:
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, name, *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | bucket.environment() | {"JAX_NUM_CPU_DEVICES": "2"},
    )


@pytest.mark.slow
def test_kills_in_the_middle_of_uploads(world, bucket, tmp_path):
    """SIGKILL as this object, of all that a selection writes, is being uploaded."""
    flags = flags_of(
        world, out="gs://bucket/run", warmup="target", **_training_flags(TRAINING)
    )
    moments = [
        "/checkpoints/",
        "shard-00002.safetensors",
        "shard-00001.json",
        "selection.json",
    ]
    killed = []
    for moment in moments:
        process = start_command("select", flags, bucket)
        seen = threading.Event()

        def kill(name, moment=moment, process=process, seen=seen):
            if moment in name and not seen.is_set():
                seen.set()
                process.kill()
                process.wait()
                killed.append(name)
                raise BrokenPipeError  # the object does not appear

        bucket.watch = kill
        process.communicate(timeout=300)
    bucket.watch = lambda name: None
    process = start_command("select", flags, bucket)
    _, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    assert len(killed) == len(moments), killed
    undisturbed = tmp_path / "undisturbed"
    run_select(settings_of(world, out=undisturbed, warmup="target", training=TRAINING))
    found = contents(bucket.save("run", tmp_path / "saved"))
    assert found == contents(undisturbed)


def _training_flags(training: TrainingSettings) -> dict:
    names = ("steps", "batch_size", "learning_rate")
    return {f"training__{name}": getattr(training, name) for name in names}


@pytest.mark.parametrize("name", ["fidelity", "evaluate", "train", "select"])
@pytest.mark.parametrize(
    ("out", "says"),
    [
        ("ftp://host/run", "ftp://host/run: cannot be written; expected a local fol"),
        ("gs://other/run", "--out gs://other/run: no such bucket; make it first"),
    ],
)
def test_errors_of_the_command_line(world, bucket, capsys, name, out, says):
    model, data = ("--model", str(world.model)), str(world.queries)
    flags = {
        "fidelity": ["--queries", data, "--candidates", data],
        "evaluate": ["--data", data],
        "train": ["--data", data],
        "select": ["--target", data, "--pool", data, "--budget", "2"],
    }[name]
    assert main([name, *model, *flags, "--out", out]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("ntkjax: ")
    assert says in shown.err
    assert shown.err.count("\n") == 1


def test_out_in_a_settings_file(world, bucket, capsys, tmp_path):
    path = tmp_path / "settings.yaml"
    data = str(world.queries)
    for out, says in (
        ("gs://other/run", "--out gs://other/run: no such bucket"),
        ("ftp://x/run", "line 3: out is ftp://x/run: cannot be written; expected a lo"),
        ("7", "line 3: out must be of type Path, got 7."),
    ):
        path.write_text(f"model: {world.model}\ndata: [{data}]\nout: {out}\n")
        assert main(["evaluate", "--config", str(path)]) == 2
        assert says in capsys.readouterr().err


def test_checkpoints_that_a_bucket_refuses(bucket):
    bucket.refusal = 403, "storage.objects.list is missing"
    team = Team(data_mesh())
    with pytest.raises(InputError, match=r"^gs://bucket/run: permission denied: "):
        Checkpoints(bucket.path("run"), "me", team)
