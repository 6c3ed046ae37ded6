"""Whole runs on the tiny world, and what they leave behind."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from ntkjax.checkpoints.adapter import read_adapter, read_adapter_settings
from ntkjax.checkpoints.full import full_theta
from ntkjax.checkpoints.loading import load_model, model_files
from ntkjax.checkpoints.mask import MaskFacts, theta_hash, write_mask
from ntkjax.commands.train import run as module
from ntkjax.commands.train.run import run_train
from ntkjax.commands.train.settings import TrainSettings
from ntkjax.errors import InputError
from ntkjax.models.lora import LoraSettings, initial_theta
from ntkjax.runs.model import LoraOptions
from ntkjax.settings.config_file import read_config_file
from ntkjax.store.run_directory import hash_files
from ntkjax.training.result import MaskUse, RetentionLosses, TrainingResult
from ntkjax.training.settings import TrainingSettings
from tests.commands.world import NUM_CANDIDATES, NUM_QUERIES, build_world


pytestmark = pytest.mark.slow


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


def run(world, training=None, **changes) -> TrainingResult:
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
    before = result["validation_loss"].pop("before")
    assert before > losses[6]
    assert result["validation_loss"] == {
        "first": losses[2],
        "best": min(losses.values()),
        "last": losses[6],
    }
    assert (result["parameters"], result["mask"]) == ("lora", None)
    assert (result["retention_loss"], result["num_retention"]) == (None, 0)
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
        assert (result.kept, result.kept_step) == (keep, step)
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


def write_random_mask(world, shapes, lora, theta, share=0.3):
    rng = np.random.default_rng(0)
    mask = {name: rng.random(shape) < share for name, shape in shapes.items()}
    path = world.root / f"mask-{'full' if lora is None else 'lora'}.safetensors"
    model = hash_files(model_files(world.model))
    write_mask(path, mask, MaskFacts(model, lora, theta_hash(theta)))
    return path, mask


STRONG = {"weight_decay": 0.1, "max_grad_norm": 0.05}


def test_a_mask_of_the_adapter(world):
    """The same mask does not fit another start or adapter; then nothing is written."""
    lora = LoraSettings(2, 16.0, ("q_proj", "down_proj"))
    shapes = load_model(world.model, lora).theta_shapes
    theta = initial_theta(shapes, jax.random.key(3))
    path, mask = write_random_mask(world, shapes, lora, theta)
    out = world.root / "masked"
    result = run(world, STRONG, out=out, mask=path, seed=3)
    kept = int(sum(map(np.count_nonzero, mask.values())))
    of = sum(map(np.size, mask.values()))
    assert result.mask == MaskUse(str(path), kept, of)
    found = read_adapter(out / "adapter", load_model(world.model, lora))
    for name, leaf in theta.items():
        same = np.asarray(found[name]) == np.asarray(leaf)
        assert (same == ~mask[name]).all(), name
    inputs = json.loads((out / "manifest.json").read_text())["inputs"]
    assert set(inputs) == {"model", "data", "mask"}
    other = LoraOptions(rank=3, targets=("q_proj", "down_proj"))
    for changes, message in (
        ({"seed": 4}, "starts otherwise"),
        ({"seed": 3, "lora": other}, "lora.rank was 2 and is now 3"),
        ({"parameters": "full", "lora": LoraOptions()}, "made for parameters lora"),
    ):
        with pytest.raises(InputError, match=message):
            run(world, out=world.root / "refused", mask=path, **changes)
    assert not (world.root / "refused").exists()


def test_all_weights(world):
    """Weights outside the mask are those of the file, to the bit."""
    model = load_model(world.model, None)
    start = full_theta(model)
    path, mask = write_random_mask(world, model.theta_shapes, None, start)
    out = world.root / "full"
    changes = {"parameters": "full", "lora": LoraOptions(), "mask": path, "out": out}
    steps = {"steps": 30, "learning_rate": 1e-2, "weight_decay": 0.1}
    held_out = {"data": (world.queries,), "validation": (world.queries,)}
    result = run(world, steps, **changes, **held_out, keep="last")
    assert result.parameters == "full"
    assert result.mask.of == result.num_parameters
    assert result.num_parameters == sum(leaf.size for leaf in start.values())
    losses = result.validation_loss
    assert losses.last < 0.9 * losses.before
    assert not (out / "adapter").exists()
    again = load_model(out / "model", None)
    for name, leaf in start.items():
        same = np.asarray(again.frozen[name]) == np.asarray(leaf)
        assert (same == ~mask[name]).all(), name
    # The written model measures what the run measured at its end.
    small = {"out": world.root / "again", "parameters": "full", **held_out}
    further = {"steps": 1, "learning_rate": 1e-12}
    small |= {"model": str(out / "model"), "lora": LoraOptions()}
    assert run(world, further, **small).validation_loss.before == losses.last
    values = read_config_file(out / "run.yaml", TrainSettings)
    assert run_train(TrainSettings(**values, out=out)).reused


def test_loss_on_general_text_before_and_after(world):
    """Retention is measured with the θ that is written, validation at the start too:
    on the same file both begin alike."""
    files = {"data": (world.queries,), "validation": (world.candidates,)}
    files["retain"] = (world.candidates,)
    results = {
        keep: run(world, out=world.root / f"retain-{keep}", keep=keep, **files)
        for keep in ("last", "best")
    }
    for keep, result in results.items():
        losses = result.validation_loss
        after = getattr(losses, keep)
        assert result.retention_loss == RetentionLosses(losses.before, after)
        assert result.num_retention == NUM_CANDIDATES
        assert "retention" in result.num_cut
    manifest = json.loads((world.root / "retain-last" / "manifest.json").read_text())
    assert "retain" in manifest["inputs"]


@pytest.mark.parametrize(("share", "left"), [(0.001, "validate"), (0.999, "train")])
def test_a_share_that_leaves_nothing_is_refused(world, share, left):
    with pytest.raises(InputError, match=f"leaves no example to {left} on out of 50"):
        run(world, out=world.root / "nothing", validation_share=share)
    assert not (world.root / "nothing").exists()
