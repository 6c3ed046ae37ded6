"""What a step on some examples, in some parameters, is worth to the validation loss.

A step of size η on the mean loss of examples S that moves the parameters of a mask m
only, θ' = θ − η m⊙Ḡ_S, lowers the validation loss, to second order and with a diagonal
curvature c, by

    η I2,   I2 = I1 − κ Σ_j m_j c_j Ḡ_Sj²,   I1 = ⟨m⊙v, Ḡ_S⟩,   κ = η / 2

for the validation gradient v and the *mean* gradient Ḡ_S. For all examples and all
parameters I2 = ⟨û, Ḡ⟩ with the response û = v − κ c⊙Ḡ, and the matrix û_j g_nj shares
it out: its column means φP_j = û_j Ḡ_j over parameters, its row sums φD_n = ⟨û, g_n⟩
over examples (Σ_j φP_j = mean_n φD_n = I2). These are the Shapley values of I2.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import numpy as np

from ntkjax.checkpoints.mask import Mask
from ntkjax.math.trees import dot
from ntkjax.passes.gradient_sums import HostTree


@dataclass(frozen=True, eq=False)
class Surrogate:
    """The validation loss near θ, as far as gradients of examples see it.

    Attributes:
        gradient: v, like θ, in float64.
        curvature: c, like θ; None stands for 0.
        kappa: κ.
    """

    gradient: HostTree
    curvature: HostTree | None = None
    kappa: float = 0.0

    def response(self, mean_gradient: HostTree) -> HostTree:
        """û = v − κ c⊙Ḡ, where Ḡ is the mean gradient of the examples."""
        second = self.second_order(mean_gradient)
        if second is None:
            return self.gradient
        return jax.tree.map(np.subtract, self.gradient, second)

    def second_order(self, mean_gradient: HostTree) -> HostTree | None:
        """κ c⊙Ḡ; None where it is zero by choice."""
        if self.curvature is None or self.kappa == 0:
            return None
        each = lambda c, mean: self.kappa * c * mean
        return jax.tree.map(each, self.curvature, mean_gradient)

    def column_scores(self, mean_gradient: HostTree) -> HostTree:
        """φP = û⊙Ḡ: what each parameter adds to I2 when all move.

        For given examples the best mask of k parameters is that of the k highest.
        """
        response = self.response(mean_gradient)
        return jax.tree.map(np.multiply, response, mean_gradient)

    def gains(
        self, mean_gradient: HostTree, mask: Mask | None = None
    ) -> tuple[float, float]:
        """I1 and I2 of examples with this mean gradient; without a mask all move."""
        moved = masked(mean_gradient, mask)
        first = dot(self.gradient, moved)
        second = self.second_order(moved)
        return first, first if second is None else first - dot(second, moved)


def predicted_change(
    gradient: HostTree,
    curvature: HostTree | None,
    mean_gradient: HostTree,
    mask: Mask | None,
    step: float,
) -> float:
    """By how much a step of size η changes the validation loss: −η I2 at κ = η/2.

    Exact where the loss is quadratic with Hessian diag(c).

    Args:
        gradient: v.
        curvature: c; None for first order.
        mean_gradient: Ḡ_S of the examples in the step.
        mask: What moves; None for everything.
        step: η.
    """
    surrogate = Surrogate(gradient, curvature, step / 2)
    return -step * surrogate.gains(mean_gradient, mask)[1]


def masked(tree: Mapping[str, np.ndarray], mask: Mask | None) -> dict[str, np.ndarray]:
    """The tree with zeros where the mask is False."""
    if mask is None:
        return dict(tree)
    return {name: np.where(mask[name], leaf, 0) for name, leaf in tree.items()}
