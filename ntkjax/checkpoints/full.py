"""Training without LoRA: θ is all weights, and the result a Hugging Face folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import safetensors.numpy
from jaxtyping import Array

from ntkjax.checkpoints.checkpoint import SINGLE, require_finite
from ntkjax.checkpoints.loading import model_files
from ntkjax.devices.mesh import readable
from ntkjax.models.language_model import LanguageModel
from ntkjax.store.atomic import write_bytes, write_json
from ntkjax.store.folders import new_folder
from ntkjax.store.run_path import RunPath


CONFIG = "config.json"
_DTYPE_KEYS = ("dtype", "torch_dtype")


def full_theta(model: LanguageModel) -> dict[str, Array]:
    """All weights by name, in float32. A tied head is the embedding.

    Raises:
        ValueError: If the model has LoRA: its θ is the adapter.
    """
    if model.lora is not None:
        raise ValueError("the model has LoRA: load it without.")
    wide = {n: model.weight(n).astype(jnp.float32) for n in model.theta_shapes}
    return {name: readable(leaf) for name, leaf in wide.items()}


def write_full_model(
    folder: RunPath, theta: Mapping[str, Any], source: Path, dtype: Any = jnp.float32
) -> None:
    """Writes θ so that transformers, and `load_model`, can load it.

    The folder appears whole or not at all; one that was there before is replaced. In a
    bucket it is whole when the weights are there.

    Args:
        folder: Where to.
        theta: All weights.
        source: Folder of the model they began as; config, tokenizer and templates come
            from there.
        dtype: Type of the stored weights.

    Raises:
        InputError: If a weight is not finite in this type, or the disk is full.
    """
    dtype = np.dtype(dtype)
    with new_folder(folder, last=SINGLE) as beside:
        for path in filter(_is_no_weight, model_files(source)):
            write_bytes(beside / path.name, path.read_bytes())
        write_json(beside / CONFIG, _config(source / CONFIG, dtype))
        arrays = {name: np.asarray(leaf, dtype) for name, leaf in theta.items()}
        for name, array in arrays.items():
            require_finite(array, name, folder / SINGLE)
        content = safetensors.numpy.save(arrays, metadata={"format": "pt"})
        write_bytes(beside / SINGLE, content)


def _config(path: Path, dtype: np.dtype) -> dict[str, Any]:
    """The config with the type of the weights, under the key that it has for it."""
    config = json.loads(path.read_bytes())
    keys = [key for key in _DTYPE_KEYS if key in config] or _DTYPE_KEYS[-1:]
    return {**config, **dict.fromkeys(keys, dtype.name)}


def _is_no_weight(path: Path) -> bool:
    """Whether a file of a model's folder belongs to any weights of this shape."""
    ours = path.suffix == ".safetensors" or path.name.endswith(".index.json")
    return not ours and not path.name.startswith("adapter_")
