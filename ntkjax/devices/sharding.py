"""From the logical axes of an array to the axes of the mesh.

Models name the axes of their weights; a rule says over which axis of the mesh an axis
of that name is cut. The rules of `RULES` are those of arXiv 1909.08053: the two
matrices of a feed-forward layer are cut along its inner axis, those of attention along
the heads, so that a layer needs two sums over the devices.
"""

from collections.abc import Mapping

from jax.sharding import Mesh, PartitionSpec

from ntkjax.devices.mesh import MODEL_AXIS
from ntkjax.errors import InputError


RULES: Mapping[str, str | None] = {
    "vocab": MODEL_AXIS,
    "heads": MODEL_AXIS,
    "kv_heads": MODEL_AXIS,
    "feed_forward": MODEL_AXIS,
    "embed": None,
    "head_dim": None,
    "layers": None,
}
"""Axis of the mesh by logical axis; None for one that is not cut."""


def partition(
    name: str,
    shape: tuple[int, ...],
    axes: tuple[str, ...],
    mesh: Mesh,
    rules: Mapping[str, str | None] = RULES,
) -> PartitionSpec:
    """How an array is cut.

    Args:
        name: Of the array, for messages.
        shape: Of the array.
        axes: The logical name of each axis.
        mesh: The devices.
        rules: Axis of the mesh by logical axis.

    Raises:
        InputError: If two axes would be cut over the same axis of the mesh, or one does
            not divide.
        KeyError: If a logical axis has no rule.
    """
    cut = tuple(rules[axis] for axis in axes)
    used = [axis for axis in cut if axis is not None]
    if len(set(used)) < len(used):
        raise InputError(
            f"{name} {shape}: the rules would cut two of its axes {axes} over the same "
            f"axis of the mesh, {max(used, key=used.count)}."
        )
    for axis, size, over in zip(axes, shape, cut, strict=True):
        if over is not None and size % mesh.shape[over]:
            raise InputError(
                f"{name} {shape} has {size} along {axis}, which "
                f"{over}={mesh.shape[over]} does not divide; choose another number.",
                field="mesh",
            )
    return PartitionSpec(*cut)
