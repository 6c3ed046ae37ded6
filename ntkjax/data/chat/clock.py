"""The date that chat templates see: a fixed one, whatever the day is.

Some templates write today's date into the system turn; the same files would give other
tokens tomorrow. They ask for it by the function `strftime_now`, or take the variable
`date_string`.
"""

import datetime
import functools
from typing import Any


# A macro of the same name hides the function: transformers lets no function through
# among a template's variables. The sign + keeps a line feed at the template's start.
_CLOCK = (
    "{% macro strftime_now(format) -%}"
    "{% set found = namespace(text=format) %}"
    "{% for directive, value in strftime_values.items() %}"
    "{% set found.text = found.text.replace(directive, value) %}"
    "{% endfor %}{{ found.text }}"
    "{%- endmacro +%}"
)
_DIRECTIVES = "aAwdebBhmyYDFHIMSTRpfjUWcxXGuVzZnt%"
_NUMBERS = "dmyHIMSj"


def with_clock(template: str) -> str:
    """The template, with `strftime_now` of `date_variables` if it uses that."""
    return _CLOCK + template if "strftime_now" in template else template


@functools.cache
def date_variables(date: str) -> dict[str, Any]:
    """The variables that tell a template of a date.

    Args:
        date: As YYYY-MM-DD; the time of day is midnight.
    """
    day = datetime.datetime.fromisoformat(date)
    values = {f"%{letter}": day.strftime(f"%{letter}") for letter in _DIRECTIVES}
    for letter in _NUMBERS:  # without leading zeros
        values[f"%-{letter}"] = str(int(values[f"%{letter}"]))
    return {"date_string": day.strftime("%d %b %Y"), "strftime_values": values}
