"""Settings of `ntkjax mask`, and the checks that need no file."""

from dataclasses import dataclass, field
from pathlib import Path

from ntkjax.errors import InputError, setting
from ntkjax.rules import SEED, check, one_of
from ntkjax.selection.masks import is_asked_for
from ntkjax.selection.options import MaskOptions, check_mask_options


KINDS = ("score", "magnitude", "random")


@dataclass(frozen=True)
class MaskSettings:
    """Which parameters are worth training? A mask, cut from scores without the model.

    Attributes:
        scores: Run directory of `ntkjax select --method dualsft`, or its
            parameters.safetensors.
        out: The mask file to write, such as mask.safetensors.
        kind: score (DualSFT's), magnitude (the largest parameters) or random, both as
            controls.
        mask: How many, and what is kept or left as a whole.
        seed: Of the kind random.
    """

    scores: Path
    out: Path
    kind: str = "score"
    mask: MaskOptions = field(default_factory=MaskOptions)
    seed: int = 0


_RULES = {"kind": one_of(KINDS), "seed": SEED}


def check_mask_settings(settings: MaskSettings) -> None:
    """Raises `InputError` for a value that no mask can have."""
    check(settings, _RULES)
    check_mask_options(settings.mask)
    if not is_asked_for(settings.mask):
        raise InputError(
            f"{setting('mask.share')} or {setting('mask.budget')}: give one of them, "
            "the share or the number of parameters to keep."
        )
