import dataclasses
import pathlib

import pytest

from ntkjax.commands.data.settings import DataSettings, check_data_settings
from ntkjax.commands.evaluate.settings import EvaluateSettings, check_evaluate_settings
from ntkjax.commands.fidelity.settings import FidelitySettings, check_fidelity_settings
from ntkjax.commands.select.settings import SelectSettings, check_select_settings
from ntkjax.commands.train.settings import TrainSettings, check_train_settings
from ntkjax.data.templates import DEFAULT_TEMPLATE, TemplateOptions
from ntkjax.errors import InputError
from ntkjax.rules import check as check_rules
from ntkjax.settings.template import TEXT_RULES, template_options


FILES, OUT = (pathlib.Path("f"),), pathlib.Path("out")
ALL = {
    "fidelity": (FidelitySettings("m", FILES, FILES, OUT), check_fidelity_settings),
    "select": (SelectSettings("m", FILES, FILES, OUT, budget=1), check_select_settings),
    "train": (TrainSettings("m", FILES, OUT), check_train_settings),
    "evaluate": (EvaluateSettings("m", FILES, OUT), check_evaluate_settings),
    "data": (DataSettings("m", FILES), check_data_settings),
}
DEFAULT_TARGETS = dict.fromkeys(ALL, "all") | {"evaluate": "last"}


@pytest.mark.parametrize("command", ALL)
def test_every_command_with_data_has_them(command):
    settings, check = ALL[command]
    check(settings)
    default = dataclasses.replace(DEFAULT_TEMPLATE, train_on=DEFAULT_TARGETS[command])
    assert template_options(settings) == default
    changes = {"template": "chat", "train_on": "last", "template_date": "1999-12-31"}
    changed = dataclasses.replace(settings, **changes)
    check(changed)
    assert template_options(changed) == TemplateOptions("chat", "last", "1999-12-31")
    for name in changes:
        wrong = dataclasses.replace(settings, **{name: "x"})
        with pytest.raises(InputError, match=f"{name} x: expected"):
            check(wrong)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"template": "jinja"}, "template jinja: expected one of auto, plain, chat."),
        ({"train_on": "first"}, "train_on first: expected one of all, last."),
        ({"template_date": "today"}, "template_date today: expected a date as YYYY-MM"),
        ({"template_date": "2024-02-30"}, "template_date 2024-02-30: expected a date"),
        ({"template_date": "20240726"}, "template_date 20240726: expected a date"),
        ({"template_date": ""}, "template_date : expected a date"),
        ({"max_length": 0}, "max_length 0: expected at least 1."),
    ],
)
def test_what_texts_cannot_be(changes, message):
    settings, _ = ALL["data"]
    with pytest.raises(InputError) as caught:
        check_rules(dataclasses.replace(settings, **changes), TEXT_RULES)
    assert str(caught.value).startswith(message)
