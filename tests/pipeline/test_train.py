"""Whole runs on the tiny world, and what they leave behind."""

import dataclasses
import json

import numpy as np
import pytest
import safetensors.numpy

from ntkjax.cli.config_file import read_config_file
from ntkjax.errors import InputError
from ntkjax.models.adapter import read_adapter, read_adapter_settings
from ntkjax.models.loading import load_model
from ntkjax.pipeline import train as module
from ntkjax.pipeline.setup import LoraOptions
from ntkjax.pipeline.train import run_train
from ntkjax.pipeline.train_settings import TrainSettings
from ntkjax.training.settings import TrainingSettings
from tests.cli.world import NUM_CANDIDATES, NUM_QUERIES, build_world


def settings(world, training=None, **changes) -> TrainSettings:
    small = {
        "model": str(world.model),
        "data": (world.queries, world.candidates),
        "out": world.out,
        "lora": LoraOptions(rank=2, targets=("q_proj", "down_proj")),
        "max_length": 16,
    }
    steps = {"steps": 6, "batch_size": 4, "learning_rate": 3e-2}
    training = TrainingSettings(**(steps | (training or {})))
    return TrainSettings(**(small | changes), training=training)


def run(world, training=None, **changes) -> dict:
    return run_train(settings(world, training, **changes)).result


def metrics(out) -> list[dict]:
    return [
        json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()
    ]


def weights(out) -> bytes:
    return (out / "adapter" / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return build_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def finished(world):
    out = world.root / "finished"
    run(world, out=out, validation_share=0.2, validate_every=2)
    return out


def test_files_say_what_was_done(world, finished):
    result = json.loads((finished / "train.json").read_text())
    manifest = json.loads((finished / "manifest.json").read_text())
    assert manifest["command"] == "train"
    assert set(manifest["inputs"]) == {"model", "data"}
    assert {"jax", "optax", "orbax-checkpoint"} <= manifest["versions"].keys()
    assert result["num_steps"] == 6
    assert result["num_validation"] == round(0.2 * (NUM_QUERIES + NUM_CANDIDATES))
    left = NUM_QUERIES + NUM_CANDIDATES - result["num_validation"]
    assert sum(result["num_examples"].values()) == left
    assert list(result["num_examples"]) == [str(world.queries), str(world.candidates)]
    assert sum(result["num_cut"].values()) > 0
    assert manifest["num_cut"] == result["num_cut"]
    rows = metrics(finished)
    assert [row["step"] for row in rows] == [1, 2, 3, 4, 5, 6]
    assert rows[-1]["tokens"] == result["num_tokens"]
    losses = {r["step"]: r["validation_loss"] for r in rows if r["step"] % 2 == 0}
    assert result["validation_loss"] == {
        "first": losses[2],
        "best": min(losses.values()),
        "last": losses[6],
    }
    assert losses[result["kept_step"]] == min(losses.values())
    assert result["loss"] == {"first": rows[0]["loss"], "last": rows[-1]["loss"]}


def test_the_adapter_can_be_read_and_has_moved(world, finished):
    folder = finished / "adapter"
    lora = read_adapter_settings(folder)
    assert (lora.rank, set(lora.targets)) == (2, {"q_proj", "down_proj"})
    theta = read_adapter(folder, load_model(world.model, lora))
    assert all(np.abs(leaf).max() > 0 for leaf in theta.values())


def test_a_finished_run_is_read_again_and_others_are_refused(world, finished):
    same = settings(world, out=finished, validation_share=0.2, validate_every=2)
    before = weights(finished)
    again = run_train(same)
    assert again.reused
    assert weights(finished) == before
    values = read_config_file(finished / "run.yaml", TrainSettings)
    assert run_train(TrainSettings(**values, out=finished, save_every=1)).reused
    with pytest.raises(InputError, match=r"holds another run: training.steps was 6"):
        run(
            world,
            {"steps": 7},
            out=finished,
            validation_share=0.2,
            validate_every=2,
        )


def test_interrupted_and_resumed_is_undisturbed(world, finished, monkeypatch):
    out = world.root / "interrupted"
    changes = {"out": out, "validation_share": 0.2, "validate_every": 2}
    plain = module.train_adapter

    def interrupting(*arguments, record, **named):
        def stop_at_five(row):
            if row["step"] == 5:
                raise KeyboardInterrupt
            record(row)

        return plain(*arguments, record=stop_at_five, **named)

    with monkeypatch.context() as patch:
        patch.setattr(module, "train_adapter", interrupting)
        with pytest.raises(KeyboardInterrupt):
            run(world, save_every=2, **changes)
    assert not (out / "train.json").exists()
    assert not (out / "adapter").exists()
    assert any(path.name.isdigit() for path in (out / "checkpoints").iterdir())
    run(world, **changes)
    assert weights(out) == weights(finished)
    assert metrics(out) == metrics(finished)


def test_keep_decides_which_adapter_is_written(world, monkeypatch):
    """The best one is made to be that of the start, after step 2."""
    plain = module.train_adapter

    def best_is_the_start(model, theta, *arguments, **named):
        found = plain(model, theta, *arguments, **named)
        return dataclasses.replace(found, best_theta=theta, best_step=2)

    monkeypatch.setattr(module, "train_adapter", best_is_the_start)
    held_out = {"data": (world.queries,), "validation": (world.candidates,)}
    moved = {}
    for keep, step in (("best", 2), ("last", 6)):
        out = world.root / keep
        result = run(world, out=out, keep=keep, validate_every=1, **held_out)
        assert (result["kept"], result["kept_step"]) == (keep, step)
        content = safetensors.numpy.load(weights(out))
        moved[keep] = any(v.any() for k, v in content.items() if "lora_B" in k)
    assert moved == {"best": False, "last": True}
    manifest = json.loads((world.root / "best" / "manifest.json").read_text())
    assert "validation" in manifest["inputs"]


def test_going_on_from_an_adapter(world):
    adapter = world.write_adapter("start")
    out = world.root / "further"
    # So small a rate that θ stays where it was, to float32.
    changes = {"lora": LoraOptions(), "adapter": adapter}
    run(world, {"learning_rate": 1e-12, "steps": 1}, out=out, **changes)
    before = safetensors.numpy.load_file(adapter / "adapter_model.safetensors")
    after = safetensors.numpy.load_file(out / "adapter" / "adapter_model.safetensors")
    for name, leaf in before.items():
        np.testing.assert_allclose(after[name], leaf, atol=1e-9)


def test_the_held_out_share_is_no_part_of_training(world):
    texts, _ = module._read(settings(world, validation_share=0.3), world.model)
    trained = {example.id for source in texts.sources for example in source}
    held_out = {example.id for example in texts.validation}
    assert len(held_out) == 15
    assert len(trained) == 35
    assert not trained & held_out
    other, _ = module._read(settings(world, validation_share=0.3, seed=1), world.model)
    assert held_out != {example.id for example in other.validation}
    assert [len(source) for source in texts.sources] == [
        sum(name.startswith(letter) for name in trained) for letter in "qc"
    ]


@pytest.mark.parametrize(("share", "left"), [(0.001, "validate"), (0.999, "train")])
def test_a_share_that_leaves_nothing_is_refused(world, share, left):
    with pytest.raises(InputError, match=f"leaves no example to {left} on out of 50"):
        run(world, out=world.root / "nothing", validation_share=share)
    assert not (world.root / "nothing").exists()
