"""Training states on disk, whole or not at all (orbax), the newest two of them.

Beside what orbax writes of a step lies its seal. A step without one was cut short, one
that its seal does not fit was damaged since, and neither is read.
"""

import contextlib
import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ntkjax.data.tokenizing import TokenizedExample
from ntkjax.devices.mesh import readable
from ntkjax.devices.teams import Team
from ntkjax.errors import InputError
from ntkjax.models.language_model import LanguageModel
from ntkjax.store.bucket import bucket_errors, reason_of
from ntkjax.store.folders import entries_of, make_folder, remove_folder
from ntkjax.store.run_path import RunPath, absolute, is_remote
from ntkjax.store.seals import damage, is_sealed, seal


_KEPT = 2
_SHARE = 10
"""Training takes at least this many times as long as saving."""


class Checkpoint(NamedTuple):
    """What was saved at a step.

    Attributes:
        step: Steps done.
        arrays: NumPy arrays by name, or by name and parameter path.
        facts: Plain values.
    """

    step: int
    arrays: dict[str, Any]
    facts: dict[str, Any]


class Checkpoints:
    """The checkpoints of one training in one folder.

    Of several processes the leading one writes; all of them read. At the beginning it
    removes checkpoints that are newer than the newest whole one: a kill cut them short,
    or they were damaged since.

    Args:
        folder: Where they are; made if absent.
        identity: A hash of everything that decides the training. A folder with
            checkpoints of another one is refused.
        team: The processes that train together.
        say: Called with a line where checkpoints were removed.

    Raises:
        InputError: If the folder cannot be written.
    """

    def __init__(
        self,
        folder: RunPath,
        identity: str,
        team: Team,
        say: Callable[[str], None] = lambda line: None,
    ):
        import orbax.checkpoint as orbax

        self._folder, self._identity, self._team = folder, identity, team
        self._say = say
        self._errors = bucket_errors() if is_remote(folder) else ()
        if team.leads:
            self._manager = self._opened(orbax)
        team.agrees(True)  # the folder is there now, and clean
        if not team.leads:
            self._manager = self._opened(orbax)
        self._args = orbax.args
        self._rest_until = 0.0

    def newest(self) -> Checkpoint | None:
        """The newest whole checkpoint.

        Raises:
            InputError: If it belongs to another training.
        """
        latest = self._manager.latest_step()
        number = np.array([-1 if latest is None else latest], np.int32)
        step = int(self._team.agree(number)[0])
        if step < 0:
            return None
        args = self._args
        with _quiet():
            found = self._manager.restore(
                step,
                args=args.Composite(
                    arrays=args.StandardRestore(), facts=args.JsonRestore()
                ),
            )
        facts = dict(found["facts"])
        if facts.pop("identity") != self._identity:
            raise InputError(
                f"{self._folder}: holds checkpoints of another training (other model, "
                "start, data or settings); choose a new folder."
            )
        return Checkpoint(step, found["arrays"], facts)

    def may_save(self) -> bool:
        """Whether saving again would still take a small share of the time."""
        return self._team.leads and time.monotonic() >= self._rest_until

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes a checkpoint and removes those that are too old.

        Raises:
            InputError: If the disk refuses; earlier checkpoints stay.
        """
        if not self._team.leads:
            return
        started = time.monotonic()
        args = self._args
        facts = {**checkpoint.facts, "identity": self._identity}
        content = args.Composite(
            arrays=args.StandardSave(checkpoint.arrays), facts=args.JsonSave(facts)
        )
        with _quiet():
            try:
                self._manager.save(checkpoint.step, args=content, force=True)
                seal(self._folder / str(checkpoint.step))
            except (OSError, ValueError, *self._errors) as error:
                reason = str(error).strip().split("\n")[0]
                raise InputError(
                    f"{self._folder}: the checkpoint of step {checkpoint.step} cannot "
                    f"be written ({reason}); make room and run again, earlier "
                    "checkpoints are whole."
                ) from error
        now = time.monotonic()
        self._rest_until = now + _SHARE * (now - started)

    def _opened(self, orbax):
        """The manager of a process on its own, whoever else is about."""
        own = jax.process_index()
        with _quiet():
            options = orbax.CheckpointManagerOptions(
                max_to_keep=_KEPT,
                enable_async_checkpointing=False,
                cleanup_tmp_directories=self._team.leads,
                create=False,
                read_only=not self._team.leads,
                multiprocessing_options=orbax.options.MultiprocessingOptions(
                    primary_host=own, active_processes={own}
                ),
            )
            try:
                if self._team.leads:
                    make_folder(self._folder)
                    self._drop_damaged()
                path = absolute(self._folder)
                return orbax.CheckpointManager(path, options=options)
            except (OSError, *self._errors) as error:
                reason = f"cannot be written: {error}"
                if is_remote(self._folder):
                    reason = reason_of(error)
                raise InputError(f"{self._folder}: {reason}.") from error

    def _drop_damaged(self) -> None:
        """Removes what is newer than the newest whole one, and says so.

        Before orbax looks: of damaged ones it makes errors of any kind.
        """
        names = (path.name for path in entries_of(self._folder))
        faults = []
        goes_on = "begins anew"
        for step in sorted((int(n) for n in names if n.isdecimal()), reverse=True):
            fault = _fault(self._folder / str(step))
            if fault is None:
                goes_on = f"goes on from step {step}"
                break
            remove_folder(self._folder / str(step))
            faults.append(f"the checkpoint of step {step} {fault}")
        if faults:
            self._say(f"{self._folder}: {', '.join(faults)}; the training {goes_on}.")

    def close(self) -> None:
        """Ends what orbax runs in the background."""
        with _quiet():
            self._manager.close()


def training_identity(
    model: LanguageModel,
    theta: Mapping[str, Any],
    data: Sequence[Sequence[TokenizedExample]],
    settings: Any,
    mask: Mapping[str, np.ndarray] | None = None,
) -> str:
    """SHA-256 of what decides a training.

    Of every frozen weight only the first row is looked at: other models differ there,
    and a large model need not be read.

    Args:
        model: The model.
        theta: θ at the start.
        data: Lists of examples, those of the validation too.
        settings: Anything whose `repr` says it all.
        mask: Which numbers of θ may move; None if all.
    """
    total = hashlib.sha256(repr((model.config, model.lora, settings)).encode())
    for name in sorted(model.weight_shapes):
        leaf = model.weight(name)
        total.update(f"{name} {leaf.shape} {leaf.dtype} ".encode())
        total.update(np.asarray(readable(leaf[0])).tobytes())
    for name, leaf in sorted(theta.items()):
        total.update(f"{name} {leaf.shape} ".encode())
        total.update(np.asarray(leaf).tobytes())
    for name, leaf in sorted((mask or {}).items()):
        total.update(f"mask {name} ".encode())
        total.update(np.packbits(leaf).tobytes())
    for examples in data:
        total.update(f"{len(examples)} examples ".encode())
        for example in examples:
            total.update(f"{len(example.tokens)} ".encode())
            total.update(example.tokens.tobytes() + example.targets.tobytes())
    return total.hexdigest()


def _fault(folder: RunPath) -> str | None:
    """What keeps a checkpoint from being read, as the end of a sentence."""
    if not is_sealed(folder):
        return "was not finished"
    found = damage(folder)
    return found and f"is damaged ({found})"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """No lines of orbax on standard error."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(before)
