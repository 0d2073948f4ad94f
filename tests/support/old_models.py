"""Where the models of an older openwakeword are: fetched at set-up by scripts/setup, never committed.

Its embedding has one ReLU and batch norm more in the first layer than that of the installed one, and
plain pip gives it on Python 3.12 and later: an engine must hear through both.
"""

from __future__ import annotations

import sys
from pathlib import Path

VERSION = "0.4.0"


def old_models() -> Path:
    """Return the directory of its .onnx files: melspectrogram, embedding_model, hey_jarvis_v0.1, ...

    Raises:
        FileNotFoundError: they were not fetched yet; the message tells how.
    """
    place = Path(sys.prefix, "share", "pivoice", f"openwakeword-{VERSION}")
    directory = place / "openwakeword" / "resources" / "models"
    if not (directory / "embedding_model.onnx").is_file():
        raise FileNotFoundError(f"no models in {directory}; fetch them with ./scripts/setup test")
    return directory
