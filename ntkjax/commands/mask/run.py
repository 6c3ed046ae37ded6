"""`ntkjax mask`: a mask of any budget from saved scores, without the model."""

from pathlib import Path
from typing import NamedTuple

from ntkjax.checkpoints.mask import count_kept, is_mask, write_mask
from ntkjax.checkpoints.parameter_scores import SCORES, read_parameter_scores
from ntkjax.commands.mask.settings import MaskSettings, check_mask_settings
from ntkjax.errors import InputError
from ntkjax.selection.masks import magnitude_mask, mask_of, random_mask


class MaskRun(NamedTuple):
    """How many parameters a mask keeps, and of how many."""

    kept: int
    of: int


def run_mask(settings: MaskSettings) -> MaskRun:
    """Cuts the mask and writes it. The same settings give the same file.

    Raises:
        InputError: If the scores cannot be read, or the budget does not fit them.
    """
    check_mask_settings(settings)
    path = settings.scores
    if path.is_dir():
        path = path / SCORES
    if not path.exists():
        raise InputError(
            f"there is no {path.name}; expected a run of `ntkjax select` with the "
            "method dualsft.",
            field="scores",
            value=settings.scores,
        )
    _refuse_to_overwrite(settings.out)
    scores, values, facts = read_parameter_scores(path)
    if settings.kind == "score":
        mask = mask_of(scores, settings.mask)
    elif settings.kind == "magnitude":
        mask = magnitude_mask(values, settings.mask)
    else:
        shapes = {name: leaf.shape for name, leaf in values.items()}
        mask = random_mask(shapes, settings.mask, settings.seed)
    try:
        write_mask(settings.out, mask, facts)
    except OSError as error:
        raise InputError(
            f"cannot be written: {error}.", field="out", value=settings.out
        ) from error
    return MaskRun(count_kept(mask), sum(leaf.size for leaf in mask.values()))


def _refuse_to_overwrite(out: Path) -> None:
    """Raises `InputError` if something is there that is no mask, such as the scores."""
    if out.exists() and not is_mask(out):
        raise InputError(
            "is there already and is no mask; choose another name.",
            field="out",
            value=out,
        )
