"""From scores of parameters to a mask: which of them a training may move.

A parameter, or a group of them that is kept or left as a whole, is the better the
higher its score; a group's is the mean over its parameters. Equal ones go in the order
of names, and within an array in row-major order.
"""

import math
from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction

import numpy as np
from jaxtyping import Bool, Float64, Int64, Shaped

from ntkjax.checkpoints.mask import Mask
from ntkjax.errors import InputError, setting
from ntkjax.math.seeds import stream
from ntkjax.selection.options import MaskOptions
from ntkjax.selection.parameter_groups import (
    group_ids,
    layer_of,
    quota_kind_of,
    smallest_group,
)


def is_asked_for(options: MaskOptions) -> bool:
    """Whether the options say how large a mask should be."""
    return options.share is not None or options.budget is not None


def mask_of(scores: Mapping[str, np.ndarray], options: MaskOptions) -> Mask:
    """The mask that keeps the highest scores within the budget.

    Element by element exactly k are kept. Groups are taken best first, and one that no
    longer fits is passed over. Quotas, for elements only, set the best of every layer
    and then of every module aside before the rest is chosen.

    Args:
        scores: One for each parameter, by name.
        options: Budget, granularity, quotas.

    Returns:
        Booleans like the scores, in their order.

    Raises:
        InputError: If the budget is above the number of parameters or below the
            smallest group's, or if quotas are asked for together with groups.
        ValueError: If a score is not finite or no budget is given.
    """
    shapes = {name: np.shape(scores[name]) for name in sorted(scores)}
    check_mask_budget(shapes, options)
    joined = np.concatenate([np.ravel(scores[name]) for name in shapes], dtype="f8")
    if not np.isfinite(joined).all():
        raise ValueError("scores of parameters must be finite.")
    is_by_element = options.granularity == "element"
    best = _best_elements if is_by_element else _best_groups
    mask = _unflattened(best(joined, shapes, options), shapes)
    return {name: mask[name] for name in scores}


def random_mask(
    shapes: Mapping[str, tuple[int, ...]], options: MaskOptions, seed: int
) -> Mask:
    """A mask of random parameters, or groups, as a control. Errors: `mask_of`."""
    rng = np.random.default_rng(stream(seed, "random mask"))
    ordered = {name: shapes[name] for name in sorted(shapes)}
    ids = group_ids(ordered, options.granularity)
    draws = rng.random(int(ids.max()) + 1)
    return mask_of(_unflattened(draws[ids], ordered), options)


def magnitude_mask(theta: Mapping[str, np.ndarray], options: MaskOptions) -> Mask:
    """The mask of the largest |θ|, as a control. Errors: `mask_of`."""
    sizes = {name: np.abs(np.asarray(leaf)) for name, leaf in theta.items()}
    return mask_of(sizes, options)


def check_mask_budget(
    shapes: Mapping[str, tuple[int, ...]], options: MaskOptions
) -> None:
    """Refuses a budget that no mask can keep to, before there are scores.

    Raises:
        InputError: If it is above the number of parameters or below the smallest group.
        ValueError: If no budget is given.
    """
    budget = mask_budget(sum(map(math.prod, shapes.values())), options)
    smallest = smallest_group(shapes, options.granularity)
    if budget < smallest:
        given = "budget" if options.budget is not None else "share"
        raise InputError(
            f"the smallest {options.granularity} has {smallest} parameters, the budget "
            f"is {budget}; raise it, or use {setting('mask.granularity')} element.",
            field=f"mask.{given}",
            value=getattr(options, given),
        )


def mask_budget(total: int, options: MaskOptions) -> int:
    """The budget in parameters: as given, or ⌊share · P⌋ and at least 1.

    >>> mask_budget(100, MaskOptions(share=0.29))
    29

    Raises:
        InputError: If there are fewer parameters.
        ValueError: If the options say neither.
    """
    if options.budget is not None:
        if options.budget > total:
            raise InputError(
                f"there are only {total} parameters; expected at most {total}.",
                field="mask.budget",
                value=options.budget,
            )
        return options.budget
    if options.share is None:
        raise ValueError("a mask needs a share or a budget.")
    return max(1, _part(options.share, total))


def _preference(
    scores: Float64[np.ndarray, " q"], options: MaskOptions
) -> Float64[np.ndarray, " q"]:
    """What is kept first has the highest."""
    signed = np.abs(scores) if options.sign == "absolute" else scores
    return -signed if options.reverse else signed


def _best_elements(
    scores: Float64[np.ndarray, " P"],
    shapes: Mapping[str, tuple[int, ...]],
    options: MaskOptions,
) -> Bool[np.ndarray, " P"]:
    """The best elements, as many as the budget has, those of the quotas first.

    A layer or module with fewer elements than its part leaves the rest to all.
    """
    layers, modules, start = defaultdict(list), defaultdict(list), 0
    for name, shape in shapes.items():
        place = np.arange(start, start + math.prod(shape))
        start += len(place)
        if layer_of(name) is not None:
            layers[layer_of(name)].append(place)
        modules[quota_kind_of(name)].append(place)
    budget = mask_budget(len(scores), options)
    preference = _preference(scores, options)
    kept = np.zeros(len(scores), bool)
    quotas = (options.layer_quota, layers), (options.module_quota, modules)
    for quota, groups in quotas:
        each = _part(quota, budget) // max(1, len(groups))
        for places in groups.values():
            _keep_best(kept, preference, np.concatenate(places), each)
    left = budget - int(np.count_nonzero(kept))
    _keep_best(kept, preference, np.arange(len(kept)), left)
    return kept


def _keep_best(
    kept: Bool[np.ndarray, " P"],
    preference: Float64[np.ndarray, " P"],
    places: Int64[np.ndarray, " q"],
    count: int,
) -> None:
    """Keeps `count` more elements of these places, or all that are left there."""
    free = places[~kept[places]]
    if count == 0:
        return
    if count < len(free):
        values = preference[free]
        least = np.partition(values, len(free) - count)[len(free) - count]
        above, ties = free[values > least], free[values == least]
        free = np.append(above, ties[: count - len(above)])
    kept[free] = True


def _best_groups(
    scores: Float64[np.ndarray, " P"],
    shapes: Mapping[str, tuple[int, ...]],
    options: MaskOptions,
) -> Bool[np.ndarray, " P"]:
    """The best groups that fit, each with what the better ones have left."""
    if options.layer_quota or options.module_quota:
        kind = "layer" if options.layer_quota else "module"
        raise InputError(
            f"expected {setting('mask.granularity')} element, not "
            f"{options.granularity}.",
            field=f"mask.{kind}_quota",
        )
    ids = group_ids(shapes, options.granularity)
    sizes = np.bincount(ids)
    means = np.bincount(ids, weights=scores) / sizes
    left, smallest, kept = mask_budget(len(scores), options), sizes.min(), []
    for group in np.argsort(-_preference(means, options), kind="stable"):
        if left < smallest:
            break
        if sizes[group] <= left:
            left -= sizes[group]
            kept.append(group)
    return np.isin(ids, kept)


def _unflattened(
    flat: Shaped[np.ndarray, " P"], shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, np.ndarray]:
    """One vector for all arrays as arrays of these shapes, in their order."""
    ends = np.cumsum([math.prod(shape) for shape in shapes.values()])
    parts = np.split(flat, ends[:-1])
    return {
        name: part.reshape(shape)
        for (name, shape), part in zip(shapes.items(), parts, strict=True)
    }


def _part(share: float, total: int) -> int:
    """⌊share · total⌋ of the share as it is written: 0.29 of 100 is 29."""
    return int(Fraction(str(share)) * total)
