"""One module per command: arguments to settings, results to the terminal."""
