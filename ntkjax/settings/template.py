"""The settings that all commands with data share: how long texts are, and how made."""

import datetime
from typing import Protocol, runtime_checkable

from ntkjax.data.templates import (
    DEFAULT_TEMPLATE,
    TEMPLATES,
    TRAIN_ON,
    TemplateOptions,
)
from ntkjax.rules import COUNT, Rule, one_of


@runtime_checkable
class TemplateSettings(Protocol):
    """Settings with the flags --template, --train-on and --template-date."""

    @property
    def template(self) -> str: ...
    @property
    def train_on(self) -> str: ...
    @property
    def template_date(self) -> str: ...


def template_options(settings: TemplateSettings) -> TemplateOptions:
    """How the settings want examples to become text."""
    return TemplateOptions(settings.template, settings.train_on, settings.template_date)


def _is_date(text: str) -> bool:
    try:
        return datetime.date.fromisoformat(text).isoformat() == text
    except ValueError:
        return False


TEXT_RULES = {
    "template": one_of(TEMPLATES),
    "train_on": one_of(TRAIN_ON),
    "template_date": Rule(
        _is_date, f"a date as YYYY-MM-DD, such as {DEFAULT_TEMPLATE.date}"
    ),
    "max_length": COUNT,
}
"""Rules of `ntkjax.rules` for these settings."""
