"""Models of the Hugging Face hub: an id and a revision in, files and a commit out.

Files come through `huggingface_hub` alone and stay in its cache; `HF_HUB_OFFLINE=1`,
`HF_HOME`, `HF_TOKEN` and `HF_ENDPOINT` mean what they mean there. Only safetensors,
JSON and tokenizer files are asked for.
"""

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ntkjax.errors import InputError
from ntkjax.store.atomic import full_disk_named


WEIGHTS = "*.safetensors"
FILES = ("*.json", WEIGHTS, "*.model", "*.txt", "*.jinja")
"""Files of a model: those that decide what it computes are among them."""

LEFT_OUT = ("*/*", "consolidated*")
"""Files in subfolders, and a second copy of the weights in another format."""

_ID = re.compile(r"([\w-][\w.-]*/[\w.-]+?)(?:@([\w./-]+))?")


@dataclass(frozen=True)
class Snapshot:
    """A model's files at one commit."""

    folder: Path
    commit: str


def parse_id(text: str) -> tuple[str, str | None] | None:
    """`owner/name` and the revision of `owner/name@revision`; None for other texts."""
    found = _ID.fullmatch(text)
    return None if found is None else (found[1], found[2])


def download(
    name: str,
    revision: str | None = None,
    announce: Callable[[str], None] = lambda line: None,
    weights: bool = True,
) -> Snapshot:
    """The files of a model, from the cache where it has them.

    Without a network the cache decides what a branch stands for.

    Args:
        name: As `owner/name`.
        revision: Branch, tag or commit. Default: the main branch.
        announce: Called with a line of text before a download that may take long.
        weights: Whether the weights are asked for as well.

    Raises:
        InputError: If the files cannot be had; the reason is named.
    """
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_VERBOSITY", "error")
    import huggingface_hub
    from huggingface_hub import constants

    def snapshot(local: bool) -> Path:
        found = huggingface_hub.snapshot_download(
            name,
            revision=revision,
            allow_patterns=[p for p in FILES if weights or p != WEIGHTS],
            ignore_patterns=list(LEFT_OUT),
            local_files_only=local,
        )
        return Path(found)

    asked = f"{name}@{revision}" if revision else name
    try:
        if not constants.HF_HUB_OFFLINE and not _works(lambda: snapshot(local=True)):
            announce(f"downloading {asked} from the hub")
        with full_disk_named(Path(constants.HF_HUB_CACHE)):
            folder = snapshot(local=False)
    except InputError:
        raise
    except Exception as error:  # the client raises many unrelated types
        reason = _reason(error, name, revision)
        raise InputError(reason, field="model", value=asked) from error
    return Snapshot(folder, commit=folder.name)


def _works(action: Callable[[], object]) -> bool:
    try:
        action()
    except Exception:
        return False
    return True


def _reason(error: Exception, name: str, revision: str | None) -> str:
    """One line of what went wrong and what to do."""
    from huggingface_hub import constants, errors

    status = _status(error) or _status(error.__cause__)
    said = str(error).strip().split("\n")[0]
    if isinstance(error, errors.GatedRepoError):
        return (
            f"access to this model is restricted; ask for it at {constants.ENDPOINT}/"
            f"{name}, then log in (hf auth login, or set HF_TOKEN) with a token that "
            "has access."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return (
            f"the hub has this model, but no revision {revision or 'main'!r}; expected "
            "a branch, a tag or a whole commit."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return (
            "no such folder, and no such model on the hub; check the name, or, if it "
            "is private, log in (hf auth login, or set HF_TOKEN)."
        )
    if status in (401, 403):
        return (
            f"the hub refuses access ({status}); log in (hf auth login, or set "
            "HF_TOKEN) with a valid token that may read this model."
        )
    if isinstance(error, errors.LocalEntryNotFoundError):
        return _not_in_cache(error, status)
    if isinstance(error, errors.HfHubHTTPError):
        return f"the hub cannot give it ({said}); try again later."
    if isinstance(error, ValueError):
        return f"no such folder, and no hub id either: {said}"
    return (
        f"the download broke off ({type(error).__name__}: {said}); run the same "
        "command again: files that came whole are kept."
    )


def _status(error: BaseException | None) -> int | None:
    """What a server answered."""
    return getattr(getattr(error, "response", None), "status_code", None)


def _not_in_cache(error: Exception, status: int | None) -> str:
    from huggingface_hub import constants, errors

    # A name of newer versions of the client.
    partly = isinstance(error, getattr(errors, "IncompleteSnapshotError", ()))
    where = "only partly in the cache" if partly else "not in the cache"
    if constants.HF_HUB_OFFLINE:
        return (
            f"no such folder, and it is {where} of the hub, while HF_HUB_OFFLINE=1 "
            "forbids to download it; unset that once where there is a network, or "
            "give a folder that has the files."
        )
    if status is not None:
        why = f"the hub answers {status}"
    else:
        why = f"the hub cannot be reached ({error.__cause__ or error})".split("\n")[0]
    return (
        f"{why}, and the model is {where}; try again, or give a folder that has the "
        "files."
    )
