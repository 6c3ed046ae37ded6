"""What a selection leaves of the model: the warmed-up θ, parameter scores, a mask."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import jax.numpy as jnp

from ntkjax.models.adapter import write_adapter
from ntkjax.models.full import write_full_model
from ntkjax.models.language_model import LanguageModel
from ntkjax.models.mask import MaskFacts, theta_hash, write_mask
from ntkjax.models.parameter_scores import write_parameter_scores
from ntkjax.notation import Theta
from ntkjax.selection.problem import Scored


ADAPTER, MODEL = "adapter", "model"
SCORES, MASK = "parameters.safetensors", "mask.safetensors"


def publish_theta(
    out: Path, theta: Theta, model: LanguageModel, base_name: str, source: Path
) -> None:
    """Writes θ once, as an adapter or as a whole model; the first of several jobs wins.

    Args:
        out: Run directory.
        theta: At the end of the warm-up.
        model: The model.
        base_name: What the user called it.
        source: Its folder.
    """
    if model.lora is not None:
        _once(out / ADAPTER, lambda p: write_adapter(p, theta, model, base_name))
        return
    dtype = jnp.float32
    _once(out / MODEL, lambda path: write_full_model(path, theta, source, dtype))


def write_parameters(
    out: Path, scored: Scored, model: LanguageModel, start: Theta, model_hash: str
) -> None:
    """Writes scores of parameters and a mask, where the method has them."""
    facts = MaskFacts(model_hash, model.lora, theta_hash(start))
    if scored.parameters is not None:
        write_parameter_scores(out / SCORES, scored.parameters, facts)
    if scored.mask is not None:
        write_mask(out / MASK, scored.mask, facts)


def _once(path: Path, write: Callable[[Path], None]) -> None:
    """Lets `write` fill a folder that appears in one step."""
    if path.exists():
        return
    beside = path.with_name(f".{path.name}.{os.getpid()}.partial")
    shutil.rmtree(beside, ignore_errors=True)
    write(beside)
    try:
        beside.rename(path)
    except OSError:
        if not path.exists():
            raise
        shutil.rmtree(beside)
