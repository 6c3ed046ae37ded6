"""How the weights of a decoder are cut over the axis `model` of a mesh."""

from collections.abc import Mapping

from jax.sharding import Mesh, PartitionSpec

from ntkjax.devices.mesh import MODEL_AXIS
from ntkjax.devices.sharding import RULES, partition
from ntkjax.errors import InputError
from ntkjax.models.config import DecoderConfig


_ROWS = {
    "embed_tokens": "vocab",
    "lm_head": "vocab",
    "q_proj": "heads",
    "k_proj": "kv_heads",
    "v_proj": "kv_heads",
    "gate_proj": "feed_forward",
    "up_proj": "feed_forward",
    "q_norm": "head_dim",
    "k_norm": "head_dim",
}
"""Logical name of a module's output axis, where it is not `embed`."""

_COLUMNS = {"o_proj": "heads", "down_proj": "feed_forward"}
"""The same for the input axis."""


def logical_axes(name: str, num_axes: int) -> tuple[str, ...]:
    """The logical name of each axis of a weight or bias.

    Args:
        name: Hugging Face name, such as `model.layers.0.mlp.up_proj.weight`, or that
            of a stack, `model.layers.*.mlp.up_proj.weight`.
        num_axes: 2 for a matrix [out, in], 1 for a bias or the weight of a norm; one
            more for a stack of layers.
    """
    if "*" in name:
        return "layers", *logical_axes(name.replace("*", "0"), num_axes - 1)
    module = name.split(".")[-2]
    axes = (_ROWS.get(module, "embed"), _COLUMNS.get(module, "embed"))
    return axes[:num_axes]


def weight_partitions(
    config: DecoderConfig,
    shapes: Mapping[str, tuple[int, ...]],
    mesh: Mesh,
    rules: Mapping[str, str | None] = RULES,
) -> dict[str, PartitionSpec]:
    """How each weight is cut.

    Args:
        config: The architecture.
        shapes: Shapes by name.
        mesh: The devices.
        rules: Axis of the mesh by logical axis.

    Raises:
        InputError: If attention would be cut inside a head, or as `partition`.
    """
    for axis, heads in (("heads", config.num_heads), ("kv_heads", config.num_kv_heads)):
        over = rules[axis]
        if over is not None and heads % mesh.shape[over]:
            raise InputError(
                f"the model has {heads} {axis.replace('kv_', 'key/value ')}, which "
                f"{over}={mesh.shape[over]} does not divide; choose another number.",
                field="mesh",
            )
    return {
        name: partition(name, shape, logical_axes(name, len(shape)), mesh, rules)
        for name, shape in shapes.items()
    }


def possible_cuts(config: DecoderConfig, most: int) -> list[int]:
    """Numbers of devices up to `most` that can share the weights, ascending."""
    sizes = (
        config.num_heads,
        config.num_kv_heads,
        config.intermediate_size,
        config.vocab_size,
    )
    return [n for n in range(1, most + 1) if not any(size % n for size in sizes)]


def weight_bytes_per_device(
    shapes: Mapping[str, tuple[int, ...]], itemsize: int, model: int
) -> int:
    """Bytes of weights on each of `model` devices that share them by `RULES`."""
    total = 0
    for name, shape in shapes.items():
        size = itemsize
        for length in shape:
            size *= length
        axes = logical_axes(name, len(shape))
        is_cut = any(RULES[axis] == MODEL_AXIS for axis in axes)
        total += size // model if is_cut else size
    return total
