"""Where wake-word models are: the files inside the openwakeword package, and the owner's own.

Finds files and says what is wrong with them; never loads one, never downloads one, and never imports
openwakeword: that costs a second and 143 MB (most of it scikit-learn), and we want only its files.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
import stat
from collections.abc import Callable
from pathlib import Path

from pivoice.errors import ConfigError, Fault

KEY = "wake.models"
"""The setting that every fault here is about."""

INSTALL = "pip install --no-deps openwakeword==0.5.1"
"""What gives the models, whatever is there now."""

UNKNOWN_CONTENT = "is damaged, cut short, or of another kind"
"""What `describe_content` says of a file that tells nothing by its first bytes."""

# In the package, but not wake words: the front end, a voice detector, and two command models of other shapes.
_NOT_WAKE_WORDS = frozenset({"melspectrogram", "embedding_model", "silero_vad", "timer", "weather"})
_VERSION = re.compile(r"_v\d+(\.\d+)*$")  # hey_jarvis_v0.1 is called hey_jarvis


def find_model(name_or_path: str) -> Path:
    """Return the .onnx file of a bundled name ("hey_jarvis") or of a path ("/etc/pivoice/hey_pi.onnx").

    Raises:
        ConfigError: there is none; says where was searched and which names there are.
    """
    if _is_path(name_or_path):
        return file_at(
            name_or_path, otherwise=lambda: f"give the path of an .onnx file, or one of {_names()}"
        )
    bundled = bundled_models()
    if name_or_path in bundled:
        return bundled[name_or_path]
    near = difflib.get_close_matches(name_or_path.lower().replace(" ", "_").replace("-", "_"), bundled, 1)
    hint = f"did you mean {near[0]}? " if near else ""
    raise fault(
        f"no wake word {name_or_path!r} in {bundled_directory()}; {hint}"
        f"There are {_names()}; your own is given by the path of its .onnx file"
    )


def bundled_models() -> dict[str, Path]:
    """Return the wake words that the installed openwakeword carries, by name.

    Raises:
        ConfigError: the package is missing, or is one of those without models inside.
    """
    directory = bundled_directory()
    files = {_VERSION.sub("", path.stem): path for path in sorted(directory.glob("*.onnx"))}
    return {name: path for name, path in files.items() if name not in _NOT_WAKE_WORDS}


def front_end_models() -> tuple[Path, Path]:
    """Return the two files every wake word is heard through: the mel spectrogram's and the embedding's.

    Raises:
        ConfigError: as `bundled_models`.
    """
    directory = bundled_directory()
    return directory / "melspectrogram.onnx", directory / "embedding_model.onnx"


def bundled_directory() -> Path:
    """Return the directory of openwakeword's own models, without importing the package.

    Raises:
        ConfigError: as `bundled_models`.
    """
    spec = importlib.util.find_spec("openwakeword")
    if spec is None or not spec.submodule_search_locations:
        raise fault(
            f'the package openwakeword, which holds the models, is not installed; run "{INSTALL}", '
            'or set wake.engine = "none" for the button alone',
            key="wake.engine",
        )
    directory = Path(spec.submodule_search_locations[0], "resources", "models")
    for needed in ("melspectrogram.onnx", "embedding_model.onnx"):
        if not (directory / needed).is_file():
            # 0.6.0 downloads its models at run time; a daemon must not
            raise fault(
                f'openwakeword has no {needed} in {directory}; run "{INSTALL}", which has its models inside'
            )
    return directory


def file_at(path: Path | str, *, otherwise: Callable[[], str]) -> Path:
    """Return the file at `path`, which is the owner's own. `otherwise` says what else may be given.

    Raises:
        ConfigError: there is none, or it cannot be come at; says why.
    """
    try:
        found = Path(path).expanduser()
        mode = found.stat().st_mode
    except (FileNotFoundError, NotADirectoryError, ValueError):
        what = "there is no such file"
    except PermissionError:  # homes are closed to others on Raspberry Pi OS, and the service is another user
        what = "a directory on the way to it is closed to this user; move the file to /etc/pivoice"
        raise fault(f"{str(path)!r}: {what}") from None
    except (OSError, RuntimeError) as error:  # a loop of links, too long a name, a home that nobody has
        what = f"cannot be found ({getattr(error, 'strerror', None) or error})"
    else:
        if stat.S_ISREG(mode):
            return found
        what = "is a directory" if stat.S_ISDIR(mode) else "is no ordinary file"  # reading a pipe never ends
    raise fault(f"{str(path)!r}: {what}; {otherwise()}")


def fault(problem: str, *, key: str = KEY) -> ConfigError:
    """Return the error of one fault in the wake settings."""
    return ConfigError([Fault(key, problem)])


def describe_content(path: Path) -> str:
    """Say what a file is that could not be loaded as a model: "is text", "is a TensorFlow Lite model"."""
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    if not head:
        return "is empty"
    if head[4:8] == b"TFL3":
        return "is a TensorFlow Lite model"
    if head.startswith(b"version https://git-lfs"):
        return "is a Git LFS pointer, not the file itself"
    if head.startswith((b"PK\x03\x04", b"\x1f\x8b")):
        return "is an archive"
    if all(char.isprintable() or char.isspace() for char in head.decode("utf-8", "replace")):
        return "is text"
    return UNKNOWN_CONTENT


def _is_path(name_or_path: str) -> bool:
    return "/" in name_or_path or name_or_path.endswith((".onnx", ".tflite"))


def _names() -> str:
    return ", ".join(bundled_models())
