"""The model that comes with the package: 1.4M parameters, for demos and notebooks."""

from pathlib import Path


EMBEDDED_MODEL = Path(__file__).parent / "embedded_model"
"""Its folder, in Hugging Face format; its README says how it was trained."""
