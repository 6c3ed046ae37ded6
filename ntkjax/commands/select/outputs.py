"""What a selection leaves of the model: the warmed-up θ, parameter scores, a mask."""

from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp

from ntkjax.checkpoints.adapter import CONFIG, write_adapter
from ntkjax.checkpoints.checkpoint import SINGLE
from ntkjax.checkpoints.full import write_full_model
from ntkjax.checkpoints.mask import MaskFacts, theta_hash, write_mask
from ntkjax.checkpoints.parameter_scores import SCORES, write_parameter_scores
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import Theta
from ntkjax.selection.problem import Scored
from ntkjax.store.folders import discard_folder, new_folder
from ntkjax.store.run_path import RunPath, is_remote


ADAPTER, MODEL = "adapter", "model"
MASK = "mask.safetensors"


def publish_theta(
    out: RunPath, theta: Theta, model: LanguageModel, base_name: str, source: Path
) -> str:
    """Writes θ as an adapter or as a whole model.

    Returns:
        The name of its folder.

    Args:
        out: Run directory.
        theta: At the end of the warm-up.
        model: The model.
        base_name: What the user called it.
        source: Its folder.
    """
    if model.lora is not None:
        write = lambda path: write_adapter(path, theta, model, base_name)
        _replace(out / ADAPTER, CONFIG, write)
        return ADAPTER
    dtype = jnp.float32
    write = lambda path: write_full_model(path, theta, source, dtype)
    _replace(out / MODEL, SINGLE, write)
    return MODEL


def write_parameters(
    out: RunPath, scored: Scored, model: LanguageModel, start: Theta, model_hash: str
) -> list[str]:
    """Writes scores of parameters and a mask, where the method has them.

    Returns:
        Names of the files that there are.
    """
    facts = MaskFacts(model_hash, model.lora, theta_hash(start))
    if scored.parameters is not None:
        write_parameter_scores(out / SCORES, scored.parameters, facts)
    if scored.mask is not None:
        write_mask(out / MASK, scored.mask, facts)
    found = {SCORES: scored.parameters, MASK: scored.mask}
    return [name for name, content in found.items() if content is not None]


def _replace(path: RunPath, last: str, write: Callable[[RunPath], None]) -> None:
    """Lets `write` fill a folder, which then takes the place of what is there.

    What an earlier start left is the same or damaged.
    """
    if not is_remote(path):
        discard_folder(path)
    with new_folder(path, last, replaces=False) as beside:
        write(beside)
