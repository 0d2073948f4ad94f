"""What the configuration means to the parts."""

from __future__ import annotations

import dataclasses

from pivoice import fitting
from pivoice.config import Config, TurnConfig


def test_every_wait_of_the_turn_is_as_long_as_its_setting():
    names = [each.name for each in dataclasses.fields(TurnConfig)]
    config = Config(turn=TurnConfig(**{name: 100.0 + number for number, name in enumerate(names)}))

    waits = dataclasses.asdict(fitting.deadlines(config))

    assert {name: waits[name] for name in names} == dataclasses.asdict(config.turn)
