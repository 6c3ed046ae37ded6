"""Functions compiled for a mesh.

The axis `data` is cut by hand: the function sees the rows of one data group. The axis
`model` is the compiler's: the function sees whole arrays, and how the weights lie
decides which device computes what.
"""

from collections.abc import Callable
from dataclasses import dataclass

import jax
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from ntkjax.devices.mesh import DATA_AXIS, is_local, place


WHOLE = PartitionSpec()
"""Not cut over the data groups."""

ROWS = PartitionSpec(DATA_AXIS)
"""The first axis is cut over the data groups."""

SECOND = PartitionSpec(None, DATA_AXIS)
"""The second axis is cut over the data groups."""


def over_groups(
    function: Callable, mesh: Mesh, in_specs: tuple[PartitionSpec, ...], out_specs
) -> Callable:
    """The function on the rows of each data group, for use in a compiled one.

    Args:
        function: Of positional arguments, which may be pytrees.
        mesh: The devices.
        in_specs: How each argument is cut over the data groups.
        out_specs: The same for what it returns: one, or a tuple like the result.
    """
    return jax.shard_map(
        function,
        mesh=mesh,
        in_specs=in_specs,
        out_specs=out_specs,
        axis_names={DATA_AXIS},
        check_vma=False,
    )


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled function, its arguments placed on the mesh where they are not yet.

    Every process that has devices of the mesh must call it, with the same arguments,
    and can read all of what it returns.

    Attributes:
        jitted: The function, for arguments that are on the mesh.
        mesh: The devices.
        in_specs: How each argument is cut.
    """

    jitted: Callable
    mesh: Mesh
    in_specs: tuple[PartitionSpec, ...]

    def __call__(self, *arguments):
        pairs = zip(arguments, self.in_specs, strict=True)
        return self.jitted(*(place(part, self.mesh, spec) for part, spec in pairs))


def compiled(
    function: Callable, mesh: Mesh, in_specs: tuple[PartitionSpec, ...], out_specs
) -> Program:
    """The program of a function.

    Args:
        function: Of whole arrays, as positional arguments.
        mesh: The devices.
        in_specs: How each argument is cut.
        out_specs: The same for what it returns: one, or a tuple like the result.
    """
    jitted = jax.jit(
        function,
        out_shardings=jax.tree.map(
            lambda spec: NamedSharding(mesh, spec),
            out_specs if is_local(mesh) else WHOLE,
            is_leaf=lambda spec: isinstance(spec, PartitionSpec),
        ),
    )

    return Program(jitted, mesh, in_specs)


def on_mesh(
    function: Callable, mesh: Mesh, in_specs: tuple[PartitionSpec, ...], out_specs
) -> Program:
    """`over_groups`, compiled."""
    parallel = over_groups(function, mesh, in_specs, out_specs)
    return compiled(parallel, mesh, in_specs, out_specs)
