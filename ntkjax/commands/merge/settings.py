"""Settings of `ntkjax merge`, and the checks that need no file."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from ntkjax.errors import InputError, setting


_RUNS = tyro.conf.arg(metavar="RUN1 RUN2 ...", help_behavior_hint="(required)")


@dataclass(frozen=True)
class MergeSettings:
    """What did the jobs of `ntkjax select --shard i/n` find together?

    Attributes:
        runs: Run directories of the jobs. Nothing in them is changed.
        out: Run directory to write: what one job that did everything would have
            written. The same command again goes on with it.
        mesh: How many devices share the examples and how many the weights, such as
            data=4,model=2; auto gives the weights as few as can hold them.
        memory_per_device: GiB of a device, for --mesh auto. Default: what the device
            says; CPUs say nothing.
    """

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional, _RUNS]
    out: Path
    mesh: str = "auto"
    memory_per_device: float | None = None


def check_merge_settings(settings: MergeSettings) -> None:
    """Raises `InputError` for a value that no merge can have."""
    if not settings.runs:
        raise InputError(
            "merge: give the run directories of the jobs, such as run1 run2."
        )
    for folder in (*settings.runs, settings.out):
        if str(folder).startswith("gs:/"):
            raise InputError(
                f"merge: {folder} lies in a bucket, which jobs can share: give all of "
                f"them one {setting('stages')} gs://BUCKET/FOLDER, and start the same "
                f"select without {setting('shard')} at the end. merge takes local "
                "folders."
            )
