"""Have the Pi's firmware load an I2S sound board's overlay: for scripts/install and scripts/uninstall.

    python3 -IB scripts/i2s.py check NAME      refuse what cannot be added, change nothing
    python3 -IB scripts/i2s.py add NAME        write it into the boot configuration, in a block of its own
    python3 -IB scripts/i2s.py remove          take that block out again
    python3 -IB scripts/i2s.py settings NAME   print the settings that name the board's card
    python3 -IB scripts/i2s.py list            print the boards that are known

Run by the system's Python, as root; standard library alone. The firmware's file is copied before it is first
changed on a day, and replaced in one step: a Pi that loses power half way must still boot.
"""

from __future__ import annotations

import datetime
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(
    0, str(ROOT)
)  # isolated (-I), so that nothing beside this file is taken for a standard module

from pivoice import boards  # noqa: E402

BEGIN = "# pivoice i2s: begin. Written by scripts/install --i2s, taken out by scripts/uninstall --purge."
END = "# pivoice i2s: end"


class RefusedError(Exception):
    """Cannot be done; the sentence says why, and what to do."""


class UnknownBoardError(RefusedError):
    """There is no board of that name."""


def main(arguments: list[str]) -> int:
    """Return the exit code: 0 fine, 1 cannot be done, 2 usage or an unknown name."""
    try:
        match arguments:
            case ["check", name]:
                _checked(name)
            case ["add", name]:
                print(add(name))
            case ["remove"]:
                print(remove(), end="")
            case ["settings", name]:
                print("\n".join(settings(_known(name))))
            case ["list"]:
                print(_list())
            case _:
                print("usage: i2s.py check NAME | add NAME | remove | settings NAME | list", file=sys.stderr)
                return 2
    except RefusedError as refused:
        print(refused, file=sys.stderr)
        return 2 if isinstance(refused, UnknownBoardError) else 1
    except OSError as error:
        print(f"cannot change the boot configuration: {error}", file=sys.stderr)
        return 1
    return 0


def add(name: str) -> str:
    """Write the board's overlay into the boot configuration; return what was done."""
    board, path = _checked(name)
    before = _text(path)
    if _is_loaded(before, board):
        return f"{path} has {board.line} already."
    copy = _replace(path, with_block(before, board.line))
    return (
        f"{path} now has {board.line} (as it was: {copy}).\n"
        f"The sound card {board.card_id} is there after a restart of the Pi: sudo reboot"
    )


def remove() -> str:
    """Take out what `add` wrote; return what was done, "" if there was nothing."""
    path = boards.boot_config()
    if path is None or BEGIN not in (before := _text(path)):
        return ""
    copy = _replace(path, without_block(before))
    return (
        f"{path} no longer loads the I2S board (as it was: {copy}); it is gone after a restart of the Pi.\n"
    )


def settings(board: boards.Overlay) -> list[str]:
    """Return the lines of pivoice.toml's section [audio] that name the board's card."""
    pcm = f'"plughw:CARD={board.card_id},DEV=0"'
    return [f"capture = {pcm}"] * board.capture + [f"playback = {pcm}"] * board.playback


def with_block(text: str, line: str) -> str:
    """Return config.txt with `line`, and no other line of ours: at the end, where no filter reaches it."""
    text = without_block(text)
    newline = "\r\n" if "\r\n" in text else "\n"
    if text and not text.endswith("\n"):
        text += newline
    return text + "".join(one + newline for one in (BEGIN, "[all]", line, END))


def without_block(text: str) -> str:
    """Return config.txt without what `with_block` put in.

    Raises:
        RefusedError: the block has no end; nobody knows what in it is whose.
    """
    kept: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        if line.rstrip() == BEGIN:
            inside = True
        elif inside and line.rstrip() == END:
            inside = False
        elif not inside:
            kept.append(line)
    if inside:
        raise RefusedError(
            f"the boot configuration has {BEGIN!r} without {END!r}; delete the lines of that block"
        )
    return "".join(kept)


def _known(name: str) -> boards.Overlay:
    if board := boards.find(name):
        return board
    nearest = boards.nearest(name)
    meant = f"; did you mean {nearest}?" if nearest else "."
    raise UnknownBoardError(f"no I2S board {name!r} is known{meant} These are:\n{_list()}")


def _list() -> str:
    return "\n".join(f"  {one.name:<18} {one.what}" for one in boards.OVERLAYS)


def _checked(name: str) -> tuple[boards.Overlay, Path]:
    """Return the board of that name and the file to write, where it can be written there."""
    board = _known(name)
    path = boards.boot_config()
    if path is None:
        places = " or ".join(str(one) for one in boards.BOOT_CONFIGS)
        raise RefusedError(f"this is no Raspberry Pi: there is no {places}, which --i2s would change")
    text = _text(path)
    if not _is_loaded(text, board):
        _refuse_others(path, without_block(text))
    file = path.parent / "overlays" / f"{board.overlay}.dtbo"
    if not file.exists():
        if board.maker:
            raise RefusedError(
                f"the Raspberry Pi's kernel carries no driver overlay for the {board.what}; "
                f"get {file.name} from {board.maker}, put it into {file.parent}, and run this again"
            )
        raise RefusedError(f"this system has no {file}; bring it up to date: sudo apt full-upgrade")
    return board, path


def _is_loaded(text: str, board: boards.Overlay) -> bool:
    """Whether the owner, or we, wrote it where it counts on every Pi."""
    return any(line.overlay == board.overlay and line.section == "all" for line in boards.lines_in(text))


def _refuse_others(path: Path, text: str) -> None:
    ours = {one.overlay for one in boards.OVERLAYS}
    for line in boards.lines_in(text):
        if line.overlay in ours and line.section != "none":
            where = "" if line.section == "all" else f" under [{line.section}]"
            raise RefusedError(
                f"{path} has dtoverlay={line.overlay}{where} already (line {line.number}), and the I2S bus "
                "serves one sound card; delete that line, and run this again"
            )


def _text(path: Path) -> str:
    """Return the file with its line endings, whatever bytes are in it."""
    return path.read_bytes().decode("utf-8", "surrogateescape")


def _replace(path: Path, text: str) -> Path:
    """Write the file anew; return the copy of what it was this morning."""
    copy = path.with_name(f"{path.name}.pivoice-{datetime.date.today():%Y%m%d}")
    if not copy.exists():
        _write(copy, path.read_bytes())
    _write(path, text.encode("utf-8", "surrogateescape"))
    return copy


def _write(path: Path, content: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.chmod(path.stat().st_mode & 0o7777 if path.exists() else 0o644)
    new.replace(path)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
