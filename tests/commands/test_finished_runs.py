"""A finished run is shown before any weight is read, and only if it is as it was."""

import os
import shutil

import pytest

from ntkjax.errors import InputError
from ntkjax.runs.run import Run
from ntkjax.store.run_directory import MANIFEST, read_manifest
from tests.commands.select.problem import write_problem
from tests.commands.small_runs import RESULTS, contents, start
from tests.commands.world import build_world
from tests.damages import damage_file, damages_of


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("finished"))
    write_problem(world)
    return world


@pytest.fixture(scope="module")
def finished(world):
    """Function command ↦ the directory of a finished run, and what it found."""
    made = {}

    def finished(name):
        if name not in made:
            out = world.root / f"finished {name}"
            made[name] = out, start(world, name, out).result
        return made[name]

    return finished


@pytest.mark.parametrize("name", RESULTS)
def test_no_weight_is_read(world, finished, name):
    """Holes in place of the weights, in a file of the same size and time."""
    out, result = finished(name)
    weights = world.model / "model.safetensors"
    kept = weights.rename(world.root / "kept.safetensors")
    found = kept.stat()
    try:
        weights.touch()
        os.truncate(weights, found.st_size)
        os.utime(weights, ns=(found.st_atime_ns, found.st_mtime_ns))
        again = start(world, name, out)
    finally:
        kept.replace(weights)
    assert again.reused
    assert again.result == result


class Computes(Exception):
    """The run was not taken as finished."""


@pytest.mark.parametrize("name", RESULTS)
def test_any_damaged_output_shows(world, finished, name, tmp_path, monkeypatch):
    def claimed(*arguments, **named):
        raise Computes

    whole, _ = finished(name)
    monkeypatch.setattr(Run, "claimed", claimed)
    outputs = read_manifest(whole)["outputs"]
    assert RESULTS[name] in outputs
    cases = [c for c in damages_of(whole) if c[0] in outputs or c[0] == MANIFEST]
    assert len(cases) >= 3 * len(outputs)
    for number, (file, damage) in enumerate(cases):
        out = tmp_path / str(number)
        shutil.copytree(whole, out, ignore=shutil.ignore_patterns("stages", "check*"))
        damage_file(out / file, damage)
        try:
            start(world, name, out)
            end = "finished"
        except Computes:
            end = "computes"
        except InputError as error:
            end = str(error)
        assert end == "computes" or str(out) in end, (file, damage, end)


@pytest.mark.parametrize("name", RESULTS)
def test_a_damaged_run_is_computed_again(world, finished, name, tmp_path, capfd):
    whole, _ = finished(name)
    out = shutil.copytree(whole, tmp_path / "run")
    file = next(f for f in read_manifest(whole)["outputs"] if f != RESULTS[name])
    damage_file(out / file, "flipped")
    assert not start(world, name, out).reused
    assert f"{file} not as the run wrote it; computing again" in capfd.readouterr().err
    assert contents(out) == contents(whole)
    assert start(world, name, out).reused
