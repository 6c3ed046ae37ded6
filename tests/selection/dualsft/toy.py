"""Gradients of a few examples in a few parameters, in float64 and without a model."""

from dataclasses import dataclass

import numpy as np

from ntkjax.selection.dualsft.rescoring import Sides
from ntkjax.selection.dualsft.surrogate import Surrogate
from ntkjax.selection.masks import mask_of
from ntkjax.selection.options import MaskOptions
from ntkjax.selection.ranking import ranking


def tree(vector):
    """[…, P] as a tree of two leaves, the second of them in two rows."""
    vector = np.asarray(vector)
    first = vector.shape[-1] // 2
    second = vector[..., first:]
    return {
        "a": vector[..., :first],
        "b": second.reshape(*second.shape[:-1], -1, 1),
    }


def vector(tree):
    return np.concatenate([np.ravel(tree["a"]), np.ravel(tree["b"])])


@dataclass(frozen=True)
class Toy:
    """G [N, P], v [P], c [P], κ."""

    gradients: np.ndarray
    validation: np.ndarray
    curvature: np.ndarray
    kappa: float

    @property
    def surrogate(self) -> Surrogate:
        return Surrogate(tree(self.validation), tree(self.curvature), self.kappa)

    @property
    def mean(self) -> np.ndarray:
        return self.gradients.mean(axis=0)

    def value(self, examples, parameters, second=True) -> float:
        """I2 (or I1) of a step on the mean of these examples."""
        mean = self.gradients[list(examples)].mean(axis=0)
        return self.value_of(mean, parameters, second)

    def value_of(self, mean, parameters, second=True) -> float:
        total = 0.0
        for j in parameters:
            total += self.validation[j] * mean[j]
            if second:
                total -= self.kappa * self.curvature[j] * mean[j] ** 2
        return total

    def sides(self, num_examples: int, options: MaskOptions) -> Sides:
        return Sides(
            self.surrogate,
            tree(self.mean),
            lambda direction, mask: self.gradients @ vector(direction),
            lambda scores: ranking(scores)[:num_examples],
            lambda chosen: tree(self.gradients[chosen].mean(axis=0)),
            lambda scores: mask_of(scores, options),
        )


def toy(num_examples=5, num_parameters=4, kappa=0.7, seed=0) -> Toy:
    rng = np.random.default_rng([29, seed])
    return Toy(
        rng.standard_normal((num_examples, num_parameters)),
        rng.standard_normal(num_parameters),
        rng.uniform(0.1, 2.0, num_parameters),
        kappa,
    )
