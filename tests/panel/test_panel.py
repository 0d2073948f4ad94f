"""Opening a panel, and going on without one: each way of having no GPIO is one sentence with a next step."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pivoice.clock import SystemClock
from pivoice.config import PanelConfig
from pivoice.panel.panel import NoPanel, Panel, open_panel
from pivoice.panel.patterns import PATTERNS
from pivoice.panel.simulated import SimulatedPanel

OPEN = (
    "import logging; logging.basicConfig(format='%(levelname)s %(message)s');"
    "from pivoice.clock import SystemClock;"
    "from pivoice.config import PanelConfig; from pivoice.panel.panel import open_panel;"
    "panel = open_panel(PanelConfig(light='none'), clock=SystemClock(), take=print, levels=print);"
    "print(type(panel).__name__); panel.close()"
)


def opened(config: PanelConfig) -> Panel:
    return open_panel(config, clock=SystemClock(), take=print, levels=lambda: (-120.0, -120.0))


def opened_elsewhere(before: str = "", **environment: str) -> tuple[str, str]:
    """Open the default panel in a process of its own; return the panel's name and what was logged."""
    env = {key: value for key, value in os.environ.items() if not key.startswith("GPIOZERO")}
    done = subprocess.run(
        [sys.executable, "-c", before + "\n" + OPEN],
        env={**env, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip(), done.stderr.strip()


def test_driver_none_is_silent(caplog: pytest.LogCaptureFixture) -> None:
    panel = opened(PanelConfig(driver="none"))
    panel.show(PATTERNS["listening"])
    panel.close()

    assert isinstance(panel, NoPanel)
    assert not caplog.records


def test_driver_simulated_needs_no_hardware() -> None:
    panel = opened(PanelConfig(driver="simulated"))

    assert isinstance(panel, SimulatedPanel)


def test_with_the_mock_pin_factory_the_real_panel_opens_on_any_machine() -> None:
    assert opened_elsewhere(GPIOZERO_PIN_FACTORY="mock") == ("HeaderPanel", "")


@pytest.mark.skipif(Path("/dev/gpiochip0").exists(), reason="this machine has GPIO")
def test_a_machine_without_gpio_gets_one_warning_and_no_buttons() -> None:
    name, logged = opened_elsewhere()

    assert name == "HeaderPanel"
    assert logged == (
        "WARNING panel: cannot open 'GPIO': this machine has no GPIO (/dev/gpiochip*); "
        'set panel.driver = "none"; going on without buttons and without lights on it'
    )


def test_a_missing_gpiozero_is_named_with_the_next_step() -> None:
    name, logged = opened_elsewhere("import sys; sys.modules['gpiozero'] = None")

    assert name == "HeaderPanel"
    assert "gpiozero is not installed" in logged
    assert 'pip install gpiozero lgpio, or set panel.driver = "none"' in logged
    assert len(logged.splitlines()) == 1


def test_a_pin_factory_that_does_not_exist_is_named() -> None:
    name, logged = opened_elsewhere(GPIOZERO_PIN_FACTORY="magic")

    assert name == "HeaderPanel"
    assert "'magic'" in logged
    assert len(logged.splitlines()) == 1


def test_the_fallback_warns_once(caplog: pytest.LogCaptureFixture) -> None:
    os.environ["GPIOZERO_PIN_FACTORY"] = "magic"
    try:
        panel = opened(PanelConfig(light="none"))
    finally:
        del os.environ["GPIOZERO_PIN_FACTORY"]

    panel.show(PATTERNS["muted"])
    panel.close()

    assert [record.levelno for record in caplog.records] == [logging.WARNING]
