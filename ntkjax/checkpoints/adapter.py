"""LoRA adapters in PEFT's format: `adapter_config.json`, `adapter_model.safetensors`.

PEFT names a matrix `base_model.model.<module>.lora_A.weight`; in θ it is
`<module>.lora_A`, and both store A as [r, in] and B as [out, r].
"""

import json
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ntkjax.checkpoints.checkpoint import open_safetensors, require_finite
from ntkjax.errors import InputError
from ntkjax.models.language_model import LanguageModel
from ntkjax.models.lora import LoraSettings, check_lora, matched_modules
from ntkjax.store.atomic import write_json, write_tensors
from ntkjax.store.folders import make_folder
from ntkjax.store.run_path import RunPath


CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

# Keys that do not change what the adapter computes.
_HARMLESS = {
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "eva_config",
    "inference_mode",
    "layers_pattern",
    "loftq_config",
    "lora_dropout",  # zero outside training
    "megatron_config",
    "megatron_core",
    "peft_version",
    "qalora_group_size",  # read only with use_qalora
    "revision",
    "runtime_config",
    "task_type",
}
_PLAIN_STARTS = (True, False, "gaussian", "eva", "orthogonal", None)


def adapter_files(folder: Path) -> list[Path]:
    """The files that decide what an adapter computes."""
    return [path for path in (folder / CONFIG, folder / WEIGHTS) if path.exists()]


def read_adapter_settings(folder: Path) -> LoraSettings:
    """Rank, α, targets and scaling of a PEFT adapter.

    Every key is used, harmless, or empty; any other is refused by name.

    Raises:
        InputError: If the config is missing, no LoRA, or asks for something unknown.
    """
    path = folder / CONFIG
    try:
        raw = json.loads(path.read_bytes())
        kind, rank, alpha = raw.pop("peft_type"), raw.pop("r"), raw.pop("lora_alpha")
        targets = raw.pop("target_modules")
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise InputError(
            f"{CONFIG} is missing or incomplete ({error!r}); expected a PEFT LoRA "
            "adapter.",
            field="adapter",
            value=folder,
        ) from error
    if kind != "LORA":
        raise InputError(f"{path}: peft_type {kind!r} is not supported, only LORA is.")
    rslora = raw.pop("use_rslora", False)
    start = raw.pop("init_lora_weights", True)
    if start not in _PLAIN_STARTS:
        raise InputError(
            f"{path}: init_lora_weights={start!r} changes the base model's weights; "
            "convert the adapter to plain LoRA first."
        )
    unknown = {k: v for k, v in raw.items() if k not in _HARMLESS and not _is_empty(v)}
    if unknown:
        pairs = ", ".join(f"{k}={v!r}" for k, v in sorted(unknown.items()))
        raise InputError(f"{path}: not supported: {pairs}.")
    names = [targets] if isinstance(targets, str) else targets
    is_list = isinstance(names, list) and all(isinstance(n, str) for n in names)
    for key, value, wanted, right in (
        ("r", rank, "int", type(rank) is int),
        ("lora_alpha", alpha, "int or float", type(alpha) in (int, float)),
        ("use_rslora", rslora, "bool", type(rslora) is bool),
        ("target_modules", targets, "str or a list of str", is_list),
    ):
        if not right:
            raise InputError(f"{path}: key {key!r} must be {wanted}, got {value!r}.")
    settings = LoraSettings(rank, float(alpha), tuple(sorted(names)), rslora)
    try:
        check_lora(settings)
    except InputError as error:  # the file's fault, not a setting's
        raise InputError(f"{path}: {error}") from error
    return settings


def read_adapter(folder: Path, model: LanguageModel) -> dict[str, Array]:
    """θ from an adapter folder, in float32.

    Raises:
        InputError: If names or shapes are not those of `model`, or a number is not
            finite.
    """
    path = folder / WEIGHTS
    with open_safetensors(path) as file:
        stored = {_theta_name(name): file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    expected = model.theta_shapes
    problems = sorted(set(stored) ^ set(expected)) or [
        f"{name} {stored[name].shape} instead of {shape}"
        for name, shape in expected.items()
        if stored[name].shape != shape
    ]
    if problems:
        raise InputError(
            f"{path}: an adapter of another model: {len(problems)} tensors do not fit, "
            f"first {problems[0]}."
        )
    for name, array in stored.items():
        require_finite(array, name, path)
    return {name: jnp.asarray(stored[name], jnp.float32) for name in expected}


def write_adapter(
    folder: RunPath, theta: dict[str, Array], model: LanguageModel, base_model: str
) -> None:
    """Writes θ so that PEFT, and `read_adapter`, can load it; the config comes last.

    Raises:
        ValueError: If the model has no LoRA: its θ is all weights.
    """
    lora = model.lora
    if lora is None:
        raise ValueError("θ is all weights: write it by `write_full_model`.")
    modules = [name.removesuffix(".lora_A") for name in theta if name.endswith("A")]
    suffixes_only = all(
        any(m == t or m.endswith("." + t) for m in modules) for t in lora.targets
    ) and set(matched_modules(modules, lora.targets)) == set(modules)
    alpha = int(lora.alpha) if float(lora.alpha).is_integer() else lora.alpha
    config = {
        "base_model_name_or_path": base_model,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "lora_alpha": alpha,
        "lora_dropout": 0.0,
        "modules_to_save": None,
        "peft_type": "LORA",
        "r": lora.rank,
        "target_modules": list(lora.targets) if suffixes_only else modules,
        "task_type": "CAUSAL_LM",
        "use_dora": False,
        "use_rslora": lora.rslora,
    }
    make_folder(folder)
    arrays = {_peft_name(name): np.asarray(leaf) for name, leaf in theta.items()}
    write_tensors(folder / WEIGHTS, arrays)
    write_json(folder / CONFIG, config)


def _is_empty(value: Any) -> bool:
    # 0 is a value (`layers_to_transform: 0` is the first layer), though 0 == False.
    return value is None or value is False or value in ("none", [], {})


def _theta_name(name: str) -> str:
    return name.removeprefix("base_model.model.").removesuffix(".weight")


def _peft_name(name: str) -> str:
    return f"base_model.model.{name}.weight"
