"""What most commands begin with: a model, its adapter, its tokenizer, its examples."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array

from ntkjax.checkpoints.adapter import read_adapter, read_adapter_settings
from ntkjax.checkpoints.full import full_theta
from ntkjax.checkpoints.loading import load_model, stored_dtype
from ntkjax.checkpoints.text_encoder import text_encoder
from ntkjax.data.examples import Example
from ntkjax.data.templates import DEFAULT_TEMPLATE, TemplateOptions
from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.errors import InputError, setting
from ntkjax.models.language_model import LanguageModel
from ntkjax.models.lora import LAYER_MATRICES, LoraSettings, initial_theta
from ntkjax.runs.device_mesh import open_mesh
from ntkjax.runs.progress import read_progress
from ntkjax.settings.devices import ALL_DEVICES, DeviceOptions


DTYPES = {
    "float32": jnp.float32,
    "bfloat16": jnp.bfloat16,
    "float16": jnp.float16,
    "stored": None,
}
"""Types of frozen weights and activations; the last is the one in the files."""


PARAMETERS = ("lora", "full")
"""What θ is: an adapter, or all weights."""


@dataclass(frozen=True)
class LoraOptions:
    """The adapter. With --adapter all of these come from its file.

    None is a flag that was not given: one that was, and differs from the file, is
    refused, be it the default of `LoraSettings`.

    Attributes:
        rank: Rank r. Default 8.
        alpha: Numerator of the scale α/r. Default 16.
        targets: Module names or regular expressions. Default: all seven matrices of
            every layer.
        rslora: Scale by α/√r. Default off.
    """

    rank: int | None = None
    alpha: float | None = None
    targets: tuple[str, ...] | None = None
    rslora: bool | None = None


def resolve_lora(options: LoraOptions, adapter: Path | None) -> LoraSettings:
    """The settings of the adapter file, or of the flags where there is none.

    Raises:
        InputError: If a flag differs from the adapter's file.
    """
    if adapter is None:
        given = {k: v for k, v in vars(options).items() if v is not None}
        return LoraSettings(**{"targets": LAYER_MATRICES, **given})
    stored = read_adapter_settings(adapter)
    for name, value in vars(options).items():
        found = getattr(stored, name)
        same = set(value) == set(found) if name == "targets" and value else None
        if value is not None and not (same if same is not None else value == found):
            raise InputError(
                f"{setting(f'lora.{name}')} is {value!r}, but the adapter {adapter} "
                f"has {found!r}: leave it out, or choose another adapter."
            )
    return stored


@dataclass(frozen=True)
class Prepared:
    """A model ready to be differentiated.

    Attributes:
        model: Frozen weights and graph.
        theta: The adapter in use.
        mesh: Devices, on which the weights lie.
        second: θ of the adapter to compare with.
    """

    model: LanguageModel
    theta: dict[str, Array]
    mesh: Mesh
    second: dict[str, Array] | None = None


def tokenize_files(
    folder: Path,
    chosen: dict[str, list[Example]],
    max_length: int,
    template: TemplateOptions = DEFAULT_TEMPLATE,
) -> tuple[dict[str, list[TokenizedExample]], int]:
    """Tokenized examples of each name, and the tokenizer's vocabulary size."""
    encode = text_encoder(folder, max_length, template)
    tokenized = {name: encode(examples) for name, examples in chosen.items()}
    return tokenized, encode.vocab_size


def prepare(
    folder: Path,
    lora: LoraSettings | None,
    adapter: Path | None,
    *,
    compare_adapter: Path | None = None,
    dtype: str,
    seed: int,
    devices: DeviceOptions = ALL_DEVICES,
    apart: bool = False,
) -> Prepared:
    """The model and θ: an adapter's, its start under `seed`, or all weights.

    `apart` is whether processes work on rows of their own (`open_mesh`).
    """
    frozen = np.dtype(DTYPES[dtype] or stored_dtype(folder))
    # Without LoRA θ is float32 as the files have it, whatever the activations are.
    loaded = np.dtype(jnp.float32) if lora is None else frozen
    mesh = open_mesh(devices, folder, loaded, apart=apart)
    watch = partial(read_progress, "loading the model")
    model = load_model(folder, lora, loaded, watch, mesh)
    if lora is None:
        theta = full_theta(model)
        model = model.astype(frozen)
    elif adapter is None:
        theta = initial_theta(model.theta_shapes, jax.random.key(seed))
    else:
        theta = read_adapter(adapter, model)
    second = None
    if compare_adapter is not None and lora is not None:
        second = _read_second_adapter(compare_adapter, model, lora)
    return Prepared(model, theta, mesh, second)


def _read_second_adapter(
    folder: Path, model: LanguageModel, expected: LoraSettings
) -> dict[str, Array]:
    """θ of another adapter of the same shape and scale as the model's own."""
    try:
        found = read_adapter_settings(folder)
        other = replace(model, lora=found)
        if other.theta_shapes.keys() == model.theta_shapes.keys():
            found = replace(found, targets=expected.targets)  # spelled differently
        for name, value in vars(found).items():
            if value != getattr(expected, name):
                raise InputError(
                    f"its {name} is {value!r}, but the adapter in use has "
                    f"{getattr(expected, name)!r}; both need the same shape and scale."
                )
        return read_adapter(folder, model)
    except InputError as error:
        raise InputError(
            error.message, field="compare_adapter", value=folder
        ) from error


def count(theta: dict[str, Array]) -> int:
    """P, the number of parameters in θ."""
    return sum(leaf.size for leaf in theta.values())
