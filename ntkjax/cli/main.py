"""The command `ntkjax`: arguments in, exit code out.

0 is success, 1 a failed check of `doctor`, 2 an error of the user's (one line on
standard error), 130 Ctrl-C. Anything else keeps its traceback: it is a defect.
"""

import contextlib
import dataclasses
import io
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ntkjax.errors import InputError


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes:
        summary: One line for `ntkjax --help`.
        load: Imports what the command needs; gives its settings type and its action.
    """

    summary: str
    load: Callable[[], tuple[type, Callable[[Any], int]]]


def _fidelity() -> tuple[type, Callable[[Any], int]]:
    from ntkjax.cli.fidelity import fidelity
    from ntkjax.devices.mesh import one_cpu_device_per_core
    from ntkjax.pipeline.fidelity import FidelitySettings

    one_cpu_device_per_core()
    return FidelitySettings, fidelity


def _doctor() -> tuple[type, Callable[[Any], int]]:
    from ntkjax.cli.doctor import DoctorSettings, doctor

    return DoctorSettings, doctor


COMMANDS = {
    "fidelity": Command("exact against approximate kernels on your model", _fidelity),
    "doctor": Command("versions, devices, and numerical self-checks", _doctor),
}


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return _run(arguments)
    except InputError as error:
        print(f"ntkjax: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ntkjax: interrupted.", file=sys.stderr)
        return 130


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_usage())
        return 0
    if arguments[0] == "--version":
        import importlib.metadata

        print(importlib.metadata.version("ntkjax"))
        return 0
    name, *rest = arguments
    if name not in COMMANDS:
        raise InputError(
            f"unknown command {name!r}; there are {', '.join(COMMANDS)} "
            "(ntkjax --help)."
        )
    _quiet_libraries()
    settings_type, act = COMMANDS[name].load()
    return act(_parse(name, settings_type, rest))


def _parse(name: str, settings_type: type, arguments: list[str]) -> Any:
    """Settings from flags, over those of `--config`, over the defaults."""
    import tyro

    from ntkjax.cli.config_file import read_config_file

    arguments, config = _take_config(arguments)
    given = {}
    if config is not None:
        required = {
            field.name: tyro.MISSING
            for field in dataclasses.fields(settings_type)
            if field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
        }
        found = read_config_file(config, settings_type)
        given["default"] = settings_type(**{**required, **found})
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(
                settings_type, prog=f"ntkjax {name}", args=arguments, **given
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        raise InputError(_one_line(printed.getvalue())) from None


def _one_line(box: str) -> str:
    """The text of tyro's error box, without the frame and the pointer to --help."""
    text = " ".join(line.strip("│╭╮╰╯─ ") for line in box.splitlines())
    text = " ".join(text.split()).split(" For full helptext", maxsplit=1)[0]
    return text.removesuffix(":").strip() + " (--help lists the flags)."


def _take_config(arguments: list[str]) -> tuple[list[str], Path | None]:
    rest, config = [], None
    position = 0
    while position < len(arguments):
        word = arguments[position]
        if word == "--config" or word.startswith("--config="):
            inline = word.partition("=")[2]
            if not inline:
                position += 1
                if position == len(arguments):
                    raise InputError("--config needs a YAML file.")
                inline = arguments[position]
            config = Path(inline)
        else:
            rest.append(word)
        position += 1
    return rest, config


def _usage() -> str:
    width = max(map(len, COMMANDS)) + 2
    rows = "\n".join(f"  {n:<{width}}{c.summary}" for n, c in COMMANDS.items())
    return (
        "usage: ntkjax COMMAND [--config FILE.yaml] [flags]\n\n"
        "Neural tangent kernels of LoRA-adapted language models.\n\n"
        f"commands:\n{rows}\n\n"
        "ntkjax COMMAND --help lists the flags of a command; --version prints the "
        "version."
    )


def _quiet_libraries() -> None:
    """No chatter of libraries on standard error: only our own lines and errors."""
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
