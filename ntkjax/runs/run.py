"""The run protocol: a directory belongs to one set of settings and inputs.

    identity                settings and hashes of inputs that decide the numbers
    finished and intact?    then its result is read again, before any weight is
    claim                   run.yaml and the manifest are written; others are kept out
    …                       what the command computes
    outputs                 their hashes go into the manifest
    result                  last: it marks the run as finished

Batch sizes, meshes, memory limits and numbers of processes decide no number beyond its
rounding, and are no part of the identity: a run may go on with others.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from ntkjax.devices import processes
from ntkjax.errors import InputError
from ntkjax.runs.inputs import Stamps, hash_inputs, require_readable, stamps_of
from ntkjax.runs.last_start import noted, say_last_start
from ntkjax.runs.ledger import Ledger
from ntkjax.runs.progress import announce
from ntkjax.store.atomic import json_text, write_text
from ntkjax.store.folders import remove_within
from ntkjax.store.polling import is_seen_within, wait_until
from ntkjax.store.results import read_result
from ntkjax.store.run_directory import (
    SETTINGS,
    add_to_manifest,
    open_run,
    plain_values,
    read_manifest,
)
from ntkjax.store.run_lock import in_turn, locked
from ntkjax.store.run_path import RunPath
from ntkjax.store.seals import damages, described, files_of


METRICS = "metrics.jsonl"
_ALONE = "1-of-1"
MODEL = "model"
"""The group of input files that are not read again while their stamps are the same."""

ROUNDING = ("tokens_per_batch", "training.micro_batch")
"""Settings that may be others when a run goes on: they round the numbers, and decide
none. `run.yaml` keeps those of its first start."""

_STAMPS, _OUTPUTS = "model_files", "outputs"

_PATIENCE = 60.0
"""Seconds that a shared folder is given to show what another host wrote."""

Found = TypeVar("Found")


@dataclass(frozen=True)
class Outcome(Generic[Found]):
    """What a command found.

    Attributes:
        result: Its result.
        reused: Whether a finished run of the same settings was read again.
    """

    result: Found
    reused: bool


@dataclass(frozen=True, eq=False)
class Run(Generic[Found]):
    """One run of a command.

    Attributes:
        command: Its name.
        out: The run directory.
        result: Name of the file that marks it as finished.
        kind: Type of the result.
        settings: Resolved, as plain values: what decides the numbers, and `ROUNDING`.
        inputs: Hashes of the input files, by name.
        stamps: Of the model's files.
        job: Names one of several jobs that share the directory.
    """

    command: str
    out: RunPath
    result: str
    kind: type[Found]
    settings: dict[str, Any]
    inputs: dict[str, str]
    stamps: Stamps
    job: str

    @property
    def metrics(self) -> str:
        """File of the ledger: each of several jobs has one of its own."""
        return METRICS if self.job == _ALONE else f"metrics-{self.job}.jsonl"

    def finished(self) -> Outcome[Found] | None:
        """What a finished and intact run found; None if it is to be computed.

        Outputs that are not as they were written are removed, and it is said.

        Raises:
            InputError: If the directory holds another run, a damaged manifest, or a
                result of another version.
        """
        is_there = processes.from_first(processes.is_first() and self._is_finished())
        if not is_there:
            return None
        return Outcome(self._read(), reused=True)

    def of_first(self) -> Outcome[Found]:
        """What the first process found, when its result is there."""
        return Outcome(self._read(), reused=False)

    @contextlib.contextmanager
    def claimed(
        self,
        ledger: Ledger,
        facts: Mapping[str, Any],
        relief: Mapping[str, str],
        is_booked: bool = True,
    ) -> Iterator[None]:
        """Claims the directory, and keeps other processes out while the context lasts.

        Args:
            ledger: Kept in the directory from here on.
            facts: What the manifest of a new directory says beside the inputs.
            relief: Stage ↦ the setting that lowers its memory; `""` for all others.
            is_booked: Whether the ledger is kept.

        Raises:
            InputError: If the directory cannot be written, holds another run, is in
                use, or is not seen by a process of this run.
        """
        with contextlib.ExitStack() as stack:
            if processes.is_first():
                claim = {**facts, _STAMPS: self.stamps}
                self._open(claim)
                stack.enter_context(locked(self.out, self.job))
                # Once more: another process may have claimed it at the same moment.
                self._open(claim)
                note = self.out / f".run-{self.job}.json"
                say_last_start(note, relief, ROUNDING)
                stack.enter_context(noted(note))
                if is_booked:
                    ledger.keep_in(self.out / self.metrics)
            processes.from_first(None)
            self._require_shared()
            yield

    @contextlib.contextmanager
    def completing(self) -> Iterator[Outcome[Found] | None]:
        """The turn to write outputs: several jobs may find that nothing is missing.

        Gives what the first of them found to the others. For the first process alone.
        """
        with in_turn(self.out / ".run-finish.lock", lambda: None):
            is_done = self._is_finished()
            yield Outcome(self._read(), reused=False) if is_done else None

    def finish(
        self,
        result: Found,
        outputs: Sequence[str],
        facts: Mapping[str, Any],
    ) -> Outcome[Found]:
        """Notes the hashes of what was written, and writes the result, last.

        Args:
            result: A dataclass; see `ntkjax.store.results`.
            outputs: Files and folders in the directory.
            facts: What the manifest says of the run.

        Raises:
            InputError: If an output is gone.
        """
        text = json_text(plain_values(result))
        gone = [name for name in outputs if not (self.out / name).exists()]
        if gone:
            raise InputError(
                f"{self.out / gone[0]}: was written and is not there any more; run the "
                "same command again, and leave its directory alone until it ends."
            )
        files = files_of(self.out, [SETTINGS, *outputs])
        files[self.result] = described(text.encode())
        facts = {"command": self.command, **facts, _STAMPS: self.stamps}
        add_to_manifest(self.out, {**facts, _OUTPUTS: files})
        write_text(self.out / self.result, text)
        return Outcome(result, reused=False)

    def _read(self) -> Found:
        path = self.out / self.result
        wait_until(path.exists)
        return read_result(path, self.kind)

    def _open(self, facts: dict[str, Any]) -> None:
        open_run(self.out, self.settings, self.inputs, facts, free=ROUNDING)

    def _is_finished(self) -> bool:
        if not (self.out / SETTINGS).exists():
            return False
        self._open({})
        if not (self.out / self.result).exists():
            return False
        files = read_manifest(self.out).get(_OUTPUTS, {})
        damaged = [name for name, _ in damages(self.out, files)]
        if not damaged:
            return True
        if SETTINGS in damaged:
            raise InputError(
                f"{self.out / SETTINGS}: is not as the run wrote it; choose a new "
                "directory, or delete this one."
            )
        announce(
            f"{self.out}: {', '.join(damaged)} not as the run wrote "
            f"{'it' if len(damaged) == 1 else 'them'}; computing again."
        )
        remove_within(self.out, [*damaged, self.result])
        return False

    def _require_shared(self) -> None:
        """Raises `InputError` if a process does not see what the first wrote."""
        seen = is_seen_within(self.out / SETTINGS, _PATIENCE)
        all_seen = processes.gathered(seen)
        if not all(all_seen):
            raise InputError(
                f"process {all_seen.index(False)} does not see there what process 0 "
                "wrote; expected one folder that every host sees.",
                field="out",
                value=self.out,
            )


def identify(
    command: str,
    out: RunPath,
    result: str,
    kind: type[Found],
    settings: dict[str, Any],
    files: Mapping[str, Sequence[Path]],
    job: str = _ALONE,
) -> Run[Found]:
    """The run of these settings on these files.

    Cost: reads the files; those of the model only where path, size or time of one
    differ from what the run in the directory noted.

    Args:
        command: Its name.
        out: The run directory.
        result: Name of the file that marks it as finished.
        kind: Type of the result.
        settings: Resolved, as plain values: what decides the numbers, and `ROUNDING`.
        files: Input files by name.
        job: Names one of several jobs that share the directory.

    Raises:
        InputError: If a file cannot be read.
    """
    require_readable(files)
    stamps = stamps_of(files.get(MODEL, ()))
    known = _known_model(out, stamps) if processes.is_first() else {}
    inputs = hash_inputs(files, known)
    return Run(command, out, result, kind, settings, inputs, stamps, job)


def _known_model(out: RunPath, stamps: Stamps) -> dict[str, str]:
    """The model's hash as the run in the directory noted it, for files as they are."""
    try:
        before = read_manifest(out)
        is_same = before[_STAMPS] == stamps
        return {MODEL: before["inputs"][MODEL]} if is_same else {}
    except (InputError, KeyError, TypeError):
        return {}
