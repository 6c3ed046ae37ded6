"""A language model from a local Hugging Face folder or a hub id."""

import os
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from ntkjax.errors import InputError
from ntkjax.models.checkpoint import Checkpoint
from ntkjax.models.embedded import EMBEDDED_MODEL
from ntkjax.models.families import read_config
from ntkjax.models.language_model import LanguageModel, split_model
from ntkjax.models.lora import LoraSettings


# Buffers of old checkpoints that the decoder computes itself.
RECOMPUTED = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")

_HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


def find_model(model: str) -> Path:
    """The folder of a model: a local one, `embedded`, or a snapshot of a hub id.

    `HF_HUB_OFFLINE=1` is honored: then only the local cache is looked at.

    Raises:
        InputError: If there is no such folder and no such model on the hub.
    """
    folder = Path(os.path.expanduser(model))  # `Path.expanduser` may raise
    if folder.is_dir():
        return folder
    if folder.exists():
        raise InputError(f"--model {model}: expected a folder, but it is a file.")
    if model == "embedded":
        return EMBEDDED_MODEL
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", model) or model.startswith("."):
        raise InputError(
            f"--model {model}: no such folder, and no hub id (owner/name) either."
        )
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    import huggingface_hub

    try:
        found = huggingface_hub.snapshot_download(model, allow_patterns=_HUB_FILES)
    except Exception as error:  # the hub client raises many unrelated types
        reason = str(error).strip().split("\n")[0]
        raise InputError(
            f"--model {model}: no such folder, and the hub cannot give it: {reason}"
        ) from error
    return Path(found)


def model_files(folder: Path) -> list[Path]:
    """The files that decide what a model computes, its tokenizer's included."""
    return sorted({path for pattern in _HUB_FILES for path in folder.glob(pattern)})


def load_model(
    folder: Path, lora: LoraSettings | None, dtype=jnp.float32
) -> LanguageModel:
    """The model with its frozen weights; θ is made by `initial_theta` or an adapter.

    Weights stored as float32, bfloat16 or float16 are cast to `dtype`. Without `lora`
    θ is all weights (`ntkjax.models.full`).

    Raises:
        InputError: If tensors are missing, left over, of the wrong shape or not finite.
    """
    config = read_config(folder).decoder
    graphdef, _, shapes = split_model(config, lora, dtype)
    checkpoint = Checkpoint(folder)
    names = {n for n in checkpoint.file_of if not RECOMPUTED.fullmatch(n)}
    if config.tie_embeddings:
        names.discard("lm_head.weight")
    _require_same_names(folder, expected=set(shapes), found=names)
    if config.tie_embeddings and "lm_head.weight" in checkpoint.file_of:
        _require_tied(checkpoint)
    frozen = {}
    for name, shape in shapes.items():
        array = checkpoint.read(name)
        if array.shape != shape.shape:
            raise InputError(
                f"{folder / checkpoint.file_of[name]}: tensor {name!r} has shape "
                f"{array.shape}, but config.json asks for {shape.shape}."
            )
        frozen[name] = jnp.asarray(array, dtype)
    return LanguageModel(config, lora, graphdef, frozen)


def _require_tied(checkpoint: Checkpoint) -> None:
    head = checkpoint.read("lm_head.weight")
    if not np.array_equal(head, checkpoint.read("model.embed_tokens.weight")):
        raise InputError(
            f"{checkpoint.folder}: config.json ties the head to the embedding, but the "
            "checkpoint has a different lm_head.weight."
        )


def _require_same_names(folder: Path, expected: set[str], found: set[str]) -> None:
    problems = []
    for what, names in (("missing", expected - found), ("left over", found - expected)):
        if names:
            shown = ", ".join(sorted(names)[:3])
            problems.append(f"{len(names)} {what} ({shown}{', …' * (len(names) > 3)})")
    if problems:
        raise InputError(
            f"{folder}: the checkpoint's tensors do not fit its config.json: "
            f"{'; '.join(problems)}."
        )
