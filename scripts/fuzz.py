"""Damage messages of the agent's server and read them, alone and as a conversation: `scripts/fuzz`.

Nothing of it may raise, be anything but a declared event with fields of their declared types, or be counted
without bound. The same seed makes the same messages. Exit 1 with the message that did it.
"""

from __future__ import annotations

import argparse
import itertools
import logging
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from pivoice.agent import wire  # noqa: E402
from pivoice.agent.connection import Faults  # noqa: E402
from pivoice.agent.dialogue import Dialogue, Doors  # noqa: E402
from pivoice.agent.memory import Memory  # noqa: E402
from tests.support import fuzzing  # noqa: E402

MAX_KINDS = 65
SESSION_MESSAGES = 5000  # then a fresh dialogue: what a session keeps is bounded, and so is the search for it


class Session:
    """A dialogue that nobody listens to."""

    def __init__(self) -> None:
        self._at = itertools.count()
        self.dialogue = Dialogue(
            1,
            doors=Doors(
                post=lambda event: None,
                report=lambda kind, told: None,
                play=lambda reply, samples: None,
                end_reply=lambda reply: None,
            ),
            memory=Memory(),
            serials=itertools.count(1),
            now_s=lambda: next(self._at) / 100,
            on_outbox=lambda: None,
        )


def fuzz(count: int, seed: int) -> tuple[Counter[str], Faults]:
    """Read `count` messages and return how many of each kind came out.

    Raises:
        SystemExit: one of them broke a promise.
    """
    outcomes: Counter[str] = Counter()
    faults, session = Faults(), Session()
    for number, frame in enumerate(fuzzing.frames(seed, count)):
        try:
            event = fuzzing.read(frame)
            outcomes[type(event).__name__] += 1
            if isinstance(event, wire.Garbled):
                faults.count(event.kind, event.detail)
                assert len(faults.counts) <= MAX_KINDS, f"{len(faults.counts)} kinds of faults"
            else:
                session.dialogue.hear(event)
        except Exception:
            traceback.print_exc()
            print(f"message {number} of seed {seed} did it:\n{frame[:2000]!r}", file=sys.stderr)
            raise SystemExit(1) from None
        if number % SESSION_MESSAGES == 0:
            session = Session()
    return outcomes, faults


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=__doc__.partition(":")[0])
    parser.add_argument("count", nargs="?", type=int, default=1_000_000, help="messages (default: a million)")
    parser.add_argument("--seed", type=int, default=1, help="which messages (default: 1)")
    options = parser.parse_args()
    logging.disable()
    began_s = time.monotonic()

    outcomes, faults = fuzz(options.count, options.seed)

    took_s = time.monotonic() - began_s
    print(f"{sum(outcomes.values())} messages of seed {options.seed} in {took_s:.0f} s, none raised:")
    for kind, times in outcomes.most_common():
        print(f"{times:>9}  {kind}")
    print(f"kinds of the {outcomes['Garbled']} garbled: {len(faults.counts)}")
    for kind, times in faults.counts.most_common(8):
        print(f"{times:>9}  {kind}")


if __name__ == "__main__":
    main()
