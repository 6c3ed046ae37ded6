"""The one error type for what a user can cause and mend."""


class InputError(ValueError):
    """Bad input: the message names the file, line, field or flag and says what to do.

    The command line prints the message alone and ends with exit code 2; any other
    exception is a defect of the program and keeps its traceback.
    """
