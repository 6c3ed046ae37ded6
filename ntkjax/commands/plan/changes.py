"""The smallest change of a selection that makes it fit, found by planning it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ntkjax.commands.plan.costs.hardware import Hardware
from ntkjax.commands.plan.mesh import possible_meshes
from ntkjax.commands.plan.plan import Plan, make_plan
from ntkjax.commands.plan.selection import Selection
from ntkjax.devices.side_by_side import tokens_at_once


_MOST_CHIPS = 16_384


@dataclass(frozen=True)
class Change:
    """A change, and the plan with it.

    Attributes:
        flags: What to give, as on the command line.
        plan: The plan, which fits.
    """

    flags: str
    plan: Plan


def smallest_change(selection: Selection, hardware: Hardware) -> Change | None:
    """The first change that fits, None if none does.

    In this order: another mesh, bfloat16, a smaller batch, bfloat16 and a smaller
    batch, then twice the chips and more with all of these; each on the mesh that
    `select` takes by itself and then on others, with the fewest devices to a copy of
    the weights first.
    """
    for flags, changed, chips in _candidates(selection, hardware):
        for mesh, placed in _on_meshes(changed, chips):
            plan = make_plan(placed, chips)
            if plan.fits:
                return Change(f"{flags} {mesh}".strip(), plan)
    return None


def _on_meshes(
    selection: Selection, hardware: Hardware
) -> Iterator[tuple[str, Selection]]:
    if selection.settings.devices.mesh == "auto":
        yield "", selection
    for shape in possible_meshes(selection, hardware):
        devices = replace(selection.settings.devices, mesh=str(shape))
        yield f"--mesh {shape}", _with(selection, devices=devices)


def _candidates(
    selection: Selection, hardware: Hardware
) -> Iterator[tuple[str, Selection, Hardware]]:
    yield "", selection, hardware
    half = _in_bfloat16(selection)
    if half is not None:
        yield "--dtype bfloat16", half, hardware
    for start, flag in ((selection, ""), (half, "--dtype bfloat16 ")):
        if start is not None:
            for flags, smaller in _smaller_batches(start, hardware):
                yield flag + flags, smaller, hardware
    least = half or selection
    dtype = " --dtype bfloat16" if half is not None else ""
    *_, (flags, smallest) = [("", least), *_smaller_batches(least, hardware)]
    number = 2 * hardware.num_chips
    while number <= _MOST_CHIPS and hardware.chip.name != "cpu":
        more = hardware.resized(number)
        yield f"--hardware {more.name}", selection, more
        yield f"--hardware {more.name}{dtype}", least, more
        yield f"--hardware {more.name}{dtype} {flags}".rstrip(), smallest, more
        number *= 2


def _in_bfloat16(selection: Selection) -> Selection | None:
    """The same in bfloat16; None if it has 16 bits already."""
    if selection.cost.bytes_each == 2:
        return None
    cost = replace(selection.cost, dtype="bfloat16")
    return replace(_with(selection, dtype="bfloat16"), cost=cost)


def _smaller_batches(
    selection: Selection, hardware: Hardware
) -> Iterator[tuple[str, Selection]]:
    """Half the batch of candidates and of the warm-up's backward pass, and so on."""
    training = selection.settings.training
    micro = training.micro_batch or training.batch_size
    least = selection.workload.pool.longest  # one example
    tokens = selection.settings.tokens_per_batch or tokens_at_once(hardware.platform)
    while tokens > least or (micro > 1 and micro % 2 == 0):
        tokens = max(least, tokens // 2)
        micro = micro // 2 if micro % 2 == 0 else micro
        smaller = replace(training, micro_batch=micro)
        flags = f"--tokens-per-batch {tokens}"
        if selection.warmup_seen:
            flags += f" --training.micro-batch {micro}"
        yield flags, _with(selection, tokens_per_batch=tokens, training=smaller)


def _with(selection: Selection, **changes) -> Selection:
    return replace(selection, settings=replace(selection.settings, **changes))
