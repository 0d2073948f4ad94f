"""The verbs of the `pivoice` command, and its exit codes.

0 fine; 1 failed; 2 usage; 78 (EX_CONFIG) the configuration is at fault, and systemd must not restart.
The only file that exits. Each verb imports what it needs inside itself: `pivoice ctl` must not pay for numpy.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pivoice import __version__
from pivoice.errors import ConfigError, PivoiceError

if TYPE_CHECKING:
    from pivoice.config import Config

EX_CONFIG = 78  # sysexits.h
_COMMANDS = (
    *("status", "watch", "wake", "stop", "hush", "mute", "unmute", "volume", "gain", "say"),
    *("tools", "call", "timers", "notes", "set", "reload", "metrics"),
)
_CTL_WORDS = """arguments:
  volume [N | +N | -N | up | down]   of the speaker, 0-100; alone: what it is
  gain [N | +N | -N | up | down]     of the microphone, likewise
  say TEXT                           what the agent should say
  call TOOL ['{"argument": ...}']    run a tool by hand
  timers [cancel NAME | cancel all]  what is set; or take it back
  notes [forget NUMBER | forget all] what the agent was asked to remember; or erase it
  set SETTING VALUE                  such as agent.volume 60, until the next restart"""

_VERSION = f"""pivoice {__version__}
The bundled wake words come from the openWakeWord project; its pre-trained models are licensed
CC BY-NC-SA 4.0: not for commercial use."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code."""
    options = _parser().parse_args(argv)
    try:
        code: int = options.verb(options)
        sys.stdout.flush()
        return code
    except ConfigError as error:
        print(error, file=sys.stderr)
        return EX_CONFIG
    except PivoiceError as error:
        print(f"pivoice: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # `pivoice ctl watch | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _parser() -> argparse.ArgumentParser:
    from pivoice.agent import simulated_options

    parser = argparse.ArgumentParser(
        prog="pivoice",
        description="A voice assistant for the Raspberry Pi.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_VERSION)
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(name: str, call: object, summary: str, *, configured: bool = True) -> argparse.ArgumentParser:
        each = verbs.add_parser(name, help=summary, description=summary)
        if configured:
            each.add_argument(
                "--config", metavar="FILE", help="configuration (default: $PIVOICE_CONFIG or /etc)"
            )
        each.set_defaults(verb=call)
        return each

    verb("run", _run, "Run the daemon.")
    config = verb("config", _config, "Show the configuration in force, as JSON.")
    config.add_argument("--check", action="store_true", help="only say whether it is right")
    devices = verb("devices", _devices, "List the sound cards: their stable names, and what each can do.")
    devices.add_argument(
        "--listen", action="store_true", help="record with all of them while you speak: which hears you best?"
    )
    devices.add_argument(
        "--seconds", type=_whole(1, 60), default=5, help="how long --listen listens (default: 5)"
    )
    devices.add_argument("--json", action="store_true", help="print one JSON object")
    devices.add_argument(
        "pcm", nargs="*", metavar="PCM", help="with --listen: these PCMs instead of every card"
    )
    verb("monitor", _monitor, "Watch the running daemon: state, light, levels, wake scores, what is said.")
    summary = "Check the device, from its configuration to the agent's answer, and say what to do."
    _add_doctor_arguments(verb("doctor", _doctor, summary))
    _add_tune_arguments(verb("tune", _tune, "Find the wake word's threshold, by your voice and your room."))
    ctl = verb("ctl", _ctl, "Talk to the running daemon.")
    ctl.add_argument("command", choices=_COMMANDS, metavar="COMMAND", help=", ".join(_COMMANDS))
    ctl.add_argument("words", nargs="*", metavar="ARGUMENT", help="see below")
    ctl.formatter_class, ctl.epilog = argparse.RawDescriptionHelpFormatter, _CTL_WORDS
    simulate = verb("simulate-agent", _simulate_agent, "Run a local agent to talk to.", configured=False)
    simulated_options.add_arguments(simulate)
    return parser


def _add_doctor_arguments(doctor: argparse.ArgumentParser) -> None:
    doctor.add_argument(
        "--echo",
        action="store_true",
        help="also speak for five seconds and measure what comes back (stop the service before)",
    )
    doctor.add_argument(
        "--offline",
        action="store_true",
        help="leave out what needs the network: names, TLS, a session of a second",
    )
    doctor.add_argument("--json", action="store_true", help="print one JSON object, when all is done")


def _add_tune_arguments(tune: argparse.ArgumentParser) -> None:
    tune.description = (
        "Listens to you (stop the service before) or reads recordings, says what each threshold would have "
        "missed and where it would have woken by mistake, and proposes one."
    )
    tune.add_argument("--model", metavar="NAME", help="only this one of several wake words")
    tune.add_argument(
        "--times", type=_whole(1, 100), default=10, help="how often to ask for the wake word (default: 10)"
    )
    tune.add_argument(
        "--seconds",
        type=_whole(0, 3600),
        default=60,
        help="how long to listen to everything else, 0: not at all (default: 60)",
    )
    tune.add_argument(
        "--positives",
        nargs="+",
        default=[],
        metavar="WAV",
        help="instead of listening: recordings, each of one wake word (WAV, any rate)",
    )
    tune.add_argument(
        "--negatives", nargs="+", default=[], metavar="WAV", help="with them: recordings of anything else"
    )
    tune.add_argument(
        "--write", action="store_true", help="write what is proposed into the configuration, without asking"
    )


def _whole(least: int, most: int) -> Callable[[str], int]:
    """Return what reads a whole number within bounds."""

    def read(text: str) -> int:
        if not text.isdecimal() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {least} to {most}")
        return int(text)

    return read


def _run(options: argparse.Namespace) -> int:
    import asyncio
    import functools
    import logging
    import signal

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))  # nothing is open yet; the daemon brings its own
    signal.signal(
        signal.SIGHUP, signal.SIG_IGN
    )  # what it asks for is being done: the file is about to be read
    from pivoice import config, journal, service

    service.limit_threads()  # before numpy comes in: its threads would spin for nothing
    sys.setswitchinterval(0.001)  # an audio thread waits at most 1 ms for the loop, not 5
    from pivoice.supervisor import Supervisor, prepare, prepare_anew

    path = config.find_path(options.config)
    settings = config.load(path)
    journal.set_up(settings.log.level)
    journal.tell_of_crashes()
    logger = logging.getLogger("pivoice")
    if not Path(path).exists():
        logger.warning("no configuration at %s: every setting has its default", path)
    code = 0
    try:
        first = prepare(settings, os.environ, path=path)
        supervisor = Supervisor(first, functools.partial(prepare_anew, path, os.environ))
        asyncio.Runner().run(supervisor.run())
    except ConfigError as error:
        error.path = error.path or path
        service.notify_status(str(error).splitlines()[0])
        raise
    except PivoiceError:
        raise
    except Exception:  # the top of everything; what was open is closed by now
        logger.exception("pivoice failed")
        code = 1
    # Everything of ours is closed by now. A name server that does not answer may hold one of asyncio's
    # threads for 20 s yet, and whoever stops us was promised 3 s: leave without waiting for it.
    logging.shutdown()
    os._exit(code)


def _config(options: argparse.Namespace) -> int:
    from pivoice import config

    path = config.find_path(options.config)
    settings = config.load(path)
    if options.check:
        _try_what_is_named(settings, path)
        print(f"{path}: " + ("right" if Path(path).exists() else "not there; every setting has its default"))
    else:
        print(json.dumps(config.shown(settings), indent=2))
    return 0


def _try_what_is_named(settings: Config, path: str) -> None:
    """Load what `settings` name, and only opening can check: wake models, sounds, tools."""
    from pivoice import service

    service.limit_threads()  # before numpy comes in
    from pivoice.equipment import open_equipment

    try:
        open_equipment(settings, os.environ)
    except ConfigError as error:
        error.path = error.path or path
        raise


def _devices(options: argparse.Namespace) -> int:
    from pivoice import config
    from pivoice.views import devices

    return devices.run(config.find_path(options.config), options)


def _doctor(options: argparse.Namespace) -> int:
    import logging

    from pivoice import service

    service.limit_threads()  # before numpy comes in
    sys.setswitchinterval(0.001)  # as the daemon has it
    logging.basicConfig(level=logging.ERROR, format="%(message)s")  # the findings say the rest
    from pivoice.checks import software

    if software.refused(as_json=options.json):  # without some packages the doctor itself cannot be loaded
        return 1
    from pivoice import config, doctor

    return doctor.run(config.find_path(options.config), options)


def _tune(options: argparse.Namespace) -> int:
    import logging

    from pivoice import config, service

    service.limit_threads()  # before numpy comes in
    logging.basicConfig(level=logging.ERROR, format="%(message)s")
    from pivoice import tune
    from pivoice.clock import SystemClock
    from pivoice.wake.detector import open_detector

    path = config.find_path(options.config)
    settings = config.load(path)
    positives, negatives = [
        [Path(file) for file in files] for files in (options.positives, options.negatives)
    ]
    if negatives and not positives:
        raise PivoiceError(
            "--negatives alone do not say what is missed; add --positives, recordings of the word"
        )
    models = tune.models_to_tune(settings, options.model, by_files=bool(positives))
    try:
        detector = open_detector(settings.wake)
    except ConfigError as error:
        error.path = error.path or path
        raise
    assert detector is not None, "engine none was refused above"
    terminal = tune.Terminal()
    tuning = tune.Tuning(
        settings, detector, SystemClock(), terminal, models, times=options.times, noise_s=options.seconds
    )
    try:
        proposals = tuning.from_files(positives, negatives) if positives else tuning.live()
        return 0 if tune.conclude(tuning, proposals, path, write=options.write) else 1
    finally:
        terminal.wipe()


def _ctl(options: argparse.Namespace) -> int:
    from pivoice import ctl

    return ctl.run(options)


def _monitor(options: argparse.Namespace) -> int:
    from pivoice import config, ctl
    from pivoice.views import monitor

    return monitor.run(ctl.socket_of(config.find_path(options.config)))


def _simulate_agent(options: argparse.Namespace) -> int:
    from pivoice.agent import simulated

    return simulated.run(options)
