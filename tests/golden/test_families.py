"""Every family against transformers and PEFT (README.md beside it)."""

import shutil

import jax.numpy as jnp
import pytest

from ntkjax.checkpoints.families.table import FAMILIES, read_config
from ntkjax.checkpoints.loading import load_model
from ntkjax.errors import InputError
from ntkjax.models import stacking
from ntkjax.models.lora import LoraSettings
from tests.golden.parity import GOLDEN, TOLERANCES, errors, folders


FOLDERS = sorted(path.parent for path in GOLDEN.glob("families/*/*/config.json"))
FIRST = {folder.parent: folder for folder in reversed(FOLDERS)}.values()
names = lambda folder: "-".join(folder.parts[-2:])
# Each compiles two programs: in the fast set, one variant of each family.
compiled = [
    pytest.param(folder, marks=() if folder in FIRST else pytest.mark.slow)
    for folder in FOLDERS
]


def test_every_family_has_golden_files():
    assert folders().keys() == FAMILIES.keys()


@pytest.mark.slow
@pytest.mark.parametrize("folder", compiled, ids=names)
def test_decoder_agrees_with_transformers_and_peft(folder):
    found = errors(folder)
    assert found.keys() == TOLERANCES.keys()
    wrong = {name: error for name, error in found.items() if error > TOLERANCES[name]}
    assert not wrong


@pytest.mark.slow
@pytest.mark.parametrize("folder", FIRST, ids=names)
def test_so_do_its_layers_when_they_are_scanned(folder, monkeypatch):
    monkeypatch.setattr(stacking, "STACKED_FROM", 1)
    assert load_model(folder, LoraSettings(rank=2)).is_stacked
    found = errors(folder)
    assert all(error <= TOLERANCES[name] for name, error in found.items()), found


@pytest.mark.parametrize("folder", FOLDERS, ids=names)
def test_both_spellings_of_the_config_are_the_same_model(folder, tmp_path):
    shutil.copy(folder / "config_legacy.json", tmp_path / "config.json")
    assert read_config(tmp_path) == read_config(folder)


def test_dynamic_rope_is_refused_where_it_would_depend_on_padding():
    model = load_model(GOLDEN / "families/llama/dynamic", LoraSettings(rank=2))
    theta = {name: jnp.zeros(shape) for name, shape in model.theta_shapes.items()}
    with pytest.raises(InputError, match="17 tokens, but the model has positions for"):
        model.hidden(theta, jnp.zeros(17, jnp.int32))
