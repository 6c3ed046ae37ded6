"""Arguments to the settings of a command, and its outcome to an exit code."""
