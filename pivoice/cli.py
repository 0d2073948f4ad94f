"""The verbs of the `pivoice` command, and its exit codes.

0 fine; 1 failed; 2 usage; 78 (EX_CONFIG) the configuration is at fault, and systemd must not restart.
The only file that exits. Each verb imports what it needs inside itself: `pivoice ctl` must not pay for numpy.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from pivoice import __version__
from pivoice.errors import ConfigError, PivoiceError

EX_CONFIG = 78  # sysexits.h

_COMMANDS = ("status", "watch", "wake", "stop", "hush", "mute", "unmute", "say", "metrics")

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
    verb("devices", _devices, "List the sound cards' ALSA names.")
    ctl = verb("ctl", _ctl, "Talk to the running daemon.")
    ctl.add_argument("command", choices=_COMMANDS, metavar="COMMAND", help=", ".join(_COMMANDS))
    ctl.add_argument("text", nargs="*", help="for say: what the agent should say")
    simulate = verb("simulate-agent", _simulate_agent, "Run a local agent to talk to.", configured=False)
    simulated_options.add_arguments(simulate)
    return parser


def _run(options: argparse.Namespace) -> int:
    import asyncio
    import logging
    import signal

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: os._exit(0))  # nothing is open yet; the daemon brings its own
    from pivoice import config, service

    service.limit_threads()  # before numpy comes in: its threads would spin for nothing
    sys.setswitchinterval(0.001)  # an audio thread waits at most 1 ms for the loop, not 5
    from pivoice.agent.keys import find_key
    from pivoice.daemon import Daemon

    path = config.find_path(options.config)
    settings = config.load(path)
    service.set_up_logging(settings.log.level)
    logger = logging.getLogger("pivoice")
    if not Path(path).exists():
        logger.warning("no configuration at %s: every setting has its default", path)
    runner = asyncio.Runner()
    try:
        daemon = Daemon(settings, key=find_key(settings.agent, os.environ))
        runner.run(daemon.run())
    except ConfigError as error:
        error.path = error.path or path
        service.notify_status(str(error).splitlines()[0])
        raise
    # Everything of ours is closed by now. A name server that does not answer may hold one of asyncio's
    # threads for 20 s yet, and whoever stops us was promised 3 s: leave without waiting for it.
    logging.shutdown()
    os._exit(0)


def _config(options: argparse.Namespace) -> int:
    import dataclasses

    from pivoice import config

    path = config.find_path(options.config)
    settings = config.load(path)
    if options.check:
        print(f"{path}: " + ("right" if Path(path).exists() else "not there; every setting has its default"))
    else:
        print(json.dumps(dataclasses.asdict(settings), indent=2))
    return 0


def _devices(_: argparse.Namespace) -> int:
    from pivoice.audio import alsa

    for title, names in (("microphones", alsa.capture_names()), ("speakers", alsa.playback_names())):
        print(f"{title} (for audio.{'capture' if title == 'microphones' else 'playback'}):")
        for name in names or ["none found; is the card plugged in? (cat /proc/asound/cards)"]:
            print(f"  {name}")
    return 0


def _ctl(options: argparse.Namespace) -> int:
    from pivoice import config, control

    socket = config.load(config.find_path(options.config)).control.socket
    if options.command == "watch":
        for event in control.watch(socket):
            print(json.dumps(event), flush=True)
        return 0
    request: dict[str, object] = {"command": options.command}
    if options.text:
        request["text"] = " ".join(options.text)
    answer = control.request(socket, request)
    if "error" in answer:
        print(f"pivoice: {answer['error']}", file=sys.stderr)
        return 1
    print(json.dumps(answer, indent=2))
    return 0


def _simulate_agent(options: argparse.Namespace) -> int:
    from pivoice.agent import simulated

    return simulated.run(options)
