"""What the tests of whole processes share."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.stage import Stage


@pytest.fixture
def systemd(tmp_path: Path, stage: Stage) -> Iterator[socket.socket]:
    """What $NOTIFY_SOCKET names, to the daemon of `stage`; it kills it after 3 s without a sign of life."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listening:
        listening.bind(str(tmp_path / "notify"))
        listening.settimeout(20)
        stage.environment |= {"NOTIFY_SOCKET": str(tmp_path / "notify"), "WATCHDOG_USEC": "3000000"}
        yield listening
