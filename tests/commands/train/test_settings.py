import dataclasses
import pathlib

import pytest

from ntkjax.commands.train.settings import TrainSettings, check_train_settings
from ntkjax.errors import InputError
from ntkjax.runs.model import LoraOptions
from ntkjax.settings.config_file import read_config_file
from ntkjax.training.settings import TrainingSettings


GOOD = TrainSettings("m", (pathlib.Path("a"), pathlib.Path("b")), pathlib.Path("out"))
FILE = (pathlib.Path("v"),)

BAD = [
    ({"training": TrainingSettings(batch_size=0)}, "training.batch_size 0: "),
    ({"mix": (1.0,)}, "mix 1.0: expected one weight for each of the 2 data files"),
    ({"mix": (1.0, -2.0)}, "mix 1.0 -2.0: "),
    ({"mix": (0.0, 0.0)}, "mix 0.0 0.0: "),
    ({"keep": "first"}, "keep first: expected one of best, last"),
    ({"validation_share": 1.0}, "validation_share 1.0: "),
    ({"validation_share": -0.1}, "validation_share -0.1: "),
    ({"validation_share": 0.1, "validation": FILE}, "validation_share: give one"),
    ({"validate_every": 0, "validation": FILE}, "validate_every 0: "),
    ({"validate_every": 5}, "validate_every: needs validation"),
    ({"dtype": "float64"}, "dtype float64: expected one of float32, bfloat16"),
    ({"parameters": "all"}, "parameters all: expected one of lora, full"),
    ({"parameters": "full", "adapter": FILE[0]}, "adapter: belongs to an adapter"),
    (
        {"parameters": "full", "lora": LoraOptions(rank=2)},
        "lora.rank: belongs to an adapter, but parameters full",
    ),
    (
        {"parameters": "full", "lora": LoraOptions(rslora=False)},
        "lora.rslora: belongs to an adapter",
    ),
    ({"save_every": 0}, "save_every 0: "),
    ({"seed": -1}, "seed -1: "),
]


@pytest.mark.parametrize(("changes", "message"), BAD)
def test_bad_values_are_refused(changes, message):
    with pytest.raises(InputError, match=message):
        check_train_settings(dataclasses.replace(GOOD, **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"mix": (0.0, 2.0)},
        {"validation_share": 0.1, "validate_every": 3},
        {"validation": FILE, "keep": "last"},
        {"parameters": "full", "mask": FILE[0], "retain": FILE},
    ],
)
def test_good_values_pass(changes):
    check_train_settings(dataclasses.replace(GOOD, **changes))


def test_settings_can_stand_in_yaml(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text("mix: [1, 3]\ntraining:\n  batch-size: 4\n  steps: 7\n")
    values = read_config_file(path, TrainSettings)
    assert values["mix"] == (1.0, 3.0)
    assert values["training"] == TrainingSettings(batch_size=4, steps=7)
