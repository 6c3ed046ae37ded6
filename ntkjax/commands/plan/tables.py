"""A plan as tables of plain text: headers and rows, for terminals and pages."""

from dataclasses import dataclass

from ntkjax.commands.plan.costs.hardware import Hardware
from ntkjax.commands.plan.plan import Plan
from ntkjax.reports.numbers import percent_text, whole_text


@dataclass(frozen=True)
class Listing:
    """A table.

    Attributes:
        title: What it shows.
        headers: Of its columns; numbers stand on the right from the second on.
        rows: Cells.
    """

    title: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def memory_table(plan: Plan) -> Listing:
    """Bytes on each device, program by program."""
    rows = [
        (
            use.stage,
            f"{use.rows} x {use.tokens}",
            size_text(use.arguments),
            size_text(use.activations),
            size_text(use.logits),
            size_text(use.total),
        )
        for use in plan.memory
    ]
    headers = (
        "beside weights and θ",
        "rows x tokens",
        "directions, moments",
        "activations",
        "logits",
        "with weights and θ",
    )
    return Listing("Memory", headers, tuple(rows))


def stage_table(plan: Plan) -> Listing:
    """Times, stage by stage."""
    rows = [
        (
            stage.name,
            whole_text(stage.examples),
            f"{stage.flops:.2e}" if stage.flops else "-",
            stage.binds,
            duration(stage.seconds),
        )
        for stage in plan.stages
    ]
    rows.append(("total", "", "", "", duration(plan.seconds)))
    headers = ("stage", "examples", "FLOPs each", "bound by", "time")
    return Listing("Time", headers, tuple(rows))


def mesh_line(plan: Plan) -> str:
    """The mesh, in one line."""
    return (
        f"{plan.hardware}: {whole_text(plan.num_chips)} chips, "
        f"{whole_text(plan.num_processes)} processes; mesh data={plan.data},"
        f"model={plan.model}; {whole_text(plan.num_weights)} weights, θ "
        f"{whole_text(plan.num_theta)}; on each device {size_text(plan.weights)} of "
        f"weights, {size_text(plan.theta)} of θ"
    )


def fit_line(plan: Plan) -> str:
    """Whether it fits, in one line."""
    verb = "fits" if plan.fits else "does not fit"
    return (
        f"{verb}: needs {size_text(plan.needs)} of the {size_text(plan.limit)} "
        "that are planned with on each device"
    )


def disk_line(plan: Plan) -> str:
    """What is written, and what a kill costs."""
    disk = plan.disk
    return (
        f"disk: {size_text(disk.total)} in {whole_text(disk.shards)} shards; a kill "
        f"loses at most {whole_text(disk.lost_examples)} candidates of each process "
        f"({duration(disk.lost_seconds)})"
    )


def honesty_lines(plan: Plan, hardware: Hardware) -> list[str]:
    """Where the times come from, and what they leave out."""
    chip = hardware.chip
    if plan.is_measured:
        return [
            "times: rates measured on this machine, compilation included; load and "
            "report by assumption"
        ]
    lines = [
        f"times: the highest roof divided by an efficiency of "
        f"{percent_text(chip.efficiency)} ({chip.efficiency_source}); compilation is "
        "left out"
    ]
    if not chip.is_measured:
        lines.append(f"{chip.name}: not measured here; figures from:")
        lines += [f"  {source}" for source in chip.sources]
        lines.append(
            "host: 1 GB/s from disk is assumed; 300,000 tokens/s and 12 GFLOP/s of "
            "cosines were measured on two cores of another machine"
        )
    return lines


def size_text(number: float | int) -> str:
    """Bytes with the unit that leaves two digits or three.

    >>> [size_text(n) for n in (0, 700, 312e3, 83.9e6, 28.54e9, 3e13)]
    ['0', '0.7 kB', '312 kB', '84 MB', '28.5 GB', '30 TB']
    """
    for unit, factor in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if number >= factor:
            value = number / factor
            return f"{value:.1f} {unit}" if unit == "GB" else f"{value:.0f} {unit}"
    value = number / 1e3
    return f"{value:.0f} kB" if value >= 10 else f"{value:.2g} kB" if number else "0"


def duration(seconds: float | int) -> str:
    """A time such as `45 s`, `12 min`, `3.4 h`.

    >>> [duration(s) for s in (0.2, 45, 700, 12345, 400000)]
    ['< 1 s', '45 s', '12 min', '3.4 h', '4.6 days']
    """
    if seconds < 1:
        return "< 1 s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:.1f} days"
