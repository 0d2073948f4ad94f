#!/usr/bin/env python3
"""Write what is derived from the code: config/pivoice.toml, the light's picture, README's tables and diagram.

Run as `.venv/bin/python scripts/generate.py`; with `--check` it writes nothing and fails if a file is stale
(a test does that).
"""

from __future__ import annotations

import ast
import itertools
import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from light_picture import light_picture, light_table  # noqa: E402

from pivoice import config  # noqa: E402
from pivoice.turn.diagram import diagram  # noqa: E402

_LANGUAGES = {".toml": "toml", ".py": "python", "": "sh"}  # of recipes, by the ends of their names

HEAD = """\
# pivoice's settings: each with its default, commented out. Uncomment a line to change it.
# `pivoice config --check` says whether the file is right. A line with ## has no default: it is unset.
# Written by scripts/generate.py from pivoice/sections.py.
"""


def main() -> int:
    readme = ROOT / "README.md"
    text = readme.read_text() if readme.exists() else ""
    text = _replace(text, "settings", _table())
    text = _replace(text, "light", light_table())
    text = _replace(text, "diagram", f"```mermaid\n{diagram().strip()}\n```")
    text = _with_recipes(text)
    made = {
        ROOT / "config/pivoice.toml": _toml(),
        ROOT / "config/light.svg": light_picture(),
        readme: text,
    }
    stale = [path for path, content in made.items() if not path.exists() or path.read_text() != content]
    if "--check" in sys.argv:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is stale; run .venv/bin/python scripts/generate.py")
        return 1 if stale else 0
    for path in stale:
        path.write_text(made[path])
        print(f"wrote {path.relative_to(ROOT)}")
    return 0


def _documented() -> Iterator[tuple[config.Setting, str]]:
    """Yield every setting with the line that follows its field in the source."""
    # a list of sections is named as one of them: panel.button, ButtonConfig
    sources = sorted((ROOT / "pivoice").glob("sections*.py"))
    lines: dict[tuple[str, str], str] = {}
    for node in itertools.chain.from_iterable(ast.parse(source.read_text()).body for source in sources):
        if isinstance(node, ast.ClassDef):
            for field, after in zip(node.body, node.body[1:], strict=False):
                is_field = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
                if is_field and isinstance(after, ast.Expr) and isinstance(after.value, ast.Constant):
                    lines[node.name, field.target.id] = " ".join(str(after.value.value).split())
    for setting in config.settings():
        section, name = setting.key.rsplit(".", 1)
        owner = "".join(part.title() for part in section.split(".")[-1].split("_")) + "Config"
        yield setting, lines[owner, name]


def _toml() -> str:
    out, section = [HEAD], ""
    for setting, doc in _documented():
        now, name = setting.key.rsplit(".", 1)
        if now != section:
            section = now
            out.append(f"\n## [[{section}]]\n" if setting.table else f"\n[{section}]\n")
        out.append(f"# {doc} ({setting.allowed})\n")
        if setting.default is None or setting.table:
            default = "" if setting.default is None else f" {json.dumps(setting.default)}"
            out.append(f"## {name} ={default}{'   (it must be there)' if setting.is_required else ''}\n")
        else:
            out.append(f"#{name} = {json.dumps(setting.default)}\n")
    return "".join(out)


def _table() -> str:
    rows = ["| setting | default | what it does |", "|---|---|---|"]
    for setting, doc in _documented():
        unset = "must be there" if setting.is_required else "unset"
        default = unset if setting.default is None else f"`{json.dumps(setting.default)}`"
        if len(default) > 60:
            default = "a short prompt"
        key = setting.key.replace(setting.table, f"[[{setting.table}]]", 1) if setting.table else setting.key
        rows.append(f"| `{key}` | {default} | {doc} |")
    return "\n".join(rows)


def _with_recipes(text: str) -> str:
    """Put every recipe of config/recipes where README has its marks."""
    folder = ROOT / "config/recipes"
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        name = path.relative_to(folder).as_posix()
        if f"<!-- recipe {name} -->" in text:
            content = f"```{_LANGUAGES[path.suffix]}\n{path.read_text().rstrip()}\n```"
            text = _replace(text, f"recipe {re.escape(name)}", content)
    return text


def _replace(text: str, name: str, content: str) -> str:
    pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)", re.DOTALL)
    return pattern.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text)


if __name__ == "__main__":
    sys.exit(main())
