"""The command `ntkjax`: arguments in, exit code out.

0 is success, 1 a failed check of `doctor`, 2 an error of the user's (one line on
standard error), 75 the loss of another process, 130 Ctrl-C. Anything else keeps its
traceback: it is a defect.
"""

import contextlib
import dataclasses
import importlib
import io
import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from ntkjax.errors import InputError
from ntkjax.settings.flag_names import flag_of


_NOTE = "Every flag can also stand in a YAML file given by --config FILE.yaml."


@dataclass(frozen=True)
class Command:
    """One subcommand.

    Attributes:
        summary: One line for `ntkjax --help`.
        load: Imports what the command needs; gives its settings type and its action.
    """

    summary: str
    load: Callable[[], tuple[type, Callable[[Any], int]]]


def _lazy(name: str, settings: str) -> Callable[[], tuple[type, Callable]]:
    """Loads the room of a command, `ntkjax.commands.NAME`, only when it is called."""

    def load() -> tuple[type, Callable[[Any], int]]:
        from ntkjax.devices.mesh import one_cpu_device_per_core

        if name != "doctor":  # it looks at the devices as they are
            one_cpu_device_per_core()
        module, _, type_name = settings.rpartition(".")
        found = getattr(importlib.import_module(f"ntkjax.{module}"), type_name)
        return found, getattr(_show(name), name)

    return load


def _show(name: str) -> Any:
    """The module that prints what the command of that name finds.

    If it has a function `choices`, `--help` prints what that gives below the flags.
    """
    return importlib.import_module(f"ntkjax.commands.{name}.show")


def _command(name: str, settings: str, summary: str) -> tuple[str, Command]:
    return name, Command(summary, _lazy(name, settings))


COMMANDS = dict(
    (
        _command(
            "fidelity",
            "commands.fidelity.settings.FidelitySettings",
            "exact against approximate kernels on your model",
        ),
        _command(
            "select",
            "commands.select.settings.SelectSettings",
            "the examples of a pool that help a small domain",
        ),
        _command(
            "merge",
            "commands.merge.settings.MergeSettings",
            "the jobs of `select --shard`, each with its own --out, as one run",
        ),
        _command(
            "plan",
            "commands.plan.settings.PlanSettings",
            "memory, time and disk of a selection before it runs",
        ),
        _command(
            "train",
            "commands.train.settings.TrainSettings",
            "LoRA or all weights, fine-tuned on your files",
        ),
        _command(
            "mask",
            "commands.mask.settings.MaskSettings",
            "which parameters to train, from the scores of a selection",
        ),
        _command(
            "evaluate",
            "commands.evaluate.settings.EvaluateSettings",
            "likelihoods, choices and answers of a model",
        ),
        _command(
            "data",
            "commands.data.settings.DataSettings",
            "what a model reads of your files, and which tokens are targets",
        ),
        _command(
            "demo",
            "commands.demo.settings.DemoSettings",
            "all of it on the embedded model, in a few minutes",
        ),
        _command(
            "doctor",
            "commands.doctor.show.DoctorSettings",
            "versions, devices, self-checks; do the hosts of a cluster agree",
        ),
    )
)


def main(arguments: list[str] | None = None) -> int:
    """Runs one command and returns its exit code."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        return _run(arguments)
    except InputError as error:
        print(f"ntkjax: {_speaker()}{error.told(flag_of)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("ntkjax: interrupted.", file=sys.stderr)
        return 130
    except RuntimeError as error:
        if not _is_one_of_several():
            raise
        return _end_after_a_loss(error)


def script() -> NoReturn:
    """The installed command: `main`, deaf to a second Ctrl-C while it shuts down."""
    code = main()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if code and _is_one_of_several():
        # JAX would wait for the others before it lets this process end.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _end_after_a_loss(error: RuntimeError) -> int:
    """75 if the error comes of another process's end; else raises it again.

    Where it may come of one, JAX is given time to find out which, and to end this one.
    """
    from ntkjax.devices import processes

    if processes.may_be_loss(error):
        processes.await_verdict()
    if not processes.is_loss(error):
        raise error
    reason = str(error).partition("\n")[0]
    print(
        f"ntkjax: {_speaker()}a process was lost ({reason}); what is written is kept: "
        "run the same command again, with any number of processes.",
        file=sys.stderr,
    )
    return 75


def _is_one_of_several() -> bool:
    processes = sys.modules.get("ntkjax.devices.processes")
    return processes is not None and processes.is_joined()


def _speaker() -> str:
    """Which of several processes says something, unless it is the first."""
    if not _is_one_of_several():
        return ""
    import jax

    index = jax.process_index()
    return f"process {index}: " if index else ""


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
    settings = _parse(name, settings_type, rest)
    _join_others(name, settings)
    return act(settings)


def _join_others(name: str, settings: Any) -> None:
    """Makes this process one of several, where its flags or the cluster say so."""
    devices = getattr(settings, "devices", None)
    if devices is None or name in ("plan", "doctor"):  # the doctor joins by itself
        return
    from ntkjax.settings.devices import meeting_of

    meeting = meeting_of(devices)
    if meeting is None:
        return
    from importlib import metadata

    from ntkjax.devices import processes
    from ntkjax.store.bucket import require_reachable
    from ntkjax.store.run_directory import NOTES

    # Before the others are waited for: what is wrong here is wrong in all of them.
    rules = importlib.import_module(f"ntkjax.commands.{name}.settings")
    getattr(rules, f"check_{name}_settings")(settings)
    require_reachable(settings.out, "out")
    processes.join(meeting, settings.out / NOTES)
    if not processes.is_first():
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  one speaks for all
    versions = {n: metadata.version(n) for n in ("ntkjax", "jax", "jaxlib")}
    own = dataclasses.asdict(settings)
    own["devices"].pop("process_id")
    processes.require_same({**own, "versions": versions})


def _parse(name: str, settings_type: type, arguments: list[str]) -> Any:
    """Settings from flags, over those of `--config`, over the defaults."""
    import tyro

    from ntkjax.settings.config_file import read_config_file

    arguments, config = _take_config(arguments)
    given = {}
    if config is not None:
        found = read_config_file(config, settings_type)
        given["default"] = _unfinished(settings_type, found, tyro.MISSING)
    summary = (settings_type.__doc__ or "").partition("\n")[0]
    printed = io.StringIO()
    try:
        with contextlib.redirect_stderr(printed):
            return tyro.cli(
                settings_type,
                prog=f"ntkjax {name}",
                description=f"{summary} {_NOTE}",
                args=arguments,
                **given,
            )
    except SystemExit as stop:
        if not stop.code:
            _print_choices(name)
            raise
        raise InputError(_one_line(printed.getvalue())) from None


def _print_choices(name: str) -> None:
    choices = getattr(_show(name), "choices", None)
    if choices is not None:
        from rich.console import Console

        Console(highlight=False).print(choices())


def _unfinished(settings_type: type, found: dict[str, Any], missing: Any) -> Any:
    """Settings with `missing` where a flag is required and not found.

    Not by the constructor, since `missing` is of no field's type.
    """
    settings = object.__new__(settings_type)
    for field in dataclasses.fields(settings_type):
        value = missing
        if field.name in found:
            value = found[field.name]
        elif field.default is not dataclasses.MISSING:
            value = field.default
        elif field.default_factory is not dataclasses.MISSING:
            value = field.default_factory()
        object.__setattr__(settings, field.name, value)
    return settings


def _one_line(box: str) -> str:
    """The text of tyro's error box, without the frame and the pointer to --help."""
    text = " ".join(line.strip("│╭╮╰╯─ ") for line in box.splitlines())
    text = " ".join(re.sub("-{5,}", " ", text).split())  # a frame in ASCII
    text = text.removeprefix("Value error ").removeprefix("Error parsing ")
    for more in (" Argument helptext", " For full helptext"):
        text = text.partition(more)[0]
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
