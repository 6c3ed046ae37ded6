"""Every file that an unfinished run leaves, damaged in every way.

The same command again computes anew, falls back or refuses by name, and never ends with
another result. One unfinished run of each kind is made once, and copied for each case.
"""

import shutil

import pytest

from ntkjax.commands.select import run as select
from ntkjax.commands.train import run as train
from ntkjax.commands.train.settings import TrainSettings
from ntkjax.errors import InputError
from ntkjax.runs.model import LoraOptions
from ntkjax.selection.options import DualsftOptions, MaskOptions
from ntkjax.training.checkpoints import Checkpoints
from ntkjax.training.settings import TrainingSettings
from tests.commands.select.problem import same_bits, settings_of, write_problem
from tests.commands.world import build_world
from tests.damages import damage_file, damages_of


TRAINING = TrainingSettings(steps=4, batch_size=4, learning_rate=0.05)
RUNS = {
    "ntk": {"warmup": "target", "training": TRAINING},
    "dualsft": {
        "method": "dualsft",
        "dualsft": DualsftOptions(curvature="fisher"),
        "mask": MaskOptions(share=0.1),
    },
    "train": {},
}
RESULTS = (
    *("selected.jsonl", "scores.parquet", "adapter/*", "parameters.safetensors"),
    *("mask.safetensors", "stages/*/*"),
)
FEW = ("deleted", "flipped")


def run(world, kind, out):
    """Runs a command to its end."""
    if kind != "train":
        select.run_select(settings_of(world, out=out, **RUNS[kind]))
        return
    train.run_train(
        TrainSettings(
            model=str(world.model),
            data=(world.queries,),
            out=out,
            lora=LoraOptions(rank=2, targets=("q_proj",)),
            max_length=16,
            save_every=2,
            training=TRAINING,
        )
    )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    world = build_world(tmp_path_factory.mktemp("damaged"))
    write_problem(world)
    return world


@pytest.fixture(scope="module")
def unfinished(world):
    """Function kind ↦ an unfinished run, and what a run leaves that was not stopped."""
    made = {}

    def unfinished(kind):
        if kind not in made:
            made[kind] = _made(world, kind)
        return made[kind]

    return unfinished


def _made(world, kind):
    module, last = (train, "_write") if kind == "train" else (select, "write_scores")

    def stop(*arguments):
        raise KeyboardInterrupt

    out = world.root / kind
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Checkpoints, "may_save", lambda self: True)
        run(world, kind, world.root / f"{kind}-undisturbed")
        patch.setattr(module, last, stop)
        with pytest.raises(KeyboardInterrupt):
            run(world, kind, out)
    return out, same_bits(world.root / f"{kind}-undisturbed", RESULTS)


def ends_otherwise(world, kind, unfinished, cases, tmp_path) -> list:
    """The cases that end with another result, or refuse without a name."""
    stopped, expected = unfinished
    wrong = []
    for number, (name, damage) in enumerate(cases):
        out = shutil.copytree(stopped, tmp_path / str(number))
        damage_file(out / name, damage)
        try:
            run(world, kind, out)
        except InputError as error:
            if str(out) not in str(error) or "\n" in str(error):
                wrong.append((name, damage, str(error)))
        else:
            found = same_bits(out, RESULTS)
            differ = [key for key in expected if found.get(key) != expected[key]]
            if differ:
                wrong.append((name, damage, differ))
        shutil.rmtree(out)
    return wrong


@pytest.mark.slow
@pytest.mark.parametrize("kind", RUNS)
def test_no_damage_changes_a_result(world, unfinished, kind, tmp_path):
    found = unfinished(kind)
    cases = list(damages_of(found[0]))
    assert len(cases) > 30
    assert not ends_otherwise(world, kind, found, cases, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "pattern"),
    [
        ("ntk", "stages/warmup-*/step-0000004.safetensors"),
        ("ntk", "adapter/adapter_model.safetensors"),
        ("dualsft", "stages/*.safetensors"),
        ("train", "checkpoints/4/_CHECKPOINT_METADATA"),
    ],
)
def test_some_damages(world, unfinished, kind, pattern, tmp_path):
    found = unfinished(kind)
    (path, *_) = found[0].glob(pattern)
    cases = [(str(path.relative_to(found[0])), damage) for damage in FEW]
    assert not ends_otherwise(world, kind, found, cases, tmp_path)
