"""The first touch of a bucket: what is wrong with it is said in one line.

gcsfs speaks to Google Cloud Storage. It is an extra of the package, and loaded when a
path in a bucket is used first.
"""

import functools
import logging
import os
import secrets
import warnings

from etils import epath

from ntkjax.errors import InputError
from ntkjax.store.atomic import PARTIAL
from ntkjax.store.run_path import RunPath, run_path


_EMULATOR = "STORAGE_EMULATOR_HOST"
"""Where a stand-in for Google's servers is, which asks for no credentials."""


def require_reachable(folder: RunPath, field: str) -> None:
    """Writes a small object into a folder of a bucket, and removes it.

    Local folders are not touched, nor is a folder that was reached before.

    Raises:
        InputError: If gcsfs is missing, there are no credentials, or they do not allow
            it; if there is no such bucket, or it cannot be reached.
    """
    if isinstance(folder, epath.Path):
        run_path(str(folder))
        _reach(folder, field)


@functools.cache
def _reach(folder: epath.Path, field: str) -> None:
    try:
        _prepare_client()
    except ImportError as error:
        raise InputError(
            f'buckets need gcsfs: pip install "ntkjax[gcs]" ({error}).',
            field=field,
            value=folder,
        ) from error
    probe = folder / f".probe-{secrets.token_hex(4)}{PARTIAL}"
    try:
        _require_credentials()
        probe.write_bytes(b"probe")
        probe.unlink()
    except bucket_errors() as error:
        raise InputError(f"{reason_of(error)}.", field=field, value=folder) from error


def bucket_errors() -> tuple[type[Exception], ...]:
    """What a bucket that cannot be used raises. Loads gcsfs."""
    import aiohttp
    import google.api_core.exceptions
    import google.auth.exceptions
    import requests
    from gcsfs.retry import HttpError

    return (
        OSError,
        HttpError,
        ValueError,  # a name that no bucket can have
        google.auth.exceptions.GoogleAuthError,
        google.api_core.exceptions.GoogleAPICallError,
        aiohttp.ClientError,
        requests.RequestException,
    )


def reason_of(error: Exception) -> str:
    """What is wrong, and what to do: one line for one of `bucket_errors`."""
    from google.auth.exceptions import GoogleAuthError, TransportError

    said = " ".join(str(error).split()).rstrip(".") or type(error).__name__
    code = getattr(error, "code", None)
    if isinstance(error, TransportError):
        return f"cannot be reached: {said}"
    if isinstance(error, GoogleAuthError) or code == 401:
        return (
            "no credentials that Google Cloud Storage takes: run gcloud auth "
            f"application-default login, or set GOOGLE_APPLICATION_CREDENTIALS ({said})"
        )
    if isinstance(error, FileNotFoundError) or code == 404:
        return "no such bucket; make it first, or mend its name"
    if said.startswith("Forbidden") or code == 403:
        return (
            "permission denied: the account needs to read, write and delete objects "
            f"there, as roles/storage.objectAdmin and legacyBucketReader allow ({said})"
        )
    return f"cannot be written: {said}"


def _require_credentials() -> None:
    """Raises `DefaultCredentialsError` without credentials that all libraries find.

    gcsfs alone would go on without any, and wait for long where there is no network.
    """
    import google.auth

    if os.environ.get(_EMULATOR):
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of accounts of people, as on a laptop
        google.auth.default()


def _prepare_client() -> None:
    """Loads gcsfs, which then keeps no lists of objects and prints nothing.

    Other processes write to the bucket: what was there a second ago says nothing.
    """
    from fsspec import config

    # What it finds out otherwise of every bucket asks for more permissions.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    config.conf.setdefault("gcs", {}).setdefault("use_listings_cache", False)
    for name in ("gcsfs", "google.auth"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    import gcsfs  # noqa: F401  pyright: ignore[reportUnusedImport]
