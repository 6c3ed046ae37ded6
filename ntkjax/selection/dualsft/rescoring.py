"""Examples and parameters chosen together: once, one after the other, or in turns.

Examples S are chosen by rows φD_n = ⟨m⊙û, g_n⟩, where û belongs to all candidates;
parameters m by columns φP = û_S⊙Ḡ_S, where û_S = v − κ c⊙Ḡ_S belongs to the examples
that are chosen, or by those of all candidates before any are.

To first order (κ = 0) I1 is bilinear in S and m. With the highest rows chosen, a fixed
number of them, and the highest signed columns, each half turn is the best answer to the
other side: I1 never falls, and turns end at a fixed point.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from ntkjax.checkpoints.mask import Mask
from ntkjax.passes.gradient_sums import HostTree
from ntkjax.selection.dualsft.surrogate import Surrogate, masked


@dataclass(frozen=True, eq=False)
class Data:
    """Examples that are chosen.

    Attributes:
        direction: m⊙û, along which rows were scored.
        scores: Row scores of all candidates.
        chosen: Positions.
        gradient_of: Positions to their mean gradient.
    """

    direction: HostTree
    scores: Float64[np.ndarray, " k"]
    chosen: Int64[np.ndarray, " b"]
    gradient_of: Callable[[Int64[np.ndarray, " b"]], HostTree]

    @functools.cached_property
    def mean_gradient(self) -> HostTree:
        """Ḡ_S of the chosen. Cost: F + B for each, when it is first asked for."""
        return self.gradient_of(self.chosen)


@dataclass(frozen=True, eq=False)
class Parameters:
    """Parameters that are chosen.

    Attributes:
        scores: Column scores.
        mask: What is kept; None for everything.
    """

    scores: HostTree
    mask: Mask | None


Choice = tuple[Data, Parameters]


@dataclass(frozen=True, eq=False)
class Sides:
    """What choosing either side takes.

    Attributes:
        surrogate: v, c and κ.
        mean_gradient: Ḡ of all candidates.
        rows: Direction and mask to ⟨direction, g_n⟩ of all candidates, [k]; the
            direction is zero outside the mask already.
        pick: Row scores to positions.
        gradient_of: Positions to their mean gradient.
        cut: Column scores to a mask; None keeps everything.
    """

    surrogate: Surrogate
    mean_gradient: HostTree
    rows: Callable[[HostTree, Mask | None], Float64[np.ndarray, " k"]]
    pick: Callable[[Float64[np.ndarray, " k"]], Int64[np.ndarray, " b"]]
    gradient_of: Callable[[Int64[np.ndarray, " b"]], HostTree]
    cut: Callable[[HostTree], Mask | None]

    def data(self, mask: Mask | None) -> Data:
        """The examples for a mask. Cost: 2 F for each candidate."""
        direction = masked(self.surrogate.response(self.mean_gradient), mask)
        scores = self.rows(direction, mask)
        return Data(direction, scores, self.pick(scores), self.gradient_of)

    def parameters(self, mean_gradient: HostTree) -> Parameters:
        """The parameters for examples with this mean gradient. Cost: none."""
        scores = {  # in the precision of files, from which masks are cut again
            name: leaf.astype(np.float32).astype(np.float64)
            for name, leaf in self.surrogate.column_scores(mean_gradient).items()
        }
        return Parameters(scores, self.cut(scores))


def one_shot(sides: Sides) -> Choice:
    """Either side for the whole of the other."""
    return sides.data(None), sides.parameters(sides.mean_gradient)


def data_first(sides: Sides) -> Choice:
    """Examples for all parameters, then the parameters for these examples."""
    data = sides.data(None)
    return data, sides.parameters(data.mean_gradient)


def parameters_first(sides: Sides) -> Choice:
    """Parameters for all candidates, then the examples for these parameters."""
    parameters = sides.parameters(sides.mean_gradient)
    return sides.data(parameters.mask), parameters


ORDERS: dict[str, Callable[[Sides], Choice]] = {
    "one-shot": one_shot,
    "data-first": data_first,
    "parameters-first": parameters_first,
}


def alternate(
    sides: Sides, order: str, rounds: int
) -> tuple[Choice, list[dict[str, Any]]]:
    """The choice of an order, and then both sides in turn until nothing changes.

    A round chooses the parameters for the examples and then the examples for the
    parameters; after data-first, whose parameters are already those for its examples,
    the other way round.

    Args:
        sides: What choosing takes.
        order: A key of `ORDERS`.
        rounds: At most so many.

    Returns:
        The last choice, and a record of the start (round 0) and of each round: I1, I2,
        and the Jaccard indices of both sides with the round before. Of one-shot without
        rounds there is none: it needs no Ḡ_S, so that any budget is cut from the same
        scores without a look at the examples.
    """
    data, parameters = ORDERS[order](sides)
    if order == "one-shot" and not rounds:
        return (data, parameters), []
    records = [_record(sides, data, parameters)]
    for _ in range(rounds):
        before = data, parameters
        if order == "data-first":
            data = sides.data(parameters.mask)
        parameters = sides.parameters(data.mean_gradient)
        if order != "data-first":
            data = sides.data(parameters.mask)
        records.append(_record(sides, data, parameters, len(records), before))
        last = records[-1]
        if last["jaccard_data"] == last["jaccard_parameters"] == 1:
            break
    return (data, parameters), records


def jaccard(a: np.ndarray, b: np.ndarray) -> float:
    """|A ∩ B| / |A ∪ B| of two sets of numbers; 1 for two empty ones.

    >>> jaccard(np.array([1, 2]), np.array([2, 3, 4]))
    0.25
    """
    union = len(np.union1d(a, b))
    return len(np.intersect1d(a, b)) / union if union else 1.0


def _record(
    sides: Sides,
    data: Data,
    parameters: Parameters,
    number: int = 0,
    before: Choice | None = None,
) -> dict[str, Any]:
    first, second = sides.surrogate.gains(data.mean_gradient, parameters.mask)
    record = {"round": number, "I1": first, "I2": second}
    if before is None:
        return record | {"jaccard_data": None, "jaccard_parameters": None}
    return record | {
        "jaccard_data": jaccard(data.chosen, before[0].chosen),
        "jaccard_parameters": _mask_jaccard(parameters.mask, before[1].mask),
    }


def _mask_jaccard(a: Mask | None, b: Mask | None) -> float:
    if a is None or b is None:
        return float(a is b)
    both = sum(int(np.sum(a[name] & b[name])) for name in a)
    either = sum(int(np.sum(a[name] | b[name])) for name in a)
    return both / either if either else 1.0
