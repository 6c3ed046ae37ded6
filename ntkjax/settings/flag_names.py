"""How a setting is called on the command line."""


def flag_of(name: str) -> str:
    """The flag of a setting.

    >>> flag_of("training.warmup_share")
    '--training.warmup-share'
    """
    return f"--{name.replace('_', '-')}"
