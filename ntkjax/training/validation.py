"""The loss on held-out examples, computed the same way every time."""

from collections.abc import Sequence

import numpy as np
from jax.sharding import Mesh

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import num_groups
from ntkjax.errors import setting
from ntkjax.models.language_model import LanguageModel
from ntkjax.notation import Theta
from ntkjax.passes.run_pass import collect, data_parallel
from ntkjax.training.programs import loss_sums_of
from ntkjax.training.rows import Layout, fill_rows, num_targets


_CURE = (
    f"; try a lower {setting('training.learning_rate')}, or {setting('dtype')} float32"
)


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
        layout = Layout(1, batch_size, num_groups(mesh))
        self._examples = sorted(examples, key=lambda example: len(example.tokens))
        self._batches = []
        for start in range(0, len(examples), batch_size):
            batch = self._examples[start : start + batch_size]
            rows = np.full(layout.num_rows, -1)
            rows[: len(batch)] = start + np.arange(len(batch))
            self._batches.append((rows, fill_rows(batch, layout, max_length)))

    def __call__(self, model: LanguageModel, theta: Theta) -> float:
        """The loss at θ. Model and θ are on the devices of the mesh.

        Raises:
            InputError: If the loss of an example is not finite.
        """
        program = data_parallel(loss_sums_of, self._mesh)
        started = (
            (rows, program((model, theta), (filled.tokens[0], filled.targets[0])))
            for rows, filled in self._batches
        )
        sums = collect(started, self._examples, what="validation loss", cure=_CURE)
        count = sum(num_targets(filled) for _, filled in self._batches)
        return float(sums.sum(dtype=np.float64)) / count


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
