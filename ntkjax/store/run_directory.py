"""A run directory explains itself, and belongs to one set of settings.

`run.yaml` holds the resolved settings, `manifest.json` what they met: versions,
device, precision, hashes of the inputs. A directory of other settings or other inputs
is refused with the first difference; the same ones may run again.
"""

import dataclasses
import hashlib
import json
import tempfile
from collections.abc import Sequence
from pathlib import PurePath
from typing import Any, NamedTuple

import yaml

from ntkjax.errors import InputError, setting
from ntkjax.store.atomic import is_partial, write_text
from ntkjax.store.bucket import require_reachable
from ntkjax.store.folders import entries_of, make_folder
from ntkjax.store.records import read_record, write_record
from ntkjax.store.run_lock import in_turn
from ntkjax.store.run_path import RunPath, is_remote
from ntkjax.store.seals import file_hash


SETTINGS = "run.yaml"
MANIFEST = "manifest.json"
NOTES = "processes"
"""Where several processes of a run note what they do; it claims no directory."""


def open_run(
    out: RunPath,
    settings: dict[str, Any],
    inputs: dict[str, str],
    facts: dict[str, Any] | None = None,
    free: Sequence[str] = (),
) -> RunPath:
    """Creates or reopens a run directory.

    Args:
        out: The directory.
        settings: Resolved settings, plain values only.
        inputs: Hashes by name of model, adapter and data files.
        facts: What else the manifest of a new directory says.
        free: Settings that may be others than before, by their dotted path.

    Raises:
        InputError: If `out` cannot be written, or holds a run of other settings or
            inputs.
    """
    try:
        make_folder(out)
        with in_turn(out / ".run-claim.lock", lambda: None):
            _claim(out, settings, inputs, facts or {}, free)
    except OSError as error:
        raise _unwritable("out", out, error) from error
    return out


def require_writable(folder: RunPath, field: str) -> None:
    """Makes a folder, if it is not there.

    Raises:
        InputError: If it cannot be made or written; the setting is named.
    """
    if is_remote(folder):
        require_reachable(folder, field)
        return
    try:
        make_folder(folder)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise _unwritable(field, folder, error) from error


def add_to_manifest(out: RunPath, facts: dict[str, Any]) -> None:
    """Adds facts to `manifest.json`."""
    write_record(out / MANIFEST, {**read_manifest(out), **facts})


def read_manifest(out: RunPath) -> dict[str, Any]:
    """The manifest of a run.

    Raises:
        InputError: If it is missing or damaged.
    """
    manifest = read_record(out / MANIFEST)
    if manifest is None:
        raise InputError(
            f"{out / MANIFEST}: is missing, damaged, or of another version; choose a "
            "new directory, or delete this one."
        )
    return manifest


def read_json(path: RunPath) -> Any:
    """A JSON file of a run.

    Raises:
        InputError: If it is missing or damaged.
    """
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: cannot be read: {error}.") from error


def hash_files(paths: Sequence[RunPath]) -> str:
    """SHA-256 over names and contents, in the order of the names. Cost: reads all."""
    return combined_hash([(path.name, file_hash(path)) for path in paths])


def combined_hash(hashes: Sequence[tuple[str, str]]) -> str:
    """`hash_files` of files whose names and SHA-256 are known."""
    total = hashlib.sha256()
    for name, digest in sorted(hashes, key=lambda pair: pair[0]):
        total.update(f"{name} {digest}\n".encode())
    return total.hexdigest()


def plain_values(settings: Any, without: Sequence[str] = ()) -> dict[str, Any]:
    """A settings dataclass as dicts, lists, strings and numbers, ready for YAML.

    Args:
        settings: The dataclass.
        without: Fields to leave out; those of nested settings by their dotted path.
    """

    def plain(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: plain(inner) for key, inner in value.items()}
        if isinstance(value, tuple | list):
            return [plain(inner) for inner in value]
        return str(value) if isinstance(value, PurePath) else value

    return left(plain(dataclasses.asdict(settings)), without)


def left(values: dict[Any, Any], without: Sequence[str]) -> dict[Any, Any]:
    """Nested values without some of them.

    >>> left({"a": 1, "b": {"c": 2, "d": 3}}, ("a", "b.c"))
    {'b': {'d': 3}}
    """
    found = {}
    for key, value in values.items():
        if key in without:
            continue
        if isinstance(value, dict):
            prefix = f"{key}."
            inner = [n.removeprefix(prefix) for n in without if n.startswith(prefix)]
            value = left(value, inner)
        found[key] = value
    return found


def read_settings(run: RunPath) -> Any:
    """What `run.yaml` of a run says; None if it is damaged.

    Raises:
        OSError: If it cannot be read.
    """
    try:
        return yaml.safe_load((run / SETTINGS).read_bytes().decode())
    except (yaml.YAMLError, UnicodeDecodeError):
        return None


class Difference(NamedTuple):
    """A setting, named by its dotted path, and its two values."""

    name: str
    first: Any
    second: Any


def first_difference(
    first: dict[Any, Any], second: dict[Any, Any], prefix: str = ""
) -> Difference | None:
    """The first key, in order of the alphabet, at which plain values differ.

    A missing key counts as None.
    """
    for key in sorted(first.keys() | second.keys(), key=str):
        a, b = first.get(key), second.get(key)
        if isinstance(a, dict) and isinstance(b, dict):
            inner = first_difference(a, b, f"{prefix}{key}.")
            if inner is not None:
                return inner
        elif a != b:
            return Difference(f"{prefix}{key}", a, b)
    return None


def _claim(
    out: RunPath,
    settings: dict[str, Any],
    inputs: dict[str, str],
    facts: dict[str, Any],
    free: Sequence[str],
) -> None:
    """Looks and writes; nobody else does so at the same time, where locks are seen."""
    path = out / SETTINGS
    inside = entries_of(out)  # first, as another job may claim it just now
    if path.exists():
        _require_same(out, read_settings(out), settings, free)
        before = read_manifest(out).get("inputs")
        _require_same(out, {"inputs": before}, {"inputs": inputs})
    elif any(map(_is_foreign, inside)):
        raise InputError(
            f"the directory is not empty and holds no {SETTINGS}; choose a new one.",
            field="out",
            value=out,
        )
    else:
        write_record(out / MANIFEST, {"inputs": inputs, **facts})
        text = yaml.safe_dump(settings, sort_keys=False, allow_unicode=True)
        write_text(path, text)  # last: it claims the directory


def _unwritable(field: str, folder: RunPath, error: OSError) -> InputError:
    return InputError(f"cannot be written: {error}.", field=field, value=folder)


def _is_foreign(path: RunPath) -> bool:
    is_ours = path.name in (MANIFEST, NOTES) or path.name.startswith(".run-")
    return not is_ours and not is_partial(path)


def _require_same(
    out: RunPath, before: Any, now: dict[str, Any], free: Sequence[str] = ()
) -> None:
    if not isinstance(before, dict):
        raise InputError(
            f"its {SETTINGS} is damaged; choose a new one.", field="out", value=out
        )
    found = first_difference(left(before, free), left(now, free))
    if found is not None:
        raise InputError(
            f"{setting('out')} {out} holds another run: {found.name} was "
            f"{found.first!r} and is now {found.second!r}; choose a new directory or "
            "the same settings."
        )
