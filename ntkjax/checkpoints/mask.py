"""Masks of parameters in a file: which numbers of θ a training may move.

A safetensors file with booleans like each array of θ. Its metadata says what the mask
was made for: the model, the adapter, and θ at the start. A mask belongs to that start:
scores of its parameters say nothing about others of the same names.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
from jaxtyping import Bool

from ntkjax.checkpoints.checkpoint import open_safetensors, read_described
from ntkjax.errors import InputError, setting
from ntkjax.models.lora import LoraSettings
from ntkjax.store.atomic import write_bytes
from ntkjax.store.run_path import RunPath
from ntkjax.store.seals import tensors_hash


Mask = dict[str, Bool[np.ndarray, "..."]]
"""Booleans like θ, on the host: True where a parameter may move."""

_KEY = "ntkjax.mask"
_FACTS = {"model", "parameters", "lora", "start", "kept", "of"}
_HASH = "sha256"  # masks of before it was there are read, too


@dataclass(frozen=True)
class MaskFacts:
    """What a mask is made for.

    Attributes:
        model: SHA-256 of the model's files.
        lora: The adapter; None where θ is all weights.
        start: `theta_hash` of θ before any training.
    """

    model: str
    lora: LoraSettings | None
    start: str

    @property
    def parameters(self) -> str:
        """What θ is: lora or full."""
        return "full" if self.lora is None else "lora"

    def plain(self) -> dict[str, Any]:
        """The same as plain values, and what they say of θ."""
        lora = None if self.lora is None else asdict(self.lora)
        plain = {"model": self.model, "parameters": self.parameters}
        return plain | {"lora": lora, "start": self.start}


def theta_hash(theta: Mapping[str, Any]) -> str:
    """SHA-256 of the names, shapes and numbers of θ."""
    total = hashlib.sha256()
    for name, leaf in sorted(theta.items()):
        total.update(f"{name} {leaf.shape} ".encode())
        total.update(np.asarray(leaf, np.float32).tobytes())
    return total.hexdigest()


def count_kept(mask: Mapping[str, np.ndarray]) -> int:
    """How many parameters may move."""
    return sum(int(np.count_nonzero(leaf)) for leaf in mask.values())


def write_mask(path: RunPath, mask: Mapping[str, np.ndarray], facts: MaskFacts) -> None:
    """Writes a mask, whole or not at all; the same one gives the same bytes."""
    arrays = {name: np.asarray(leaf, np.bool_) for name, leaf in mask.items()}
    of = sum(leaf.size for leaf in arrays.values())
    about = {**facts.plain(), "kept": count_kept(arrays), "of": of}
    about |= {_HASH: tensors_hash(arrays)}
    # One key, since safetensors writes several in any order.
    metadata = {_KEY: json.dumps(about)}
    write_bytes(path, safetensors.numpy.save(arrays, metadata=metadata))


def is_mask(path: Path) -> bool:
    """Whether a file is a mask, of whatever model."""
    try:
        with open_safetensors(path) as file:
            return _KEY in (file.metadata() or {})
    except InputError:
        return False


def read_mask(
    path: Path, theta_shapes: Mapping[str, tuple[int, ...]], facts: MaskFacts
) -> Mask:
    """A mask for θ of these shapes, in their order.

    Raises:
        InputError: If the file is no mask or damaged, if it was made for another model,
            adapter or start than `facts` say, or if it keeps nothing.
    """
    try:
        stored, metadata = read_described(path)
    except InputError as error:
        raise InputError(f"{setting('mask')} {error.message}") from error
    about = _about(path, metadata)
    _require_same_parameters(path, about, facts)
    _require_shapes(path, stored, theta_shapes)
    if about["model"] != facts.model:
        raise _refusal(
            path,
            "made for another model of the same shapes; give the one that it was made "
            "with.",
        )
    if about["start"] != facts.start:
        raise _refusal(
            path,
            "made for an adapter that starts otherwise; train with the same "
            f"{setting('seed')} or {setting('adapter')}.",
        )
    kept = count_kept(stored)
    if kept != about["kept"]:
        raise _refusal(
            path,
            f"damaged: it keeps {kept} parameters, but says {about['kept']}; make it "
            "again.",
        )
    if about.get(_HASH, tensors_hash(stored)) != tensors_hash(stored):
        raise _refusal(
            path,
            "damaged: it keeps other parameters than it was written with; make it "
            "again.",
        )
    if not kept:
        raise _refusal(path, "keeps no parameter, so nothing would train.")
    return {name: stored[name] for name in theta_shapes}


def _refusal(path: Path, reason: str) -> InputError:
    return InputError(reason, field="mask", value=path)


def _about(path: Path, metadata: Mapping[str, str]) -> dict[str, Any]:
    """What the mask says of itself."""
    try:
        about = json.loads(metadata.get(_KEY, "null"))
    except (ValueError, RecursionError):
        about = None
    if (
        not isinstance(about, dict)
        or about.keys() - {_HASH} != _FACTS
        or not isinstance(about["lora"], dict | None)
    ):
        raise _refusal(
            path,
            "no mask of parameters; expected a file that `ntkjax select` wrote as one.",
        )
    return about


def _require_same_parameters(
    path: Path, about: Mapping[str, Any], facts: MaskFacts
) -> None:
    if about["parameters"] != facts.parameters:
        raise _refusal(
            path,
            f"made for {setting('parameters')} {about['parameters']}, but this "
            f"training has {facts.parameters}.",
        )
    before, now = about["lora"] or {}, facts.plain()["lora"] or {}
    for key in ("rank", "alpha", "rslora"):  # targets show in the names of θ
        if before.get(key) != now.get(key):
            raise _refusal(
                path,
                f"made for another adapter (lora.{key} was {before.get(key)} and is "
                f"now {now.get(key)}).",
            )


def _require_shapes(
    path: Path,
    stored: Mapping[str, np.ndarray],
    theta_shapes: Mapping[str, tuple[int, ...]],
) -> None:
    for name in [*theta_shapes, *sorted(stored.keys() - theta_shapes.keys())]:
        found = stored[name].shape if name in stored else "absent"
        expected = theta_shapes.get(name, "absent")
        if found != expected:
            raise _refusal(
                path,
                f"made for another model or other {setting('lora.targets')}: {name} is "
                f"{found} there and {expected} here.",
            )
        if stored[name].dtype != np.bool_:
            raise _refusal(path, f"{name} holds {stored[name].dtype} in place of bool.")
