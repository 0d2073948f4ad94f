"""scripts/install: what it refuses, where the key goes, and what becomes of the program before.

Its functions run in bash, every place moved into a directory of the test, systemd faked. The whole of it was
tried in containers with systemd 252 and 257.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import venv
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = ROOT / "scripts"
KEY = "0123456789abcdef"

CREDS = """#!/bin/sh
echo "$@" >> "$CALLS"
case $1 in
    encrypt) { echo ENCRYPTED; cat; } > "$4" ;;
    decrypt) [ "$(head -n 1 "$3")" = ENCRYPTED ] && tail -n +2 "$3" ;;
esac
"""
SYSTEMCTL = """#!/bin/sh
echo "systemctl $*" >> "$CALLS"
case $1 in --version) echo "systemd ${VERSION:-257} (257.1)" ;; is-active) test -n "$WAS_RUNNING" ;; esac
"""


class Machine:
    """A system of files in a directory, on which functions of scripts/service.sh run."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.calls = place / "calls"
        self.bin = place / "bin"
        self.plain = place / "credstore" / "key"
        self.encrypted = place / "credstore.encrypted" / "key"
        self.configuration = place / "etc" / "pivoice.toml"
        self.program = place / "opt" / "venv"
        self.unit = place / "units" / "pivoice.service"
        self.drop_ins = place / "units" / "pivoice.service.d"
        for one in (self.bin, self.program.parent, self.drop_ins):
            one.mkdir(parents=True)
        self.calls.touch()
        self.fake("systemctl", SYSTEMCTL)
        self.fake("systemd-creds", CREDS)

    def fake(self, name: str, script: str) -> None:
        (self.bin / name).write_text(script)
        (self.bin / name).chmod(0o755)

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        places = f"""
            set -euo pipefail
            . {SCRIPTS}/lib.sh; . {SCRIPTS}/environment.sh; . {SCRIPTS}/service.sh
            opt={self.program.parent} program={self.program} configuration={self.configuration}
            key_plain={self.plain} key_encrypted={self.encrypted} unit={self.unit} drop_ins={self.drop_ins}
            log={self.place}/log python={shutil.which("python3")}
            key_file= board= micro= mcp= unattended=yes
        """
        path = {"PATH": f"{self.bin}:{os.environ['PATH']}", "CALLS": str(self.calls)}
        return subprocess.run(
            ["bash", "-c", places + script, "install"],
            env=os.environ | path | environment,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            check=False,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def install(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run scripts/install with what it must refuse before it does anything."""
    return subprocess.run(
        [str(SCRIPTS / "install"), *arguments],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("arguments", [["--foo"], ["--key-file"], ["--i2s"], ["--unattended", "KEY"]])
def test_an_option_that_is_not_understood_is_named_and_nothing_is_done(arguments: list[str]):
    run = install(*arguments)

    assert run.returncode == 2
    (sentence,) = run.stderr.splitlines()
    assert arguments[-1] in sentence and "--help" in sentence


def test_the_help_and_the_readme_have_every_option():
    script = (SCRIPTS / "install").read_text()
    options = {"--" + name for name in re.findall(r"^ +--([a-z0-9-]+)\)", script, re.M)}
    readme = (ROOT / "README.md").read_text()

    told = install("--help").stdout

    assert options == {"--key-file", "--i2s", "--micro", "--mcp", "--unattended"}
    assert all(option in told and option in readme for option in options)


def test_the_boards_are_listed_without_root():
    assert "googlevoicehat" in install("--i2s", "help").stdout


@pytest.mark.parametrize("content", [KEY, f"  {KEY}\t\r\n\n"])
def test_a_key_is_taken_without_what_surrounds_it(machine: Machine, content: str):
    (machine.place / "file").write_bytes(content.encode())

    run = machine.run('key_file=$place/file; take_key; printf "<%s>" "$key"', place=str(machine.place))

    assert run.stdout == f"<{KEY}>", run.stderr


@pytest.mark.parametrize("content", ["", " \n", "two words", "one\ntwo\n"])
def test_what_is_no_key_is_refused_and_not_shown(machine: Machine, content: str):
    (machine.place / "file").write_text(content)

    run = machine.run("key_file=$place/file; take_key", place=str(machine.place))

    assert run.returncode == 1
    (sentence,) = run.stderr.splitlines()
    assert str(machine.place / "file") in sentence and "two" not in sentence


def test_without_a_terminal_nobody_is_asked(machine: Machine):
    run = machine.run('unattended=; take_key; printf "<%s>" "$key"')

    assert run.stdout == "<>"


def test_the_key_is_encrypted_where_systemd_can_and_never_on_a_command_line(machine: Machine):
    run = machine.run(f"key={KEY}; store_key")

    assert run.returncode == 0, run.stderr
    assert machine.encrypted.read_text() == f"ENCRYPTED\n{KEY}\n"
    assert machine.encrypted.stat().st_mode & 0o077 == 0
    assert "LoadCredentialEncrypted=assemblyai-api-key:" in (machine.drop_ins / "10-key.conf").read_text()
    assert not machine.plain.exists()
    assert KEY not in machine.calls.read_text() + run.stdout + run.stderr


@pytest.mark.parametrize("creds", ["#!/bin/sh\nexit 1\n", CREDS.replace("tail -n +2", "echo other")])
def test_a_key_that_cannot_be_encrypted_or_read_back_is_kept_for_root_alone(machine: Machine, creds: str):
    machine.run("key=before; store_key")
    machine.fake("systemd-creds", creds)

    machine.run(f"key={KEY}; store_key")

    assert machine.plain.read_text() == f"{KEY}\n"
    assert machine.plain.stat().st_mode & 0o077 == 0
    assert not machine.encrypted.exists() and not (machine.drop_ins / "10-key.conf").exists()


def test_a_plain_key_of_an_older_installation_is_encrypted_now(machine: Machine):
    machine.plain.parent.mkdir()
    machine.plain.write_text(f"{KEY}\n")

    machine.run("store_key")

    assert not machine.plain.exists()
    assert KEY in machine.encrypted.read_text()


def test_a_key_of_another_device_counts_as_none(machine: Machine):
    machine.encrypted.parent.mkdir()
    machine.encrypted.write_text("of another device")

    assert machine.run("has_key").returncode != 0
    machine.run(f"key={KEY}; store_key")
    assert machine.run("has_key").returncode == 0


@pytest.mark.parametrize("line", ['api_key_file = "/etc/key"', 'token_url = "https://example.org/token"'])
def test_a_key_that_the_configuration_names_is_not_asked_for(machine: Machine, line: str):
    machine.configuration.parent.mkdir()
    machine.configuration.write_text('#api_key_file = "/x"\ntoken_url = ""\n')
    assert machine.run("has_key").returncode != 0

    machine.configuration.write_text(f"[agent]\n{line}\n")

    assert machine.run("has_key").returncode == 0


def test_a_configuration_that_is_there_is_kept_and_the_new_one_put_beside_it(machine: Machine):
    machine.configuration.parent.mkdir()
    machine.configuration.write_text("# mine\n")

    machine.run("place_configuration")

    assert machine.configuration.read_text() == "# mine\n"
    shipped = (ROOT / "config" / "pivoice.toml").read_text()
    assert machine.configuration.with_name("pivoice.toml.default").read_text() == shipped


def test_a_new_configuration_names_the_card_of_the_board(machine: Machine):
    machine.run("board=inmp441; place_configuration")

    lines = machine.configuration.read_text().splitlines()
    assert [line for line in lines if not line.startswith("#") and "=" in line] == [
        'capture = "plughw:CARD=sndrpigooglevoi,DEV=0"',
        'playback = "plughw:CARD=sndrpigooglevoi,DEV=0"',
    ]


@pytest.mark.parametrize(("version", "key"), [("252", "ExecStartPre="), ("254", "RestartSteps=")])
def test_the_growing_pauses_are_those_that_this_systemd_knows(machine: Machine, version: str, key: str):
    machine.run("place_unit", VERSION=version)

    assert machine.unit.read_text() == (ROOT / "systemd" / "pivoice.service").read_text()
    assert f"\n{key}" in (machine.drop_ins / "10-restart.conf").read_text()


def test_the_program_is_switched_in_one_step_also_from_an_installation_without_a_link(machine: Machine):
    machine.program.mkdir()
    new = machine.program.parent / "venv.new-one"
    new.mkdir()

    machine.run(f"use {new}")

    assert machine.program.is_symlink() and machine.program.resolve() == new
    assert (machine.program.parent / "venv.old").is_dir()


def upgrade(machine: Machine, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Bring `one` up to `two`, as far as `script` goes."""
    for name in ("one", "two"):
        (machine.program.parent / f"venv.{name}").mkdir()
    machine.program.symlink_to(machine.program.parent / "venv.one")
    machine.unit.write_text("unit one")
    (machine.drop_ins / "10-restart.conf").write_text("restarts one")
    begin = "venv=$opt/venv.two fresh=$venv; remember_previous; "
    return machine.run(begin + script, **environment)


def test_an_upgrade_that_stops_half_way_leaves_nothing_but_the_old_program(machine: Machine):
    upgrade(machine, "trap discard_unfinished EXIT; exit 1")

    assert machine.program.resolve().name == "venv.one"
    assert not (machine.program.parent / "venv.two").exists()


def test_a_finished_upgrade_leaves_nothing_but_the_new_program(machine: Machine):
    upgrade(machine, "trap discard_unfinished EXIT; use $venv; remove_old_programs", WAS_RUNNING="yes")

    assert {path.name for path in machine.program.parent.iterdir()} == {"venv", "venv.two"}
    assert machine.program.resolve().name == "venv.two"


def test_a_program_that_does_not_start_gives_way_to_the_one_that_ran(machine: Machine):
    run = upgrade(machine, "place_unit; use $venv; roll_back", WAS_RUNNING="yes")

    assert run.returncode == 0, run.stderr
    assert machine.program.resolve().name == "venv.one"
    assert machine.unit.read_text() == "unit one"
    assert (machine.drop_ins / "10-restart.conf").read_text() == "restarts one"
    assert machine.calls.read_text().endswith("systemctl restart pivoice.service\n")


def test_an_installation_without_a_link_is_gone_back_to_as_well(machine: Machine):
    machine.program.mkdir()
    (machine.program / "mark").write_text("old")
    machine.unit.write_text("old unit")
    (machine.place / "opt" / "fresh").mkdir()

    ran = machine.run(
        'venv=$opt/fresh; remember_previous && use "$venv" && echo new > "$unit" && roll_back',
        WAS_RUNNING="yes",
    )

    assert ran.returncode == 0, ran.stderr
    assert (machine.program / "mark").read_text() == "old"
    assert machine.unit.read_text() == "old unit"


@pytest.mark.parametrize(
    ("was_running", "code", "goes_on"), [("yes", 78, False), ("", 78, True), ("yes", 0, True)]
)
def test_an_upgrade_leaves_a_service_alone_that_could_not_start_with_its_configuration(
    machine: Machine, was_running: str, code: int, goes_on: bool
):
    machine.configuration.parent.mkdir()
    machine.configuration.write_text("[audio]\n[audio]\n")
    checker = machine.place / "opt" / "fresh" / "bin" / "pivoice"
    checker.parent.mkdir(parents=True)
    checker.write_text(f"#!/bin/sh\necho pivoice.toml: is not TOML >&2; exit {code}\n")
    checker.chmod(0o755)

    ran = machine.run("venv=$opt/fresh; refuse_spoilt_configuration; echo on", WAS_RUNNING=was_running)

    assert ("on" in ran.stdout.split()) is goes_on, ran.stderr
    assert goes_on or ("is not TOML" in ran.stderr and "nothing is changed" in ran.stderr)


def test_nothing_is_rolled_back_to_a_program_that_did_not_run(machine: Machine):
    run = upgrade(machine, "use $venv; roll_back", WAS_RUNNING="")

    assert run.returncode == 1
    assert machine.program.resolve().name == "venv.two"


def test_an_environment_that_is_a_link_is_neither_used_nor_emptied(machine: Machine):
    other = machine.place / "other"
    (other / "bin").mkdir(parents=True)
    (other / "bin" / "pip").write_text(f"#!{other}/bin/python\n")
    link = machine.place / "environment"
    link.symlink_to(other)

    done = machine.run(f"venv={link}; make_venv")

    assert done.returncode == 1 and f"is a link to {other}" in done.stdout
    assert (other / "bin" / "pip").exists()


def test_the_program_is_made_anew_when_anything_of_it_changed(machine: Machine, tmp_path: Path):
    copy = tmp_path / "checkout"
    shutil.copytree(SCRIPTS, copy / "scripts")
    shutil.copy(ROOT / "pyproject.toml", copy)
    (copy / "pivoice").mkdir()
    (copy / "pivoice" / "daemon.py").write_text("one")

    def fingerprint(extra: str = "") -> str:
        return machine.run(f"root={copy} extra={extra}; fingerprint").stdout

    first = fingerprint()
    assert fingerprint() == first != ""
    assert fingerprint(extra="micro") != first
    (copy / "pivoice" / "daemon.py").write_text("two")
    assert fingerprint() != first


def test_the_other_engine_stays_where_it_is_used_or_installed(machine: Machine):
    assert machine.run("wants_micro").returncode == 1
    assert machine.run("micro=yes; wants_micro").returncode == 0
    machine.configuration.parent.mkdir()
    machine.configuration.write_text('[wake]\nengine = "micro"\n')
    assert machine.run("wants_micro").returncode == 0
    machine.configuration.unlink()
    (machine.program / "lib/python3.11/site-packages/pymicro_wakeword").mkdir(parents=True)
    assert machine.run("wants_micro").returncode == 0


def test_packages_of_the_owners_outlive_the_program_and_come_last(machine: Machine):
    own = machine.place / "own"
    venv.create(machine.program)

    run = machine.run(f"venv={machine.program} own_packages={own}; let_in_own_packages")

    assert run.returncode == 0, run.stderr
    (own / "lamps-1.dist-info").mkdir(parents=True)
    (own / "lamps-1.dist-info" / "entry_points.txt").write_text("[pivoice.tools]\nlamps = lamps:tools\n")
    look = "import sys; from importlib.metadata import entry_points as found; "
    look += "print(sys.path[-1], *(each.value for each in found(group='pivoice.tools')))"
    seen = subprocess.run(
        [machine.program / "bin/python", "-c", look], capture_output=True, text=True, check=True
    )
    assert seen.stdout.split() == [str(own), "lamps:tools"]


def test_what_mcp_servers_need_stays_where_it_is_used_or_installed(machine: Machine):
    assert machine.run("wants_mcp").returncode == 1
    assert machine.run("mcp=yes; wants_mcp").returncode == 0
    machine.configuration.parent.mkdir()
    machine.configuration.write_text("#[[tools.mcp]]\n")
    assert machine.run("wants_mcp").returncode == 1
    machine.configuration.write_text('[[tools.mcp]]\nname = "house"\n')
    assert machine.run("wants_mcp").returncode == 0
    machine.configuration.unlink()
    (machine.program / "lib/python3.11/site-packages/mcp").mkdir(parents=True)
    assert machine.run("wants_mcp").returncode == 0


def needed_by(name: str, extra: str = "") -> set[str]:
    """Return what is installed here because of a package, itself included."""
    found, wanted = set(), [(name, extra)]
    while wanted:
        one, extra = wanted.pop()
        if (one, extra) not in found:
            found.add((one, extra))
            for line in metadata.requires(one) or []:
                requirement = Requirement(line)
                if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                    key = canonicalize_name(requirement.name)
                    wanted += [(key, each) for each in ("", *requirement.extras)]
    return {one for one, _ in found}


def test_what_mcp_servers_need_is_locked_to_the_byte(machine: Machine):
    run = (SCRIPTS / "requirements" / "run.txt").read_text()
    there = set(re.findall(r"^([a-z0-9.-]+)==", run, re.M)) - {"typing-extensions"}  # not on every Python

    listed = machine.run('printf "%s\\n" "${mcp_packages[@]}"').stdout.split()
    locked = machine.run('locked "${mcp_packages[@]}"').stdout

    assert set(listed) == needed_by("mcp") - there
    assert re.findall(r"^([a-z0-9.-]+)==", locked, re.M) == listed
    assert all("--hash=sha256:" in block for block in re.split(r"\n(?=\S)", locked))


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="there is no shellcheck here")
def test_the_scripts_have_no_known_mistakes():
    scripts = ["install", "uninstall", "../config/recipes/home-assistant"]  # and what they source

    run = subprocess.run(
        ["shellcheck", "-x", *scripts], cwd=SCRIPTS, capture_output=True, text=True, check=False
    )

    assert run.returncode == 0, run.stdout
