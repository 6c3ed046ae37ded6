"""A run directory of several processes: the first one writes, all of them may read."""

from typing import Any

from ntkjax.devices import processes
from ntkjax.store.polling import wait_until
from ntkjax.store.run_directory import open_run, read_json
from ntkjax.store.run_path import RunPath


def open_shared_run(
    out: RunPath,
    settings: dict[str, Any],
    inputs: dict[str, str],
    facts: dict[str, Any] | None = None,
) -> RunPath:
    """`open_run` by the first process; the others return when it is done.

    Raises:
        InputError: As `open_run`, or if the inputs differ from process to process.
    """
    processes.require_same({f"file {name}": value for name, value in inputs.items()})
    if processes.is_first():
        open_run(out, settings, inputs, facts)
    processes.from_first(None)
    return out


def is_finished(result: RunPath) -> bool:
    """Whether the first process finds the result of the run; all must call this."""
    return processes.from_first(result.exists())


def result_of_first(result: RunPath) -> Any:
    """The result that the first process writes, when it is there."""
    wait_until(result.exists)
    return read_json(result)
