"""Accelerators by name: how fast they multiply, how much they hold, who says so.

`NAME-N` and `NAMExN` are N chips. For TPU v5p the number counts TensorCores, as Google
names its slices: v5p-128 is 64 chips.

Peak rates are roofs. The efficiency is the share of the peak that a published run of a
large model reached on this kind of chip; 1.0 means that none was found, and that times
are lower bounds.
"""

import os
import re
from dataclasses import dataclass, replace

from ntkjax.errors import InputError


@dataclass(frozen=True)
class Chip:
    """One kind of device. Rates are per second; bytes and FLOPs are plain numbers.

    Attributes:
        name: Such as `v5e`.
        half_flops: Products of 16-bit matrices.
        single_flops: Products of float32 matrices at full float32 precision.
        memory: Bytes of device memory.
        memory_rate: Bytes between memory and arithmetic.
        link_rate: Bytes sent to other chips, in one direction, over all links.
        per_host: Chips that one process drives.
        usable: Share of the memory that JAX gives to arrays.
        efficiency: Share of the roof that is assumed to be reached.
        efficiency_source: Where that share is from.
        sources: Pages with the figures.
        cores: What N counts for each chip in a name `NAME-N`.
        is_measured: Whether the rates were measured where the plan is made.
    """

    name: str
    half_flops: float
    single_flops: float
    memory: float
    memory_rate: float
    link_rate: float
    per_host: int
    usable: float = 0.9
    efficiency: float = 1.0
    efficiency_source: str = "no published share: the roof itself, a lower bound"
    sources: tuple[str, ...] = ()
    cores: int = 1
    is_measured: bool = False

    def flops(self, dtype: str) -> float:
        """The rate of matrix products in this type of weights.

        16-bit types other than bfloat16 have no rate of their own on TPUs: there
        float16 is multiplied as float32.
        """
        is_tpu = self.name.startswith("v")
        if dtype == "bfloat16" or (dtype == "float16" and not is_tpu):
            return self.half_flops
        return self.single_flops


@dataclass(frozen=True)
class Hardware:
    """Chips of one kind.

    Attributes:
        name: As the user wrote it.
        chip: Their kind.
        num_chips: How many.
    """

    name: str
    chip: Chip
    num_chips: int

    @property
    def num_hosts(self) -> int:
        """Processes."""
        return -(-self.num_chips // self.chip.per_host)

    @property
    def platform(self) -> str:
        """JAX's name of the kind: cpu, gpu or tpu."""
        name = self.chip.name
        return name if name == "cpu" else "tpu" if name.startswith("v") else "gpu"

    @property
    def chips_each(self) -> int:
        """Chips of each process."""
        return min(self.chip.per_host, self.num_chips)

    @property
    def usable_memory(self) -> float:
        """Bytes of each chip that are planned with."""
        return self.chip.usable * self.chip.memory

    def memory_for(self, given: float | None) -> float | None:
        """Bytes of each chip that an automatic mesh goes by; None on CPUs.

        Args:
            given: GiB of a device, where the user says them.
        """
        if given is not None:
            return given * 2**30
        return None if self.chip.name == "cpu" else self.usable_memory

    def resized(self, num_chips: int) -> "Hardware":
        """More or fewer chips of this kind, under their own name."""
        chip = self.chip
        joint = "x" if "x" in self.name else "-"
        name = f"{chip.name}{joint}{num_chips * chip.cores}"
        return replace(self, name=name, num_chips=num_chips)


_PASSES = 6
"""Passes in bfloat16 for a product in float32 on TPUs (`jax.lax.Precision.HIGHEST`)."""

_PREALLOCATED = 0.75
"""JAX's share of a GPU, unless XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise. On TPUs
0.9 is an assumption: the runtime needs some."""

_MAXTEXT = "https://github.com/AI-Hypercomputer/maxtext"
_HOPPER = "https://glennklockwood.com/garden/processors/h100"


def _tpu(name: str, flops: float, *figures, **more) -> Chip:
    return Chip(name, flops, flops / _PASSES, *figures, **more)


CHIPS = {
    chip.name: chip
    for chip in (
        _tpu(
            "v5e",
            *(197e12, 16e9, 819e9, 200e9, 4),
            efficiency=0.61,
            efficiency_source=f"16B model on v5e-256, {_MAXTEXT} (configs/v5e)",
            sources=("https://docs.cloud.google.com/tpu/docs/v5e",),
        ),
        _tpu(
            "v5p",
            *(459e12, float(95 * 2**30), 2765e9, 600e9, 4),
            efficiency=0.71,
            efficiency_source=f"32B model on v5p-128, {_MAXTEXT} (configs/README)",
            sources=("https://cloud.google.com/tpu/docs/v5p-training",),
            cores=2,
        ),
        _tpu(
            "v6e",
            *(918e12, 32e9, 1640e9, 448e9, 4),
            sources=("https://cloud.google.com/tpu/docs/v6e",),
        ),
        Chip(
            "h100",
            *(989.4e12, 66.9e12, 80e9, 3350e9, 450e9, 1, _PREALLOCATED),
            sources=(
                _HOPPER,
                "https://archive-lib.hpctech.co.jp/gpuproduct/nvidia-h100.html",
            ),
        ),
        Chip(
            "h200",
            *(989.4e12, 66.9e12, 141e9, 4800e9, 450e9, 1, _PREALLOCATED),
            sources=(
                _HOPPER,
                "https://github.com/mlcommons/inference_results_v4.1 "
                "(closed/NVIDIA/systems/H200-SXM-141GBx8_TRT_MaxQ.json)",
                "https://www.aiminingco.com/gpu/h200/specs",
            ),
        ),
    )
}
"""Link rates are in one direction: half of what the pages call bidirectional. A process
drives the chips of a TPU host (of the multi-host machine types), or one GPU, as the
recipes in `examples/launch` start them."""


def named_hardware(name: str) -> Hardware:
    """The hardware of this name.

    Raises:
        InputError: If there is none.
    """
    if name == "cpu":
        return _this_cpu()
    parsed = re.fullmatch(r"([a-z][a-z0-9]*?)[-x]([1-9][0-9]{0,5})", name)
    chip = CHIPS.get(parsed[1]) if parsed else None
    if parsed is None or chip is None:
        known = ", ".join(["cpu", *(f"{each}-N" for each in CHIPS)])
        raise InputError(
            f"expected one of {known}, with N chips (v5p-N: N TensorCores, two for "
            "each chip).",
            field="hardware",
            value=name,
        )
    number = int(parsed[2])
    if number % chip.cores:
        raise InputError(
            f"the number counts TensorCores, {chip.cores} for each chip; expected an "
            "even one.",
            field="hardware",
            value=name,
        )
    return Hardware(name, chip, number // chip.cores)


def _this_cpu() -> Hardware:
    """The CPU of this machine, its rates measured for a moment."""
    import jax

    from ntkjax.commands.plan.costs.probe import copy_rate, product_rate

    devices = jax.local_devices(backend="cpu")
    count = len(devices)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    flops = product_rate(devices)
    chip = Chip(
        "cpu",
        *(flops, flops, memory / count, copy_rate(devices), copy_rate(devices), count),
        efficiency_source="a matrix product measured on this machine, for a moment",
        is_measured=True,
    )
    return Hardware("cpu", chip, count)
