"""Records: small JSON files that know their own bytes.

A record is a mapping with one more entry, a checksum of all others, so that a flipped
byte shows even where a record still reads as JSON.
"""

import hashlib
import json
from typing import Any

from ntkjax.store.atomic import json_text, write_json
from ntkjax.store.run_path import RunPath


_CHECKSUM = "checksum"


def write_record(path: RunPath, values: dict[str, Any]) -> None:
    """Writes plain values and their checksum.

    Raises:
        InputError: If the disk is full.
    """
    write_json(path, {**values, _CHECKSUM: _checksum(values)})


def read_record(path: RunPath) -> dict[str, Any] | None:
    """What `write_record` wrote; None if it is missing or damaged."""
    try:
        record = json.loads(path.read_bytes())
        found = record.pop(_CHECKSUM)
        return record if found == _checksum(record) else None
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError, RecursionError):
        return None
    except (ValueError, KeyError, AttributeError, TypeError):  # other JSON, or none
        return None


def _checksum(values: dict[str, Any]) -> str:
    return hashlib.sha256(json_text(values).encode()).hexdigest()
