"""What outlives the process: whole or not at all, and never the end of anything."""

from __future__ import annotations

import json
import logging
import stat
from pathlib import Path

import pytest

from pivoice.records import Record

logger = logging.getLogger("a.room")


def record(path: Path | None) -> Record[dict[str, int]]:
    return Record(path, dict[str, int], logger=logger, forgets="the count", advice="free the disk")


def test_what_was_written_is_read_by_the_next_and_by_nobody_else(tmp_path: Path):
    path = tmp_path / "state" / "count.json"

    assert record(path).write({"n": 3})

    assert record(path).read() == {"n": 3}
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [each.name for each in path.parent.iterdir()] == ["count.json"]


def test_without_a_path_nothing_is_kept_and_nothing_is_wrong():
    assert record(None).write({"n": 3})
    assert record(None).read() is None


@pytest.mark.parametrize("content", [b"", b"{", b'{"n": "three"}', b"\xff", b"[" * 100_000])
def test_what_cannot_be_understood_is_put_aside(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "count.json"
    path.write_bytes(content)

    assert record(path).read() is None

    assert (tmp_path / "count.json.bad").read_bytes() == content
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    assert "the count begin anew" in caplog.text


def test_a_disk_that_is_full_is_told_once_and_leaves_the_old_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "count.json"
    kept = record(path)
    kept.write({"n": 1})
    (tmp_path / "count.json.new").mkdir()  # it cannot be written

    outcomes = [kept.write({"n": n}) for n in (2, 3)]

    assert outcomes == [False, False]
    assert json.loads(path.read_text()) == {"n": 1}
    assert len(caplog.records) == 1
    assert "a restart forgets the count; free the disk" in caplog.text
