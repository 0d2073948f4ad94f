"""The bench of the buttons measures real presses, and fails where they are slow."""

from __future__ import annotations

import argparse
import importlib
from pathlib import Path

import gpiozero
import pytest

SCRIPTS = Path(__file__).resolve().parent.parent / "scripts"


def test_each_kind_of_press_is_measured(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(str(SCRIPTS))
    monkeypatch.setattr(gpiozero.Device, "pin_factory", None)
    monkeypatch.setenv("GPIOZERO_PIN_FACTORY", "mock")
    bench = importlib.import_module("bench_button")

    figures = bench.bench_button(argparse.Namespace(count=2))

    assert [figure.limit for figure in figures] == [50, None, 50, None, None]
    assert all(0 < figure.value < 5000 for figure in figures)
