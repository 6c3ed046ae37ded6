"""Rotary settings of a config file, in either spelling.

`rope_theta` beside `rope_scaling` (transformers 4), or both inside `rope_parameters`
(transformers 5). A file may say the same thing twice, but not two things. A model
whose layers rotate differently (Gemma 3) has one such dict for each kind of layer.
"""

import math
from typing import Any

from ntkjax.checkpoints.families.config_keys import NUMBER, Keys
from ntkjax.models.config import (
    LinearScaling,
    Llama3Scaling,
    Rotary,
    Scaling,
    YarnScaling,
)


ROPE_TYPES = ("default", "dynamic", "linear", "llama3", "yarn")
KINDS = ("full_attention", "sliding_attention")


def read_rotary(keys: Keys, max_positions: int, default_theta: float) -> Rotary:
    """The rotation of all layers.

    Raises:
        InputError: If the two spellings differ, or a value is missing, unknown or of
            the wrong kind.
    """
    new, old = (keys.take(k, dict, {}) for k in ("rope_parameters", "rope_scaling"))
    if new.keys() & set(KINDS):
        raise keys.error(
            "rope_parameters differ from layer to layer, which is supported for "
            "gemma3_text alone"
        )
    inner = _together(keys, new, old)
    outside = _base(keys, "rope_theta")
    return _rotary(keys, inner, outside, max_positions, default_theta)


def read_two_rotaries(
    keys: Keys, max_positions: int, default_thetas: tuple[float, float]
) -> tuple[Rotary, Rotary]:
    """The rotations of layers with full attention, and of those with a window.

    In the old spelling `rope_theta` and `rope_scaling` are those of full attention, and
    `rope_local_base_freq` is the base of the others.
    """
    new, old = (keys.take(k, dict, {}) for k in ("rope_parameters", "rope_scaling"))
    if new and not new.keys() <= set(KINDS):
        raise keys.error(f"rope_parameters must have the keys {' and '.join(KINDS)}")
    if "type" in old and "rope_type" not in old:
        raise keys.error(
            'rope_scaling has the old key "type", which transformers 4 applies here '
            'and transformers 5 ignores; write "rope_type" or remove rope_scaling'
        )
    outside = _base(keys, "rope_theta"), _base(keys, "rope_local_base_freq")
    rotaries = []
    for kind, theta, default in zip(KINDS, outside, default_thetas, strict=True):
        inner = new.get(kind) or {}
        if not isinstance(inner, dict):
            raise keys.error(f"rope_parameters[{kind!r}] must be dict, got {inner!r}")
        if kind == KINDS[0]:
            inner = _together(keys, inner, old)
        rotaries.append(_rotary(keys, inner, theta, max_positions, default))
    return rotaries[0], rotaries[1]


def _rotary(
    keys: Keys,
    settings: dict[str, Any],
    theta: float | None,
    max_positions: int,
    default_theta: float,
) -> Rotary:
    """One rotation from its dict, and from the base that stands beside it."""
    inner = Keys(keys.path, settings)
    inside = _base(inner, "rope_theta")
    if inside is not None and theta not in (None, inside):
        raise keys.error(f"rope_theta is {theta}, but {inside} in the rotary settings")
    given = [base for base in (theta, inside) if base is not None]
    base = given[0] if given else default_theta
    inner.only("partial_rotary_factor", NUMBER, 1.0, "whole heads are rotated")
    old_name = inner.take("type", str, "default")
    kind = inner.take("rope_type", str, old_name)
    if kind not in ROPE_TYPES:
        raise keys.error(
            f"rope_type {kind!r} is not supported; supported are: "
            f"{', '.join(ROPE_TYPES)}"
        )
    scaling = _scaling(kind, inner, max_positions)
    inner.done()
    if not base > 0:
        raise keys.error(f"rope_theta must be positive, got {base:g}")
    return Rotary(base, scaling)


def _together(keys: Keys, new: dict, old: dict) -> dict:
    """Settings from both spellings, which may not contradict each other."""
    if differing := sorted(k for k in new.keys() & old.keys() if new[k] != old[k]):
        raise keys.error(
            f"rope_parameters and rope_scaling differ in {', '.join(differing)}"
        )
    return {**new, **old}


def _base(keys: Keys, key: str) -> float | None:
    value = keys.take(key, NUMBER, None)
    return None if value is None else float(value)


def _scaling(kind: str, inner: Keys, max_positions: int) -> Scaling | None:
    if kind == "default":
        return None
    original = "original_max_position_embeddings"
    factor = inner.positive_number("factor")
    if kind == "linear":
        return LinearScaling(factor)
    if kind == "dynamic":
        # Beyond max_position_embeddings the base would grow with the length of the
        # text, padding included. The decoder refuses longer texts; up to there the
        # factor has no effect.
        inner.take(original, int, None)
        return None
    if kind == "yarn":
        return _yarn(factor, inner, inner.positive(original, max_positions))
    low, high = (inner.take(f"{n}_freq_factor", NUMBER) for n in ("low", "high"))
    if not 0 < low < high:
        raise inner.error(
            f"rope needs 0 < low_freq_factor < high_freq_factor, got {low} and {high}"
        )
    positions = inner.positive(original, max_positions)
    return Llama3Scaling(factor, float(low), float(high), positions)


def _yarn(factor: float, inner: Keys, original: int) -> YarnScaling:
    """YaRN's settings; its amplitude is 0.1·log(factor) + 1 unless the file says more.

    With `mscale` and `mscale_all_dim` (as DeepSeek writes it) it is the ratio of that
    expression with 0.1·mscale and with 0.1·mscale_all_dim.
    """

    def amplitude(mscale: float) -> float:
        return 1.0 if factor <= 1 else 0.1 * mscale * math.log(factor) + 1.0

    given = inner.optional_number("attention_factor")
    mscale, all_dim = map(inner.optional_number, ("mscale", "mscale_all_dim"))
    if given is None and mscale is not None and all_dim is not None:
        given = amplitude(mscale) / amplitude(all_dim)
    if given is None:
        given = amplitude(1.0)
    fast = inner.positive_number("beta_fast", 32.0)
    slow = inner.positive_number("beta_slow", 1.0)
    if fast < slow:
        raise inner.error(
            f"rope needs beta_slow <= beta_fast, got {slow:g} and {fast:g}"
        )
    truncate = inner.take("truncate", bool, True)
    return YarnScaling(factor, fast, slow, original, given, truncate)
