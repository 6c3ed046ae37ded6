"""Prints what `ntkjax doctor` found; the exit code is 1 when a check failed."""

import sys
from dataclasses import dataclass, field

import jax
from rich.console import Console

from ntkjax.commands.doctor.cluster import examine_cluster, meet
from ntkjax.commands.doctor.exchanges import NoAnswer
from ntkjax.commands.doctor.self_checks import Report, examine
from ntkjax.devices import processes
from ntkjax.errors import InputError, setting
from ntkjax.settings.devices import DeviceOptions, Devices
from ntkjax.settings.run_path_flag import RunPathFlag
from ntkjax.store.run_directory import plain_values


@dataclass(frozen=True)
class DoctorSettings:
    """Versions, devices, and numerical self-checks on every local device.

    With --distributed auto, started on every host, it checks instead whether the
    processes find each other and agree.

    Attributes:
        out: Folder that all processes should see.
        devices: Which processes; the other flags say something with --distributed auto.
    """

    out: RunPathFlag | None = None
    devices: Devices = field(default_factory=lambda: DeviceOptions(distributed="off"))


def doctor(settings: DoctorSettings) -> int:
    """Runs the checks and prints one line for each."""
    if settings.devices.distributed == "off":
        _refuse_other_flags(settings)
        report = examine()
        _print(report)
        return 0 if report.passed else 1
    try:
        return _doctor_of_cluster(settings)
    except NoAnswer as error:
        print(f"ntkjax: {error}", file=sys.stderr)
        return error.code


def _doctor_of_cluster(settings: DoctorSettings) -> int:
    meet(settings.devices, settings.out)
    values = plain_values(settings)
    devices = values.pop("devices")
    del devices["process_id"]
    report = examine_cluster(settings.devices, settings.out, values | devices)
    if processes.is_first():
        _print(report)
    jax.distributed.shutdown()  # all of them, also where a check failed
    return 0 if report.passed else 1


def _print(report: Report) -> None:
    console = Console(highlight=False, soft_wrap=True)
    width = max(14, *(len(name) + 2 for name in report.facts))
    for name, value in report.facts.items():
        console.print(f"{name:<{width}}{value}", markup=False)
    for check in report.checks:
        mark = "warn" if check.warns else "ok  "
        mark = mark if check.passed else "FAIL"
        console.print(f"{mark} {check.name}: {check.detail}", markup=False)
    if report.advice:
        console.print(report.advice, markup=False)


def _refuse_other_flags(settings: DoctorSettings) -> None:
    given = {"out": settings.out, **vars(settings.devices)}
    plain = {"out": None, **vars(DoctorSettings().devices)}
    for name, value in given.items():
        if value != plain[name]:
            raise InputError(
                f"{setting(name)} says nothing without {setting('distributed')} auto."
            )
