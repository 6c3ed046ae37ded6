"""The one error type for what a user can cause and mend."""

import re
from collections.abc import Callable


_MARK = "\x1f"
_MARKED = re.compile(f"{_MARK}([^{_MARK}]+){_MARK}")


def setting(name: str) -> str:
    """The name of a setting, such as "lora.rank", to stand in an error's message.

    In `str(error)` it is that name, on the command line the flag.
    """
    return f"{_MARK}{name}{_MARK}"


class InputError(ValueError):
    """Bad input: one line that names file, line, field or setting and says what to do.

    The command line prints the line alone, with flags for settings, and ends with exit
    code 2; any other exception is a defect of the program and keeps its traceback.

    >>> str(InputError("expected at least 1.", field="lora.rank", value=0))
    'lora.rank 0: expected at least 1.'

    Attributes:
        message: What was expected and what to do, with other settings by `setting`.
        field: The setting that is wrong, dotted; None where something else is.
        value: What it is; None where that is not said.
    """

    def __init__(
        self, message: str, *, field: str | None = None, value: object = None
    ) -> None:
        """Takes the parts of the line."""
        self.message, self.field, self.value = message, field, value
        super().__init__(self.told(str))

    def told(self, name_of: Callable[[str], str]) -> str:
        """The line, each setting named as `name_of` wants it.

        >>> error = InputError(f"raise {setting('max_length')}.", field="num")
        >>> error.told(str.upper)
        'NUM: raise MAX_LENGTH.'
        """
        line = self.message
        if self.field is not None:
            shown = "" if self.value is None else f" {self.value}"
            line = f"{setting(self.field)}{shown}: {line}"
        return _MARKED.sub(lambda found: name_of(found[1]), line)
