"""The settings of templates that all commands with data share."""

from typing import Protocol, runtime_checkable

from ntkjax.data.templates import TemplateOptions, check_template_options


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


def check_template(settings: TemplateSettings) -> None:
    """Raises `InputError` for a value that no run can have."""
    check_template_options(template_options(settings))
