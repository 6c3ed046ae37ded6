"""Masks of several budgets from one file of scores."""

import numpy as np
import pytest

from ntkjax.checkpoints.mask import MaskFacts, read_mask
from ntkjax.checkpoints.parameter_scores import write_parameter_scores
from ntkjax.commands.mask.run import run_mask
from ntkjax.commands.mask.settings import MaskSettings
from ntkjax.errors import InputError
from ntkjax.models.lora import LoraSettings
from ntkjax.selection.options import MaskOptions


FACTS = MaskFacts("model", LoraSettings(2, 4.0, ("q",)), "start")
RNG = np.random.default_rng(0)
SCORES = {"q.lora_A": RNG.normal(size=(2, 5)), "q.lora_B": RNG.normal(size=(4, 2))}
VALUES = {name: RNG.normal(size=leaf.shape) for name, leaf in SCORES.items()}
SHAPES = {name: leaf.shape for name, leaf in SCORES.items()}


@pytest.fixture
def run(tmp_path):
    """Function (changes) ↦ the mask that was written, flat."""
    arrays = {f"score/{n}": v for n, v in SCORES.items()}
    arrays |= {f"theta/{n}": v for n, v in VALUES.items()}
    write_parameter_scores(tmp_path / "parameters.safetensors", arrays, FACTS)

    def run(scores=tmp_path, **changes):
        out = tmp_path / "mask.safetensors"
        run_mask(MaskSettings(scores, out, **changes))
        return flat(read_mask(out, SHAPES, FACTS))

    return run


def flat(tree) -> np.ndarray:
    return np.concatenate([tree[name].reshape(-1) for name in SHAPES])


def highest(values, number) -> np.ndarray:
    """True at the `number` highest."""
    return values >= np.sort(values)[-number]


def test_any_budget_is_cut_from_the_same_scores(run, tmp_path):
    for number in (1, 7, 18):
        options = MaskOptions(budget=number, sign="signed")
        np.testing.assert_array_equal(run(mask=options), highest(flat(SCORES), number))
    file = tmp_path / "parameters.safetensors"
    found = run(scores=file, mask=MaskOptions(share=0.5))
    np.testing.assert_array_equal(found, highest(np.abs(flat(SCORES)), 9))


def test_controls(run):
    options = MaskOptions(budget=6)
    found = run(kind="magnitude", mask=options)
    np.testing.assert_array_equal(found, highest(np.abs(flat(VALUES)), 6))
    draws = [run(kind="random", mask=options, seed=seed) for seed in range(20)]
    assert {draw.sum() for draw in draws} == {6}
    assert len({draw.tobytes() for draw in draws}) > 15
    again = run(kind="random", mask=options, seed=3)
    np.testing.assert_array_equal(again, draws[3])


def test_only_masks_are_overwritten(run, tmp_path):
    file = tmp_path / "parameters.safetensors"
    scores = file.read_bytes()
    other = tmp_path / "notes.txt"
    other.write_text("mine")
    for out in (file, other, tmp_path):
        with pytest.raises(InputError, match="is there already and is no mask"):
            run_mask(MaskSettings(tmp_path, out, mask=MaskOptions(budget=2)))
    assert (file.read_bytes(), other.read_text()) == (scores, "mine")
    assert run(mask=MaskOptions(budget=2)).sum() == 2
    assert run(mask=MaskOptions(budget=3)).sum() == 3


def test_slips_are_named(run, tmp_path):
    with pytest.raises(InputError, match=r"mask\.budget 19: there are only 18"):
        run(mask=MaskOptions(budget=19))
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(InputError, match=r"there is no parameters\.safetensors"):
        run(scores=empty, mask=MaskOptions(budget=1))
