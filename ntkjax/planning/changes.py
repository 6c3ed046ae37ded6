"""The smallest change of a selection that makes it fit, found by planning it."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ntkjax.planning.hardware import Hardware
from ntkjax.planning.mesh import possible_models
from ntkjax.planning.plan import Plan, make_plan
from ntkjax.planning.selection import Selection


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

    In this order: more devices for each copy of the weights, bfloat16, a smaller batch,
    bfloat16 and a smaller batch, then twice the chips and more with all of these.
    """
    for flags, changed, chips in _candidates(selection, hardware):
        plan = make_plan(changed, chips)
        if plan.fits:
            mesh = ""
            if selection.settings.devices.mesh != "auto" and "--mesh" not in flags:
                mesh = f" --mesh data={plan.data},model={plan.model}"
            return Change(flags + mesh, plan)
    return None


def _candidates(
    selection: Selection, hardware: Hardware
) -> Iterator[tuple[str, Selection, Hardware]]:
    for model in possible_models(selection.cost, hardware):
        mesh = f"data={hardware.num_chips // model},model={model}"
        yield f"--mesh {mesh}", _on_mesh(selection, mesh), hardware
    free = _on_mesh(selection, "auto")
    half = _in_bfloat16(free)
    if half is not None:
        yield "--dtype bfloat16", half, hardware
    for start, flag in ((free, ""), (half, "--dtype bfloat16 ")):
        if start is not None:
            for flags, smaller in _smaller_batches(start):
                yield flag + flags, smaller, hardware
    least = half or free
    dtype = " --dtype bfloat16" if half is not None else ""
    *_, (flags, smallest) = [("", least), *_smaller_batches(least)]
    number = 2 * hardware.num_chips
    while number <= _MOST_CHIPS and hardware.chip.name != "cpu":
        more = hardware.resized(number)
        yield f"--hardware {more.name}", free, more
        yield f"--hardware {more.name}{dtype}", least, more
        yield f"--hardware {more.name}{dtype} {flags}".rstrip(), smallest, more
        number *= 2


def _in_bfloat16(selection: Selection) -> Selection | None:
    """The same in bfloat16; None if it has 16 bits already."""
    if selection.cost.bytes_each == 2:
        return None
    cost = replace(selection.cost, dtype="bfloat16")
    return replace(_with(selection, dtype="bfloat16"), cost=cost)


def _smaller_batches(selection: Selection) -> Iterator[tuple[str, Selection]]:
    """Half the batch of candidates and of the warm-up's backward pass, and so on."""
    training = selection.settings.training
    batch, micro = selection.settings.batch_size, training.batch_size
    micro = training.micro_batch or micro
    while batch > 1 or (micro > 1 and micro % 2 == 0):
        batch = max(1, batch // 2)
        micro = micro // 2 if micro % 2 == 0 else micro
        smaller = replace(training, micro_batch=micro)
        flags = f"--batch-size {batch}"
        if selection.warmup_seen:
            flags += f" --training.micro-batch {micro}"
        yield flags, _with(selection, batch_size=batch, training=smaller)


def _on_mesh(selection: Selection, mesh: str) -> Selection:
    return _with(selection, devices=replace(selection.settings.devices, mesh=mesh))


def _with(selection: Selection, **changes) -> Selection:
    return replace(selection, settings=replace(selection.settings, **changes))
