"""Pages about the package, and the script that draws what follows from its code."""
