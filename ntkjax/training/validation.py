"""The loss on held-out examples, computed the same way every time."""

from collections.abc import Sequence

import jax
import numpy as np
from jax.sharding import Mesh

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import num_groups
from ntkjax.errors import InputError
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import Theta
from ntkjax.training.programs import loss_program
from ntkjax.training.rows import Layout, fill_rows, num_targets


class Validation:
    """Mean loss over all target tokens of some examples.

    Args:
        examples: Any number; they are put together by length.
        batch_size: Examples computed side by side.
        max_length: Longest padded length.
        mesh: Devices that share the examples.
    """

    def __init__(
        self,
        examples: Sequence[TokenizedExample],
        batch_size: int,
        max_length: int,
        mesh: Mesh,
    ):
        self._mesh = mesh
        self._layout = Layout(1, batch_size, num_groups(mesh))
        by_length = sorted(examples, key=lambda example: len(example.tokens))
        self._batches = [
            by_length[start : start + batch_size]
            for start in range(0, len(examples), batch_size)
        ]
        self._rows = [fill_rows(b, self._layout, max_length) for b in self._batches]

    def __call__(self, model: LanguageModel, theta: Theta) -> float:
        """The loss at θ. Model and θ are on the devices of the mesh.

        Raises:
            InputError: If the loss of an example is not finite.
        """
        program = loss_program(self._mesh)
        total = 0.0
        for batch, rows in zip(self._batches, self._rows, strict=True):
            sums = jax.device_get(program(model, theta, rows))
            bad = non_finite(sums, batch, self._layout)
            if bad:
                raise InputError(
                    f"the validation loss of {name_some(bad)} is NaN or infinite; try "
                    "a lower --training.learning-rate, or --dtype float32."
                )
            total += float(sums.astype(np.float64).sum())
        return total / sum(num_targets(rows) for rows in self._rows)


def non_finite(
    sums: np.ndarray, examples: Sequence[TokenizedExample], layout: Layout
) -> list[TokenizedExample]:
    """The examples whose loss is NaN or infinite."""
    return [
        example
        for index, example in enumerate(examples)
        if not np.isfinite(sums[layout.place(index)])
    ]


def name_some(examples: Sequence[TokenizedExample]) -> str:
    """The first few ids in words."""
    shown = ", ".join(repr(example.id) for example in examples[:4])
    more = f" and {len(examples) - 4} more" * (len(examples) > 4)
    return f"example{'s' * (len(examples) > 1)} {shown}{more}"
