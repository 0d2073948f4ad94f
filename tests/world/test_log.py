"""What the log and the status line tell of a conversation that is over."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pivoice.turn.events import SessionLost
from tests.support.world import World, live


@pytest.mark.parametrize(
    ("fault", "level"),
    [("", "INFO"), ("cap", "WARNING"), ("refused", "ERROR"), ("bad_key", "ERROR"), ("no_network", "ERROR")],
)
def test_an_end_is_told_as_loudly_as_somebody_must_act(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: str, level: str
):
    caplog.set_level("INFO")

    async def main(world: World) -> None:
        await world.ask("wake")
        world.daemon.post(SessionLost(world.daemon.turn.session, "for a reason", fault))

    live(main, tmp_path, toml='[wake]\nengine = "none"\n')

    told = [each.levelname for each in caplog.records if "for a reason" in each.getMessage()]
    assert told == [level]


@pytest.mark.parametrize(
    ("fault", "told"),
    [("", ""), ("cap", "minutes"), ("refused", "settings"), ("bad_key", "key"), ("no_network", "no way")],
)
def test_the_status_line_says_what_must_be_mended(tmp_path: Path, fault: str, told: str):
    async def main(world: World) -> None:
        await world.until(lambda: world.daemon.seen.hears, 5)
        await world.ask("wake")
        world.daemon.post(SessionLost(world.daemon.turn.session, "for a reason", fault))
        await asyncio.sleep(1)
        hears, *troubles = world.daemon.seen.sentence().split("; ")[1:]
        assert hears == "waiting for the button"
        assert [told in each for each in troubles] == ([True] if told else [])

    live(main, tmp_path, toml='[wake]\nengine = "none"\n')
