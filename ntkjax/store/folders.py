"""Folders of a run, local or in a bucket."""

import contextlib
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

from etils import epath

from ntkjax.store.atomic import PARTIAL, beside_of, full_disk_named, write_bytes
from ntkjax.store.run_path import RunPath, is_remote


def make_folder(folder: RunPath) -> None:
    """Makes a folder and those above it. In a bucket there is nothing to make."""
    if not is_remote(folder):
        folder.mkdir(parents=True, exist_ok=True)


def entries_of(folder: RunPath) -> list[RunPath]:
    """What a folder holds; nothing where a bucket has no such folder."""
    if not is_remote(folder):
        return list(folder.iterdir())
    if not folder.exists():
        return []
    # A folder made on a web page is an empty object, listed by the folder's own name.
    return [path for path in folder.iterdir() if path.name != folder.name]


def remove_folder(folder: RunPath) -> None:
    """Removes a folder with all it holds, as far as that can be done."""
    if not isinstance(folder, epath.Path):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder.exists():
        with contextlib.suppress(OSError):
            folder.rmtree(missing_ok=True)


def remove_within(folder: RunPath, names: Iterable[str]) -> None:
    """Removes files of a folder; one in an inner folder goes with all of that one."""
    for top in dict.fromkeys(name.partition("/")[0] for name in names):
        path = folder / top
        if path.is_dir():
            remove_folder(path)
        else:
            path.unlink(missing_ok=True)


def discard_folder(folder: RunPath) -> None:
    """Removes a folder that others may look at: a local one is gone in one step."""
    if isinstance(folder, Path):
        beside = beside_of(folder)
        with contextlib.suppress(FileNotFoundError):  # another was faster
            folder.rename(beside)
        folder = beside
    remove_folder(folder)


def copy_files(source: RunPath, target: RunPath, last: str) -> None:
    """Copies the files of one folder to another, the one called `last` at the end."""
    files = sorted(entries_of(source), key=lambda path: (path.name == last, path.name))
    for path in files:
        write_bytes(target / path.name, path.read_bytes())


def publish(found: RunPath, folder: RunPath, last: str) -> None:
    """Makes a filled folder appear as another in one step; the first of several wins.

    In a bucket files are copied one by one, and the folder is whole when the file
    called `last` is there; writers that end in the same seconds may mix their files.

    Args:
        found: Beside `folder`. It may be gone afterwards.
        folder: What is to appear.
        last: A file that each of them has.
    """
    if is_remote(folder):
        if not (folder / last).exists():
            copy_files(found, folder, last)
        return
    try:
        found.rename(folder)
    except OSError:
        if not folder.exists():
            raise


@contextlib.contextmanager
def new_folder(
    folder: RunPath, last: str, *, replaces: bool = True
) -> Iterator[RunPath]:
    """A folder to fill, which then appears as `folder` in one step.

    A bucket cannot do so: there its files appear one by one, and the folder is whole
    when the file called `last` is there, which has to be written at the end.

    Args:
        folder: What is to appear.
        last: The file that is written last.
        replaces: Whether it takes the place of one that is there, or leaves the first
            of several as it is (`publish`).

    Raises:
        InputError: If the disk is full.
    """
    if not isinstance(folder, Path):
        if replaces:
            (folder / last).unlink(missing_ok=True)
        yield folder
        return
    # The one name finds what a kill left; others may fill theirs at the same time.
    one = folder.with_name(f".{folder.name}{PARTIAL}")
    beside = one if replaces else beside_of(folder)
    shutil.rmtree(beside, ignore_errors=True)
    try:
        with full_disk_named(folder):
            beside.mkdir(parents=True)
            yield beside
            if replaces and folder.exists():
                shutil.rmtree(folder)
            if replaces:
                beside.rename(folder)
            else:
                publish(beside, folder, last)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
