"""Which examples each step sees: a pure function of the seed and the step.

Without mixing weights all examples are one list, which is walked epoch after epoch,
each in an order of its own. With weights, the source of every place in a step is drawn,
and each source is walked in its own shuffled order, over and over.
"""

import functools
import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Int64

from ntkjax.errors import InputError


_SHUFFLES, _DRAWS = 0, 1  # first words of the seeds


class DataOrder:
    """An endless order of examples, cut into steps.

    Examples are numbered through all sources, in the order of the sources.

    Args:
        sizes: Number of examples of each source.
        batch_size: Examples per step.
        seed: Decides the order.
        mix: Weights of the sources, not necessarily of sum 1. Default: every example
            once per epoch.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        batch_size: int,
        seed: int,
        mix: tuple[float, ...] | None = None,
    ):
        check_mix(mix, sizes)
        self._sizes = [sum(sizes)] if mix is None else list(sizes)
        self._starts = np.cumsum([0, *self._sizes[:-1]])
        self._batch_size = batch_size
        self._seed = seed
        self._shares = [1.0] if mix is None else np.array(mix) / sum(mix)
        # How often each source was drawn before step k.
        self._drawn_before = [np.zeros(len(self._sizes), np.int64)]

    def step(self, step: int) -> Int64[np.ndarray, " batch_size"]:
        """Numbers of the examples of one step, counted from 0.

        Cost: O(1) without weights; with weights the draws of earlier steps are made
        once.
        """
        while len(self._drawn_before) <= step:
            drawn = self._sources(len(self._drawn_before) - 1)
            counts = np.bincount(drawn, minlength=len(self._sizes))
            self._drawn_before.append(self._drawn_before[-1] + counts)
        sources = self._sources(step)
        chosen = np.empty(self._batch_size, np.int64)
        for source, before in enumerate(self._drawn_before[step]):
            places = np.flatnonzero(sources == source)
            walked = before + np.arange(len(places))
            chosen[places] = self._starts[source] + self._walk(source, walked)
        return chosen

    def _sources(self, step: int) -> Int64[np.ndarray, " batch_size"]:
        """The source of each place in a step."""
        if len(self._sizes) == 1:
            return np.zeros(self._batch_size, np.int64)
        rng = np.random.default_rng([self._seed, _DRAWS, step])
        return rng.choice(len(self._sizes), self._batch_size, p=self._shares)

    def _walk(
        self, source: int, numbers: Int64[np.ndarray, " n"]
    ) -> Int64[np.ndarray, " n"]:
        """The examples that a walk through one source meets at these numbers."""
        size = self._sizes[source]
        places = [divmod(number, size) for number in numbers.tolist()]
        met = [_shuffled(size, self._seed, source, e)[place] for e, place in places]
        return np.array(met, np.int64)


def check_mix(mix: tuple[float, ...] | None, sizes: Sequence[int]) -> None:
    """Raises `InputError` where there is no data, or weights do not fit it."""
    if not sum(sizes):
        raise InputError("no examples to train on.", field="data")
    if mix is None:
        return

    def require(right: bool, message: str) -> None:
        if not right:
            raise InputError(message, field="mix", value=" ".join(map(str, mix)))

    number = len(sizes)
    require(
        len(mix) == number, f"expected one weight for each of the {number} data files."
    )
    fit = all(0 <= weight < math.inf for weight in mix) and sum(mix) > 0
    require(fit, "expected weights of at least 0, not all of them 0.")
    for source, (weight, size) in enumerate(zip(mix, sizes, strict=True), start=1):
        message = f"data file {source} has a weight, but no example to train on."
        require(size > 0 or not weight, message)


@functools.lru_cache(maxsize=64)
def _shuffled(
    size: int, seed: int, source: int, epoch: int
) -> Int64[np.ndarray, " size"]:
    return np.random.default_rng([seed, _SHUFFLES, source, epoch]).permutation(size)
