import dataclasses

import pytest

from ntkjax.errors import InputError
from ntkjax.selection.options import (
    DsirOptions,
    DualsftOptions,
    FisherOptions,
    LessOptions,
    MaskOptions,
    MethodOptions,
    SketchOptions,
    check_method_options,
)


@pytest.mark.parametrize(
    "options",
    [
        MethodOptions(),
        MethodOptions(mask=MaskOptions(share=1.0, layer_quota=0.5, module_quota=0.5)),
        MethodOptions(dualsft=DualsftOptions(kappa=0.0, lambda_prior=0.0, rounds=9)),
    ],
)
def test_right_options_pass(options):
    check_method_options(options)


BAD = {
    "sketch.size 0: expected at least 1": {"sketch": SketchOptions(0)},
    "sketch.kind dense: expected one of shift": {"sketch": SketchOptions(8, "dense")},
    "less.gradient rms: expected one of adam": {"less": LessOptions("rms")},
    "fisher.examples 0: expected at least 1": {"fisher": FisherOptions(0)},
    "fisher.damping nan: expected a finite": {
        "fisher": FisherOptions(damping=float("nan"))
    },
    "dsir.buckets 0: expected at least 1": {"dsir": DsirOptions(0)},
    "dualsft.kappa -1.0: expected a finite": {"dualsft": DualsftOptions(kappa=-1.0)},
    "dualsft.lambda_prior inf: expected a finite": {
        "dualsft": DualsftOptions(lambda_prior=float("inf"))
    },
    "dualsft.temperature 0.0: expected 0.001": {
        "dualsft": DualsftOptions(temperature=0.0)
    },
    "dualsft.rounds -1: expected 0 to": {"dualsft": DualsftOptions(rounds=-1)},
    "dualsft.confidence high: expected one of max_prob": {
        "dualsft": DualsftOptions(confidence="high")
    },
    "mask.share 0.0: expected above 0": {"mask": MaskOptions(0.0)},
    "mask.sign both: expected one of signed": {"mask": MaskOptions(sign="both")},
    "mask.granularity word: expected one of element": {
        "mask": MaskOptions(granularity="word")
    },
    "mask.layer_quota: expected mask.granularity element, not row.": {
        "mask": MaskOptions(0.5, granularity="row", layer_quota=0.2, module_quota=0.1)
    },
    "mask.module_quota: expected mask.granularity element, not layer.": {
        "mask": MaskOptions(0.5, granularity="layer", module_quota=0.2)
    },
}


@pytest.mark.parametrize(("says", "changes"), BAD.items(), ids=lambda v: str(v)[:30])
def test_wrong_ones_are_named(says, changes):
    with pytest.raises(InputError) as caught:
        check_method_options(dataclasses.replace(MethodOptions(), **changes))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
