"""What independent jobs leave in their run directory for `ntkjax merge`.

    RUN/jobs/2-of-8.json    the job of part 2 of 8, and where its stages are

They claim no directory and decide nothing.
"""

from dataclasses import dataclass
from pathlib import Path

from ntkjax.commands.select.settings import SelectSettings
from ntkjax.errors import InputError
from ntkjax.store.folders import make_folder
from ntkjax.store.records import read_record, write_record
from ntkjax.store.run_path import RunPath, absolute, run_path
from ntkjax.store.shards import parse_part


FOLDER = "jobs"


@dataclass(frozen=True)
class Job:
    """One job of a run.

    Attributes:
        part: Which part of the long passes it does, counted from 1.
        parts: Of how many.
        stages: Where they are, absolute; None for the run directory.
    """

    part: int
    parts: int
    stages: RunPath | None


def note_job(settings: SelectSettings) -> None:
    """Notes a job with a part; the same part again replaces its note."""
    part, parts = parse_part(settings.shard or "1/1")
    stages = settings.stages
    folder = settings.out / FOLDER
    make_folder(folder)
    note = {"stages": None if stages is None else str(absolute(stages))}
    write_record(folder / f"{part}-of-{parts}.json", note)


def jobs_of(run: Path) -> list[Job]:
    """The jobs that a run directory knows of.

    Raises:
        InputError: If a note is damaged.
    """
    jobs = []
    for path in sorted((run / FOLDER).glob("*-of-*.json")):
        part, parts = parse_part(path.stem.replace("-of-", "/"))
        note = read_record(path)
        if note is None:
            raise InputError(f"{path}: damaged; run that job again.")
        stages = note["stages"]
        jobs.append(Job(part, parts, None if stages is None else run_path(stages)))
    return jobs


def common_parts(jobs: list[Job]) -> int | None:
    """Of how many parts all jobs are; None where they differ or are none."""
    found = {job.parts for job in jobs}
    return found.pop() if len(found) == 1 else None
