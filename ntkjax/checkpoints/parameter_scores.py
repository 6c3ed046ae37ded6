"""Scores of parameters in a file, from which masks of any budget are cut.

A safetensors file with `score/NAME` and `theta/NAME` for each array of θ: scores of its
numbers, and their values where they were scored. The metadata says what they belong to,
as a mask's.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from ntkjax.checkpoints.checkpoint import read_described
from ntkjax.checkpoints.mask import MaskFacts
from ntkjax.errors import InputError
from ntkjax.models.lora import LoraSettings
from ntkjax.store.atomic import write_bytes
from ntkjax.store.run_path import RunPath
from ntkjax.store.seals import tensors_hash


SCORES = "parameters.safetensors"
"""Name of the file in a folder of a run."""

_KEY = "ntkjax.parameters"
_PARTS = ("score", "theta")
_HASH = "sha256"  # files of before it was there are read, too

Tree = dict[str, np.ndarray]


def write_parameter_scores(
    path: RunPath, arrays: Mapping[str, np.ndarray], facts: MaskFacts
) -> None:
    """Writes scores and values, whole or not at all.

    Args:
        path: The file.
        arrays: `score/NAME` and `theta/NAME` for each parameter.
        facts: What they belong to.

    Raises:
        ValueError: If a number is not finite.
    """
    content = {name: np.asarray(leaf, np.float32) for name, leaf in arrays.items()}
    for name, leaf in content.items():
        if not np.isfinite(leaf).all():
            raise ValueError(f"{name}: numbers must be finite.")
    about = {**facts.plain(), _HASH: tensors_hash(content)}
    metadata = {_KEY: json.dumps(about)}
    write_bytes(path, safetensors.numpy.save(content, metadata=metadata))


def read_parameter_scores(path: Path) -> tuple[Tree, Tree, MaskFacts]:
    """Scores and values by name, and what they belong to.

    Raises:
        InputError: If the file is missing, damaged, or something else.
    """
    stored, metadata = read_described(path)
    trees: dict[str, Tree] = {part: {} for part in _PARTS}
    try:
        about: dict[str, Any] = json.loads(metadata[_KEY])
        for name, array in stored.items():
            part, _, own_name = name.partition("/")
            trees[part][own_name] = array
        lora = about["lora"]
        if lora is not None:
            lora = LoraSettings(**{**lora, "targets": tuple(lora["targets"])})
        facts = MaskFacts(about["model"], lora, about["start"])
    except (KeyError, ValueError, TypeError, RecursionError) as error:
        raise InputError(
            f"{path}: no scores of parameters; expected a file that `ntkjax select` "
            "wrote with the method dualsft."
        ) from error
    scores, values = trees["score"], trees["theta"]
    if {n: a.shape for n, a in scores.items()} != {
        n: a.shape for n, a in values.items()
    }:
        raise InputError(f"{path}: damaged: scores and values differ in shape.")
    if about.get(_HASH, tensors_hash(stored)) != tensors_hash(stored):
        raise InputError(
            f"{path}: damaged: it holds other numbers than were written; run the same "
            "`ntkjax select` again."
        )
    return scores, values, facts
