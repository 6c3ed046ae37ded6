"""Settings of `ntkjax data`, and the checks that need no file."""

from dataclasses import dataclass
from pathlib import Path

from ntkjax.data.templates import DEFAULT_TEMPLATE
from ntkjax.rules import FILES, at_least, check
from ntkjax.settings.template import TEXT_RULES


@dataclass(frozen=True)
class DataSettings:
    """What does a model read of these files, and what of it is to be predicted?

    Attributes:
        model: Hugging Face folder or hub id; no weights are read.
        data: One file of examples or more; the formats stand below.
        show: Print the first so many examples as the model reads them, targets marked.
        max_length: Longest example in tokens; longer ones are cut.
        template: How examples become text: plain (prompt, line feed, response), chat
            (the tokenizer's own template), or auto: chat for records with messages.
        train_on: Which answers of a chat are targets: all, or the last.
        template_date: What a chat template is told when it asks for today's date.
    """

    model: str
    data: tuple[Path, ...]
    show: int = 0
    max_length: int = 256
    template: str = "auto"
    train_on: str = "all"
    template_date: str = DEFAULT_TEMPLATE.date


_RULES = {**TEXT_RULES, "data": FILES, "show": at_least(0)}


def check_data_settings(settings: DataSettings) -> None:
    """Raises `InputError` for a value that no run can have."""
    check(settings, _RULES)
