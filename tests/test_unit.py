"""The systemd unit: what it promises, as far as systemd's own tools tell without running it."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).resolve().parent.parent / "systemd"
UNIT = SYSTEMD / "pivoice.service"
DROP_INS = sorted(SYSTEMD.glob("*.conf"))
MOST_EXPOSURE = 1.7

needs_systemd_analyze = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd-analyze here"
)


def directives(path: Path) -> list[tuple[str, str]]:
    """Return every (key, value) of a unit file, in order."""
    lines = (line.strip() for line in path.read_text().splitlines())
    found = (re.fullmatch(r"([A-Za-z]+)=(.*)", line) for line in lines if not line.startswith("#"))
    return [(match[1], match[2]) for match in found if match]


def value(key: str) -> str:
    """Return the one value that the unit gives to `key`."""
    (only,) = [given for name, given in directives(UNIT) if name == key]
    return only


@needs_systemd_analyze
def test_systemd_finds_the_unit_well_protected():
    command = ["systemd-analyze", "security", "--offline=true", str(UNIT)]

    run = subprocess.run(command, capture_output=True, text=True, check=False)

    (level,) = re.findall(r"Overall exposure level for .*: ([\d.]+)", run.stdout)
    assert float(level) <= MOST_EXPOSURE, run.stdout


@needs_systemd_analyze
def test_systemd_understands_every_line_of_the_unit(tmp_path: Path):
    runnable = re.sub(r"(?m)^(ExecStart|ExecReload)=.*", r"\1=/bin/true", UNIT.read_text())
    (tmp_path / UNIT.name).write_text(runnable)

    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / UNIT.name)],
        capture_output=True,
        text=True,
        check=False,
    )

    about_us = [line for line in run.stderr.splitlines() if "pivoice" in line]
    assert about_us == [] and run.returncode == 0, run.stderr


def test_it_starts_again_whatever_happens_but_not_on_a_faulty_configuration():
    assert value("Restart") == "always"
    assert value("RestartPreventExitStatus") == "78"
    assert value("StartLimitIntervalSec") == "0"


def test_it_stops_within_three_seconds_and_is_watched():
    assert int(value("TimeoutStopSec")) <= 3
    assert (value("Type"), value("NotifyAccess")) == ("notify", "main")
    assert int(value("WatchdogSec")) <= 30


def test_a_tool_that_does_not_end_holds_up_no_stop():
    """Measured on systemd 257: 5.0 s and "failed" without it, for a program of its own session that ignores
    SIGTERM; 2.9 s with it."""
    assert value("KillMode") == "mixed"


def test_it_waits_for_neither_network_nor_sound_card():
    waited_for = " ".join(given for name, given in directives(UNIT) if name in ("After", "Requires", "Wants"))

    assert "online" not in waited_for and "sound.target" not in waited_for


def test_the_devices_it_may_open_are_known_when_it_starts():
    """DeviceAllow=char-NAME is looked up at the start, when the module may not have been loaded yet."""
    wanted = value("Wants").split()
    after = " ".join(given for name, given in directives(UNIT) if name == "After").split()

    allowed = [given for name, given in directives(UNIT) if name == "DeviceAllow"]
    assert allowed == ["char-alsa rw", "char-gpiochip rw", "char-spi rw"]
    assert {"modprobe@snd.service", "modprobe@spidev.service"} <= set(wanted) & set(after)


def test_the_audio_threads_may_go_first():
    assert value("LimitRTPRIO") == "20"
    assert not [name for name, _ in directives(UNIT) if name in ("RestrictRealtime", "CPUSchedulingPolicy")]


def test_every_group_of_devices_that_others_share_stays_shared():
    """dmix and dsnoop share a card by SysV shared memory: removing ours would silence other programs."""
    assert not {"RemoveIPC", "PrivateIPC"} & {name for name, _ in directives(UNIT)}


@pytest.mark.parametrize("drop_in", DROP_INS, ids=lambda path: path.stem)
def test_what_is_put_beside_the_unit_says_who_wrote_it(drop_in: Path):
    assert "Written by pivoice's scripts/install" in drop_in.read_text().splitlines()[0]
    assert [name for name, _ in directives(drop_in)]


def test_the_pauses_grow_on_both_sides_of_systemd_254():
    newer = dict(directives(SYSTEMD / "restart-steps.conf"))
    ((_, older),) = directives(SYSTEMD / "restart-pause.conf")
    script = older.removeprefix("+/bin/sh -c '").removesuffix("'").replace("$$", "$")

    pauses = []
    for restarts in ("", "0", "1", "2", "3", "4", "5", "100"):
        fakes = f'systemctl() {{ echo "{restarts}"; }}; sleep() {{ echo "$1"; }}; '
        run = subprocess.run(["sh", "-c", fakes + script], capture_output=True, text=True, check=True)
        pauses.append(run.stdout.strip())

    assert pauses == ["", "", "", "4", "8", "16", "30", "30"]
    assert (newer["RestartSteps"], newer["RestartMaxDelaySec"]) == ("5", "30")
