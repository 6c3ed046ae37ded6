"""`ntkjax merge`: independent jobs of `ntkjax select --shard i/n` end as one run.

The shards and warm-ups of the jobs' run directories are brought together; then the
selection goes on as the last job would, but for long passes, which must all be there.
A method with several passes needs its jobs a second time: what a pass looks at may
depend on all shards of the one before.
"""

from dataclasses import dataclass
from pathlib import Path

from ntkjax.commands.merge.recorded_run import (
    recorded_run,
    require_one_run,
    run_here,
    select_settings,
)
from ntkjax.commands.merge.settings import MergeSettings, check_merge_settings
from ntkjax.commands.merge.stages import Merged, merge_stages
from ntkjax.commands.select.inputs import RESULT
from ntkjax.commands.select.job_notes import common_parts, jobs_of
from ntkjax.commands.select.pool_passes import Unfinished
from ntkjax.commands.select.run import RELIEF, run_select
from ntkjax.commands.select.warmup import WARM_UP
from ntkjax.errors import InputError, setting
from ntkjax.runs.ledger import Ledger
from ntkjax.runs.run import Outcome
from ntkjax.selection.result import SelectionResult
from ntkjax.settings.devices import DeviceOptions, check_device_options


STAGES = "stages"

_MOST_NAMED = 8


@dataclass(frozen=True)
class MergeRun:
    """What a merge found.

    Attributes:
        selection: The finished run.
        merged: What was brought together; None where it was finished before.
    """

    selection: Outcome[SelectionResult]
    merged: Merged | None


def run_merge(settings: MergeSettings) -> MergeRun:
    """Brings the jobs' shards together, and writes the run directory.

    Raises:
        InputError: If the runs do not go together, or something is missing still; what
            was found is kept, and the message says how to go on.
    """
    check_merge_settings(settings)
    devices = DeviceOptions(
        settings.mesh, settings.memory_per_device, distributed="off"
    )
    check_device_options(devices)
    first, *others = [recorded_run(folder) for folder in settings.runs]
    for other in others:
        require_one_run(first, other)
    chosen = select_settings(first, settings.out, devices)
    here, merged = run_here(first, chosen), None
    facts = {"model": first.model}
    with here.claimed(Ledger(), facts, RELIEF, is_booked=False):
        if not (settings.out / RESULT).exists():
            folders = [f for run in settings.runs for f in _stages_of(run)]
            merged = merge_stages(folders, settings.out / STAGES)
    try:
        return MergeRun(run_select(chosen, computes=False), merged)
    except Unfinished as left:
        raise _incomplete(left, settings, merged) from left


def _stages_of(run: Path) -> list[Path]:
    """Where a run's jobs kept their stages: in it, or in a folder of their own.

    Raises:
        InputError: If they kept them where nothing is here.
    """
    noted = {str(job.stages): job.stages for job in jobs_of(run) if job.stages}
    local = [path for path in noted.values() if isinstance(path, Path)]
    if len(local) < len(noted):
        raise InputError(
            f"{run}: its jobs share {setting('stages')} {min(noted)}, so that nothing "
            f"is to be merged; start the same select without {setting('shard')}: it "
            "finds their shards."
        )
    found = [folder for folder in (run / STAGES, *sorted(local)) if folder.is_dir()]
    if noted and not found:
        raise InputError(
            f"{run}: its jobs kept their shards in {setting('stages')} {min(noted)}, "
            f"which is not here; copy that folder to {run / STAGES}."
        )
    return found


def _incomplete(
    left: Unfinished, settings: MergeSettings, merged: Merged | None
) -> InputError:
    """What is missing, of which jobs, and what to do."""
    parts = common_parts([job for run in settings.runs for job in jobs_of(run)])
    what, jobs = f"{left.missing} of {left.total} shards are missing", "the jobs"
    if left.what == WARM_UP:
        what = "no job has finished it"
    elif parts is not None:
        owed = sorted({shard % parts + 1 for shard in left.shards})
        what += f", those of {_named(owed, parts)}"
        jobs = "this job" if len(owed) == 1 else "these jobs"
    lost = len(merged.damaged) if merged is not None else 0
    damaged = f" ({lost} damaged left out)" * (lost > 0)
    stages = settings.out / STAGES
    return InputError(
        f"{left.what}: {what}{damaged}; run {jobs} again with {setting('stages')} "
        f"{stages} (on another disk: copy that folder into the job's {setting('out')} "
        f"instead), then this merge again; or the same select without "
        f"{setting('shard')} and with {setting('out')} {settings.out} does them here."
    )


def _named(owed: list[int], parts: int) -> str:
    named = [f"{setting('shard')} {part}/{parts}" for part in owed[:_MOST_NAMED]]
    more = len(owed) - _MOST_NAMED
    return ", ".join(named) + f" and {more} more" * (more > 0)
