"""A language model from a local Hugging Face folder or a hub id."""

import contextlib
import os
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from ntkjax.checkpoints.checkpoint import Checkpoint
from ntkjax.checkpoints.embedded import EMBEDDED_MODEL
from ntkjax.checkpoints.families.table import read_config
from ntkjax.checkpoints.hub import FILES, LEFT_OUT, download, parse_id
from ntkjax.checkpoints.layouts import weight_layouts
from ntkjax.checkpoints.stored_tensor import Part, aligned, part_size
from ntkjax.errors import InputError
from ntkjax.models.config import DecoderConfig
from ntkjax.models.language_model import LanguageModel, split_model
from ntkjax.models.lora import LoraSettings
from ntkjax.models.stacking import held_members, held_shapes


# Buffers of old checkpoints that the decoder computes itself.
RECOMPUTED = re.compile(r"model\.layers\.\d+\.self_attn\.rotary_emb\.inv_freq")

_HEAD, _EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"
_KEPT = ("float32", "bfloat16", "float16")

Watch = Callable[[int], AbstractContextManager[Callable[[int], None]]]
"""Given a number of bytes, a context whose function is told of those that are read."""


@dataclass(frozen=True)
class FoundModel:
    """Where a model lies, and which one it is.

    Attributes:
        folder: Its files.
        id: A hub id without its revision; elsewhere what was asked for.
        revision: Of the hub, as it was asked for; None for the main branch.
        commit: What the revision stands for; None if the model is not of the hub.
    """

    folder: Path
    id: str
    revision: str | None = None
    commit: str | None = None


def find_model(model: str) -> Path:
    """The folder of a model, as `locate_model` finds it."""
    return locate_model(model).folder


def locate_model(
    model: str,
    commit: str | None = None,
    announce: Callable[[str], None] = lambda line: None,
    weights: bool = True,
) -> FoundModel:
    """A model by its name: a local folder, `embedded`, or a hub id.

    Args:
        model: A folder, `embedded`, `owner/name`, or `owner/name@revision`.
        commit: Of a hub id: the commit to take, whatever its revision stands for now.
        announce: Called with a line of text before a download.
        weights: Whether the weights are needed, too.

    Raises:
        InputError: If there is no such folder and the hub cannot give such a model.
    """
    folder = Path(os.path.expanduser(model))  # `Path.expanduser` may raise
    if folder.is_dir():
        return FoundModel(folder, model)
    if folder.exists():
        raise InputError(
            "expected a folder, but it is a file.", field="model", value=model
        )
    if model == "embedded":
        return FoundModel(EMBEDDED_MODEL, model)
    parsed = parse_id(model)
    if parsed is None:
        raise InputError(
            "no such folder, and no hub id (owner/name or owner/name@revision) either.",
            field="model",
            value=model,
        )
    name, revision = parsed
    snapshot = download(name, commit or revision, announce, weights)
    return FoundModel(snapshot.folder, name, revision, snapshot.commit)


def model_files(folder: Path) -> list[Path]:
    """The files that decide what a model computes, its tokenizer's included."""
    found = {path for pattern in FILES for path in folder.glob(pattern)}
    return sorted(
        path
        for path in found
        if not any(fnmatch(path.name, pattern) for pattern in LEFT_OUT)
    )


def load_model(
    folder: Path,
    lora: LoraSettings | None,
    dtype=jnp.float32,
    watch: Watch = lambda num_bytes: contextlib.nullcontext(lambda count: None),
    mesh: Mesh | None = None,
) -> LanguageModel:
    """The model with its frozen weights; θ is made by `initial_theta` or an adapter.

    Weights stored as float32, bfloat16 or float16 are cast to `dtype`. Without `lora`
    θ is all weights (`ntkjax.checkpoints.full`). Memory: the weights, and a few MiB; on
    an accelerator also one tensor at a time on the host.

    Args:
        folder: Of the checkpoint.
        lora: Where θ sits.
        dtype: Type of weights and activations.
        watch: Sees the bytes that are read.
        mesh: Where the weights lie, cut by `weight_partitions`; of the files only what
            this process's devices hold is read. Default: whole on the default device.

    Raises:
        InputError: If tensors are missing, left over, of the wrong shape or not finite,
            or cannot be cut over the mesh.
    """
    config = read_config(folder).decoder
    graphdef, _, shapes = split_model(config, lora, dtype)
    checkpoint = Checkpoint(folder)
    _require_same_names(
        folder, expected=set(shapes), found=_names_of_weights(checkpoint, config)
    )
    for name, shape in shapes.items():
        checkpoint.require(name, shape.shape)
    members, held = held_members(config, shapes), held_shapes(config, shapes)
    layouts = weight_layouts(config, {n: leaf.shape for n, leaf in held.items()}, mesh)
    places = {name: checkpoint.tensors[members[name][0]] for name in held}
    num_bytes = sum(
        part_size(part) * places[name].dtype.itemsize
        for name, layout in layouts.items()
        for part in layout.devices
    )
    frozen = {}
    with watch(num_bytes) as advance:
        for name in sorted(places, key=lambda n: (places[n].path, places[n].start)):
            read = partial(_read, checkpoint, members[name], np.dtype(dtype), advance)
            frozen[name] = jax.block_until_ready(layouts[name].fill(read))
    if config.tie_embeddings and _HEAD in checkpoint.tensors:
        _require_tied(checkpoint)
    return LanguageModel(config, lora, graphdef, frozen)


def _read(
    checkpoint: Checkpoint,
    members: list[str],
    dtype: np.dtype,
    advance: Callable[[int], None],
    part: Part,
) -> np.ndarray:
    """A part of one tensor, or of the same one of all layers."""
    if len(part) == len(checkpoint.tensors[members[0]].shape):
        return checkpoint.read(members[0], dtype, advance, part)
    (first, last), *inner = part
    stack = aligned(tuple(stop - start for start, stop in part), dtype)
    for place, name in zip(stack, members[first:last], strict=True):
        checkpoint.read(name, dtype, advance, tuple(inner), place)
    return stack


def stored_dtype(folder: Path) -> np.dtype:
    """The one type of a checkpoint's weights.

    Raises:
        InputError: If they are of several types, or of none that a model can run in.
    """
    checkpoint = Checkpoint(folder)
    names = sorted(_names_of_weights(checkpoint, read_config(folder).decoder))
    first_of = {}
    for name in names:
        checkpoint.require(name, checkpoint.tensors[name].shape)
        first_of.setdefault(checkpoint.tensors[name].dtype.name, name)
    found = " and ".join(f"{dtype} ({name})" for dtype, name in first_of.items())
    if len(first_of) != 1 or next(iter(first_of)) not in _KEPT:
        raise InputError(
            f"the weights in {folder} are {found}; choose one of {', '.join(_KEPT)}.",
            field="dtype",
            value="stored",
        )
    return checkpoint.tensors[names[0]].dtype


def _names_of_weights(checkpoint: Checkpoint, config: DecoderConfig) -> set[str]:
    """Names of what must be the model's: no buffers, no second copy of a tied head."""
    names = {name for name in checkpoint.tensors if not RECOMPUTED.fullmatch(name)}
    return names - {_HEAD} if config.tie_embeddings else names


def _require_tied(checkpoint: Checkpoint) -> None:
    if not checkpoint.are_equal(_HEAD, _EMBEDDING):
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
