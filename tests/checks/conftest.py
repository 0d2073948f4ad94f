"""A fake Pi for every test that asks for one."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.checks.pi import FakePi


@pytest.fixture
def pi(tmp_path: Path) -> FakePi:
    return FakePi(tmp_path)
