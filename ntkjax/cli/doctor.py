"""Prints what `ntkjax doctor` found; the exit code is 1 when a check failed."""

from dataclasses import dataclass

from rich.console import Console

from ntkjax.planning.doctor import examine


@dataclass(frozen=True)
class DoctorSettings:
    """Versions, devices, precision, and numerical self-checks on every local device."""


def doctor(settings: DoctorSettings) -> int:
    """Runs the checks and prints one line for each."""
    del settings
    report = examine()
    console = Console(highlight=False, soft_wrap=True)
    for name, value in report.facts.items():
        console.print(f"{name:<14}{value}", markup=False)
    for check in report.checks:
        mark = "ok  " if check.passed else "FAIL"
        console.print(f"{mark} {check.name}: {check.detail}", markup=False)
    if report.advice:
        console.print(report.advice, markup=False)
    return 0 if report.passed else 1
