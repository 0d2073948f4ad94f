"""Where the other wake-word engines of `scripts/bench wake` live: an environment of the bench's own.

Made once by pip, as it is configured on this machine, from scripts/requirements/wake-bench.txt, and kept in
.venv/share/pivoice/bench-wake. Nothing of it is ever in reach of the daemon, and nothing of ours is installed
there: what runs in it is named wake_*.py and started by path.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

SCRIPTS = Path(__file__).resolve().parent
HOME = Path(sys.prefix) / "share" / "pivoice" / "bench-wake"
PYTHON = HOME / "venv" / "bin" / "python"
ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "ORT_DISABLE_TELEMETRY": "1"}
"""What every process that is measured gets: idle threads that spin would be somebody's CPU time."""
_LOCK = SCRIPTS / "requirements" / "wake-bench.txt"
_PIP = ("-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet", "install", "--no-deps")
_PIP_OPTIONS = ("--progress-bar", "off", "--only-binary", ":all:", "--require-hashes", "-r")
# pip in a virtual environment must not be told to install elsewhere
_ELSEWHERE = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_REQUIRE_VIRTUALENV", "PYTHONHOME", "PYTHONPATH")


class LackingError(Exception):
    """Something that is not ours is not to be had; the sentence says what, and what is left out."""


def make() -> list[str]:
    """Make the environment if it is not there; return a line for each package that cannot be installed."""
    stamp = HOME / "stamp"
    if stamp.exists() and stamp.read_text() == _fingerprint() and PYTHON.exists():
        return []
    HOME.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    print("making an environment for the other wake-word engines (a minute, once)", file=sys.stderr)
    made = _run([sys.executable, "-m", "venv", "--clear", str(PYTHON.parent.parent)])
    if made.returncode:
        raise LackingError(f"cannot make an environment in {HOME}: {_last_line(made)}")
    if _install(_LOCK).returncode == 0:
        stamp.write_text(_fingerprint())
        return []
    return list(_install_one_by_one())


def run(script: str, *arguments: str) -> None:
    """Run one of our scripts in the environment.

    Raises:
        LackingError: it failed; with its last words.
    """
    done = _run([str(PYTHON), str(SCRIPTS / script), *arguments])
    if done.returncode:
        raise LackingError(f"{script} {arguments[0]}: {_last_line(done)}")


def _install_one_by_one() -> Iterator[str]:
    """Install what can be: one package that has no wheel here must not cost the others."""
    alone = HOME / "alone.txt"
    for block in re.findall(r"^\S+==(?:.*\\\n)*.*\n", _LOCK.read_text(), re.MULTILINE):
        alone.write_text(block)
        done = _install(alone)
        if done.returncode:
            yield f"{block.split()[0]} cannot be installed: {_last_line(done)}"


def _install(requirements: Path) -> subprocess.CompletedProcess[str]:
    return _run([str(PYTHON), *_PIP, *_PIP_OPTIONS, str(requirements)])


def _run(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    inherited = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    return subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
        env=inherited | ONE_THREAD,
    )


def _last_line(done: subprocess.CompletedProcess[str]) -> str:
    lines = (done.stderr or done.stdout).strip().splitlines()
    return lines[-1] if lines else f"it ended with {done.returncode}"


def _fingerprint() -> str:
    """Return what the environment depends on; an environment that was moved is another one."""
    parts = [_LOCK.read_text(), sys.version, str(HOME)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()
