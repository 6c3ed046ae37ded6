"""The model of a run, at the commit of the hub that the run began with.

A branch of the hub may move between two calls of the same command. The second call
then still finds the first one's run, and goes on with the same weights.
"""

from typing import Any

from ntkjax.checkpoints.hub import parse_id
from ntkjax.checkpoints.loading import FoundModel, locate_model
from ntkjax.models.language_model import LanguageModel
from ntkjax.runs.progress import announce
from ntkjax.store.records import read_record
from ntkjax.store.run_directory import MANIFEST
from ntkjax.store.run_path import RunPath


def pinned_model(model: str, out: RunPath) -> FoundModel:
    """The model for a run in `out`, which may have begun before.

    Raises:
        InputError: If it cannot be found.
    """
    return locate_model(model, _commit_of(model, out), announce)


def model_facts(found: FoundModel, model: LanguageModel) -> dict[str, Any]:
    """What a manifest says of the model beside its hash; its type is the weights'."""
    weight = next(iter(model.frozen.values()))
    return {
        "model": {
            "id": found.id,
            "revision": found.revision,
            "commit": found.commit,
            "dtype": weight.dtype.name,
        }
    }


def _commit_of(model: str, out: RunPath) -> str | None:
    """The commit in the manifest of a run with this very model."""
    parsed = parse_id(model)
    if parsed is None:
        return None
    try:
        manifest = read_record(out / MANIFEST)
    except OSError:  # said where the directory is opened
        return None
    if manifest is None or "model" not in manifest:
        return None
    before = manifest["model"]
    same = (before.get("id"), before.get("revision")) == parsed
    return before.get("commit") if same else None
