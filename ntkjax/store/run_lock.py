"""One process at a time: a lock that a dead process does not hold."""

import contextlib
from collections.abc import Callable, Iterator

from filelock import FileLock, Timeout

from ntkjax.errors import InputError
from ntkjax.store.run_path import RunPath, is_remote


@contextlib.contextmanager
def locked(folder: RunPath, job: str) -> Iterator[None]:
    """Keeps other processes with the same job out of a folder.

    A bucket has no such locks, and a file system may have none: there nobody is kept
    out.

    Args:
        folder: The folder; the file `.run-JOB.lock` in it is the lock.
        job: Different jobs may work in one folder.

    Raises:
        InputError: If another process holds it.
    """
    if is_remote(folder):
        yield
        return
    lock = FileLock(folder / f".run-{job}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise InputError(
            "another process works in it; wait until that has ended, or choose another "
            "directory.",
            field="out",
            value=folder,
        ) from error
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def in_turn(path: RunPath, wait: Callable[[], None]) -> Iterator[None]:
    """One process after the other does the same work, where locks are to be had.

    Args:
        path: The lock. It goes at the end: who comes then has to see the work is done.
        wait: Called where another process has it, before this one waits for it.
    """
    if is_remote(path):
        yield
        return
    lock = FileLock(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout:
        wait()
        lock.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        yield
    finally:
        path.unlink(missing_ok=True)
        lock.release()
