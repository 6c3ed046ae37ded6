"""Teams: the processes that have the devices of one mesh, and run its programs.

Weights that fit the devices of one process make every process a team of its own. Where
more are needed, several processes hold a copy of the weights between them: they take
the same steps in the same order, and what each finds on its own disk or clock must not
decide them. `Team.agree` gives all of them the word of the first.
"""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int32

from ntkjax.devices.mesh import is_local


@dataclass(frozen=True)
class Team:
    """The processes of a mesh.

    Attributes:
        mesh: Of one or of several processes' devices.
    """

    mesh: Mesh

    @property
    def members(self) -> list[int]:
        """Numbers of its processes, ascending."""
        return sorted({device.process_index for device in self.mesh.devices.flat})

    @property
    def part(self) -> tuple[int, int]:
        """Which team this is, counted from 1, and of how many of its size."""
        size = len(self.members)
        return self.members[0] // size + 1, jax.process_count() // size

    @property
    def leads(self) -> bool:
        """Whether this process writes and decides for its team."""
        return jax.process_index() == self.members[0]

    def agree(self, values: Int32[np.ndarray, " n"]) -> Int32[np.ndarray, " n"]:
        """The values of the leading process, in every process of the team.

        All of them must call it, with as many values.
        """
        if is_local(self.mesh):
            return values
        devices = list(self.mesh.devices.flat)
        own = [d for d in devices if d.process_index == jax.process_index()]
        zero = np.zeros_like(values)
        pieces = [
            jax.device_put((values if d == devices[0] else zero)[None], d) for d in own
        ]
        stacked = jax.make_array_from_single_device_arrays(
            (len(devices), *values.shape),
            NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names)),
            pieces,
        )
        whole = NamedSharding(self.mesh, PartitionSpec())
        total = jax.jit(lambda rows: jnp.sum(rows, axis=0), out_shardings=whole)
        return np.asarray(total(stacked))

    def agrees(self, condition: bool) -> bool:
        """Whether the leading process finds it so."""
        return bool(self.agree(np.array([condition], np.int32))[0])
