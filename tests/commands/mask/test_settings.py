from pathlib import Path

import pytest

from ntkjax.commands.mask.settings import MaskSettings, check_mask_settings
from ntkjax.errors import InputError
from ntkjax.selection.options import MaskOptions


def settings(mask=MaskOptions(share=0.1), **changes) -> MaskSettings:  # noqa: B008
    return MaskSettings(Path("run"), Path("mask.safetensors"), mask=mask, **changes)


@pytest.mark.parametrize("kind", ["score", "magnitude", "random"])
def test_right_settings_pass(kind):
    check_mask_settings(settings(kind=kind))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"kind": "largest"}, "kind largest: expected one of score, magnitude"),
        ({"mask": MaskOptions()}, "mask.share or mask.budget: give one"),
        ({"mask": MaskOptions(0.1, 5)}, "mask.share and mask.budget: give one"),
        ({"mask": MaskOptions(budget=0)}, "mask.budget 0: expected at least 1"),
        (
            {"mask": MaskOptions(0.1, layer_quota=0.7, module_quota=0.5)},
            "mask.layer_quota 0.7 and mask.module_quota 0.5: expected shares",
        ),
        ({"seed": -1}, "seed -1: expected 0"),
    ],
)
def test_wrong_ones_are_named(changes, says):
    with pytest.raises(InputError) as caught:
        check_mask_settings(settings(**changes))
    assert says in str(caught.value)
