"""A run of `ntkjax select` as its directory records it, and its settings again."""

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ntkjax.commands.select.inputs import NOT_DECIDING, identify_selection
from ntkjax.commands.select.settings import SelectSettings, with_defaults
from ntkjax.errors import InputError
from ntkjax.runs.pinned_model import pinned_model
from ntkjax.runs.run import ROUNDING, Run
from ntkjax.selection.result import SelectionResult
from ntkjax.settings.devices import DeviceOptions
from ntkjax.store.run_directory import (
    SETTINGS,
    first_difference,
    left,
    read_manifest,
    read_settings,
)
from ntkjax.store.typed_values import typed_fields


_FILES = ("target", "pool", "holdout", "validation", "adapter")


@dataclass(frozen=True)
class RecordedRun:
    """What a run directory says of its run.

    Attributes:
        folder: The directory.
        settings: Content of `run.yaml`.
        inputs: Hashes of the input files by name.
        model: What the manifest says of the model.
    """

    folder: Path
    settings: dict[str, Any]
    inputs: dict[str, str]
    model: dict[str, Any]


def recorded_run(folder: Path) -> RecordedRun:
    """Reads a run directory.

    Raises:
        InputError: If it is none of `ntkjax select`, or of another version.
    """
    path = folder / SETTINGS
    try:
        settings = read_settings(folder)
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            f"{path}: cannot be read ({reason}); expected a run directory of `ntkjax "
            "select`."
        ) from error
    known = {field.name for field in fields(SelectSettings)} - set(NOT_DECIDING)
    if not isinstance(settings, dict) or settings.keys() != known:
        raise InputError(
            f"{path}: these are not the settings of `ntkjax select`, or those of "
            "another version; expected a run directory of this version."
        )
    manifest = read_manifest(folder)
    return RecordedRun(folder, settings, manifest["inputs"], manifest["model"])


def require_one_run(first: RecordedRun, second: RecordedRun) -> None:
    """Raises `InputError` unless both have the same settings and inputs."""
    found = first_difference(
        left({**first.settings, "inputs": first.inputs}, ROUNDING),
        left({**second.settings, "inputs": second.inputs}, ROUNDING),
    )
    if found is not None:
        raise InputError(
            f"merge of shards from different runs: {found.name} is {found.first!r} in "
            f"{first.folder} and {found.second!r} in {second.folder}."
        )


def select_settings(
    run: RecordedRun, out: Path, devices: DeviceOptions
) -> SelectSettings:
    """The settings that made the run, for another directory and other devices.

    Raises:
        InputError: If a value has another type than the settings of this version.
    """
    values = dict(run.settings)
    if values["adapter"] is not None or values["lora"] is None:
        del values["lora"]  # resolved: from the adapter's files, or of no use
    try:
        given = typed_fields(values, SelectSettings)
    except TypeError as error:
        raise InputError(f"{run.folder / SETTINGS}: {error}.") from error
    return SelectSettings(**given, out=out, devices=devices)


def run_here(run: RecordedRun, settings: SelectSettings) -> Run[SelectionResult]:
    """The recorded run in a directory of this machine, with its files.

    Cost: reads them.

    Raises:
        InputError: If a file is not here, or is another; the message names it.
    """
    for name in _FILES:
        for path in _paths(getattr(settings, name)):
            if not path.exists():
                raise _not_here(run, name, path)
    model = Path(os.path.expanduser(settings.model))
    is_local = run.model["commit"] is None and settings.model != "embedded"
    if is_local and not model.is_dir():
        raise _not_here(run, "model", model)
    found_model = pinned_model(settings.model, run.folder)
    here = identify_selection(with_defaults(settings), None, found_model.folder)
    for name, found in here.inputs.items():
        if found != run.inputs.get(name):
            paths = _paths(getattr(settings, name))
            raise InputError(
                f"{run.folder}: its {name} had another content than "
                f"{', '.join(map(str, paths))} here; merge with the files of the jobs."
            )
    return replace(here, settings=run.settings, inputs=run.inputs)


def _paths(value: Any) -> tuple[Any, ...]:
    if value is None:
        return ()
    return value if isinstance(value, tuple) else (value,)


def _not_here(run: RecordedRun, name: str, path: Path) -> InputError:
    hint = "copy it there"
    if not path.is_absolute():
        hint = (
            "a relative path counts from the folder in which the jobs were started: "
            "merge there, or in a folder that has it too"
        )
    return InputError(f"{run.folder / SETTINGS}: {name} {path} is not here; {hint}.")
