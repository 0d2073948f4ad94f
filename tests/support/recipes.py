"""Recipes of config/recipes, read and run as their owner would."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

from pivoice import config
from pivoice.config import ToolsConfig
from pivoice.secrecy import Secrets
from pivoice.tools.commands import open_commands
from pivoice.tools.registry import Registry

ROOT = Path(__file__).resolve().parent.parent.parent
RECIPES = ROOT / "config/recipes"
INSTALLED = "/usr/local/lib/pivoice"
TOKEN = "eyJhbGciOiJIUzI1NiJ9.aGFzcy10b2tlbg.c2lnbmF0dXJl"


def read(name: str, **instead: str) -> config.Config:
    """Return the recipe as configuration; `instead`: texts of the file, and what stands in for them."""
    text = (RECIPES / name).read_text().replace(f'"{INSTALLED}/', f'"{RECIPES}/')
    for old, new in instead.items():
        assert old in text
        text = text.replace(old, new)
    return config.parse(text)


def registry(tools: ToolsConfig, tmp_path: Path) -> Registry:
    found = Registry(tools, secrets=Secrets())
    found.put("command", open_commands(tools, {}, tmp_path))
    return found


def call(tools: Registry, name: str, arguments: dict[str, object]) -> tuple[Any, bool]:
    """Return what the agent is told, and whether it is an error."""
    answer = asyncio.run(tools.run(name, arguments))
    return json.loads(answer.text), answer.is_error


def keep_token(folder: Path) -> Path:
    """Return a file of the kind that README has an owner make."""
    path = folder / "home-assistant.token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o640)
    return path
