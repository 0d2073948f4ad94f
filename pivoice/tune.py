"""`pivoice tune`: finds each wake word's threshold by the owner's own voice and room.

Listens ten times for the word and a minute to anything else, or reads WAV files instead; then says what
every threshold would have come to, and which to take (thresholds.py has the rule). Main thread, in a
process of its own, with the daemon's gate, engine and policy. Keeps no sound; writes nothing unless told to.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO

from pivoice.clock import Clock
from pivoice.config import Config
from pivoice.errors import PivoiceError
from pivoice.settings_file import shown_thresholds, write_thresholds
from pivoice.thresholds import Proposal, Take, counted, propose
from pivoice.tune_ear import Block, Loudness, hear_file, hear_microphone
from pivoice.tune_report import HEARD, diagnosis, scored, spoken, table
from pivoice.wake.detector import Detector

SILENCE_S = 10.0  # without a sound, until the owner is asked again
_SILENCES = 3
_ANSWER_S = 6.0  # a word is missed when it did not score so long after it was asked for,
_SPOKEN_S = 3.0  # and so long after somebody began to speak
_AFTER_S = 1.0  # without a score: the utterance is over
_LONGEST_S = 6.0
_SPEECH_DB = 6.0  # over the floor: no mere rustle
_SPEECH_BLOCKS = 3
_SHOWN_S = 1.0  # how often the live line is shown where it cannot be overwritten

Blocks = Generator[Block, None, None]


@dataclass
class Terminal:
    """Where the owner reads. A live line is overwritten where that can be done, else printed now and then."""

    out: TextIO = field(default_factory=lambda: sys.stdout)
    is_tty: bool = field(default_factory=lambda: sys.stdin.isatty() and sys.stdout.isatty())
    _shown_s: float = float("-inf")
    _is_live: bool = False

    def say(self, words: str = "") -> None:
        """Print a line that stays."""
        self.wipe()
        print(words, file=self.out, flush=True)

    def show(self, line: str, now_s: float) -> None:
        """Show how things are now."""
        if self.is_tty:
            self.out.write("\r" + line[: shutil.get_terminal_size().columns - 1] + "\x1b[K")
            self.out.flush()
            self._is_live = True
        elif now_s - self._shown_s >= _SHOWN_S:
            self._shown_s = now_s
            print(f"  {line}", file=self.out, flush=True)

    def wipe(self) -> None:
        """Take the live line away."""
        if self._is_live:
            self.out.write("\r\x1b[K")
            self.out.flush()
            self._is_live = False

    def ask(self, question: str) -> bool:
        """Return whether the owner says yes; no where nobody can be asked."""
        if not self.is_tty:
            return False
        try:
            return input(f"{question} [y/N] ").strip().lower() in ("y", "yes")
        except EOFError:
            return False


@dataclass
class Tuning:
    """One sitting."""

    config: Config
    detector: Detector
    clock: Clock
    terminal: Terminal
    models: Sequence[str]
    """Those to tune, by what they are called."""
    times: int = 10
    noise_s: float = 60.0
    loudness: Loudness = field(default_factory=Loudness)
    stood_out_db: float = 0.0
    """How far the loudest block rose above the room while a word was asked for."""

    def live(self) -> list[Proposal]:
        """Listen to the owner and to the room; return what is proposed.

        Raises:
            DeviceError: the microphone cannot be used.
        """
        say, wake = self.terminal.say, self.config.wake
        microphone = hear_microphone(self.config.audio, self.detector, self.clock, self.loudness)
        with closing(microphone) as blocks:
            next(blocks)  # it is there: only now is anything asked of the owner
            said = {model: self._words(model, blocks) for model in self.models}
            noise = []
            if self.noise_s and any(said.values()):
                say(f"Now {self.noise_s:.0f} s of the room as it usually is: television, talk, dishes,")
                say("anything but the wake word.")
                noise = [self._noise(blocks)]
        return [propose(model, said[model], noise, wake) for model in self.models]

    def from_files(self, positives: Sequence[Path], negatives: Sequence[Path]) -> list[Proposal]:
        """Read recordings instead: of the word, one time each, and of anything else.

        Raises:
            PivoiceError: one is not a WAV file that can be used.
        """
        (model,) = self.models
        wake = self.config.wake
        words, noise = [], []
        for path in positives:
            take, share = self._file(path)
            words.append(take)
            (peak,) = propose(model, [take], [], wake).peaks
            self.terminal.say(f"{path}: {scored(peak)}, gate open {share:.0%}")
        for path in negatives:
            take, share = self._file(path)
            noise.append(take)
            row = propose(model, [], [take], wake).in_force
            wakes = f"{counted(row.false_wakes, 'false wake')} at {row.threshold:.2f}"
            self.terminal.say(f"{path}: {wakes} in {take.duration_s:.0f} s, gate open {share:.0%}")
        return [propose(model, words, noise, wake)]

    # --- listening ---

    def _words(self, model: str, blocks: Blocks) -> list[Take]:
        say, word = self.terminal.say, spoken(model)
        say(f'You will be asked {counted(self.times, "time")} to say "{word}": as you usually do,')
        say("from where you usually are, now and then from further away.")
        takes: list[Take] = []
        silences = 0
        while len(takes) < self.times and silences < _SILENCES:
            say(f'{len(takes) + 1} of {self.times}: please say "{word}" now')
            take = self._attempt(model, blocks)
            if take is None:
                silences += 1
                say(f"  nothing was heard for {SILENCE_S:.0f} s")
            else:
                silences = 0
                takes.append(take)
                say(f"  {scored(propose(model, [take], [], self.config.wake).peaks[0])}")
        return takes

    def _attempt(self, model: str, blocks: Blocks) -> Take | None:
        """Return what was scored of one time; None: nobody spoke."""
        attempt = _Attempt(model)
        outcome: Outcome = "open"
        while outcome == "open":
            block = next(blocks)
            self._show(block)
            self.stood_out_db = max(self.stood_out_db, block.level_dbfs - block.floor_dbfs)
            outcome = attempt.hear(block)
        return _take(attempt.blocks) if outcome == "spoken" else None

    def _noise(self, blocks: Blocks) -> Take:
        heard = [next(blocks)]
        while (passed_s := heard[-1].end_s - heard[0].end_s) < self.noise_s:
            self._show(heard[-1], f"{self.noise_s - passed_s:3.0f} s left  ")
            heard.append(next(blocks))
        return _take(heard)

    def _show(self, block: Block, before: str = "") -> None:
        scores = "  ".join(f"{model} {block.scores.get(model, 0.0):.2f}" for model in self.detector.models)
        gate = "open" if block.is_open else "closed"
        level = f"level {block.level_dbfs:4.0f} dBFS (room {block.floor_dbfs:4.0f})"
        self.terminal.show(f"{before}{scores}  {level}  gate {gate}", block.end_s)

    def _file(self, path: Path) -> tuple[Take, float]:
        """Return what was scored of a file, and for how much of it the gate was open."""
        blocks = hear_file(path, self.config.audio, self.detector)
        return _take(blocks), sum(block.is_open for block in blocks) / len(blocks)


Outcome = Literal["open", "spoken", "silent"]


@dataclass
class _Attempt:
    """One time that the word is asked for, while it goes on."""

    model: str
    blocks: list[Block] = field(default_factory=list)
    _speech_blocks: int = 0
    _spoke_s: float = float("inf")
    _first_s: float = float("inf")
    _last_s: float = 0.0

    def hear(self, block: Block) -> Outcome:
        """Take a block; return what has become of it."""
        self.blocks.append(block)
        now_s, asked_s = block.end_s, self.blocks[0].end_s
        if block.is_open and block.level_dbfs > block.floor_dbfs + _SPEECH_DB:
            self._speech_blocks += 1
            self._spoke_s = min(self._spoke_s, now_s)
        if block.scores.get(self.model, 0.0) >= HEARD:
            self._first_s, self._last_s = min(self._first_s, now_s), now_s
        has_scored, has_spoken = self._first_s <= now_s, self._speech_blocks >= _SPEECH_BLOCKS
        if has_scored:
            is_over = now_s - self._last_s >= _AFTER_S or now_s - self._first_s >= _LONGEST_S
        elif has_spoken:
            is_over = now_s - asked_s >= _ANSWER_S and now_s - self._spoke_s >= _SPOKEN_S
        else:
            is_over = now_s - asked_s >= SILENCE_S
        if not is_over:
            return "open"
        return "spoken" if has_scored or has_spoken else "silent"


def _take(blocks: Sequence[Block]) -> Take:
    scored_blocks = tuple((block.end_s, block.scores) for block in blocks if block.scores)
    return Take(scored_blocks, blocks[-1].end_s - blocks[0].end_s)


def models_to_tune(config: Config, model: str | None, *, by_files: bool) -> tuple[str, ...]:
    """Return which models are tuned: the one asked for, or all; by files only one at a time.

    Raises:
        PivoiceError: there is none, or not that one.
    """
    called = config.wake.called
    if config.wake.engine == "none":
        raise PivoiceError('wake.engine is "none": there is no wake word to tune, only the button')
    if model is not None and model not in called:
        raise PivoiceError(f"there is no wake word {model!r} in wake.models; there are {', '.join(called)}")
    if model is None and len(called) > 1 and by_files:
        raise PivoiceError(f"say which wake word the files hold: --model, one of {', '.join(called)}")
    return called if model is None else (model,)


def conclude(tuning: Tuning, proposals: Sequence[Proposal], path: str, *, write: bool) -> bool:
    """Tell what came of it, and write it into the file at `path` if the owner wants that.

    `write`: without asking. Returns whether there was something to propose for every model.

    Raises:
        PivoiceError: the file cannot be written; says what to write by hand.
    """
    say, wake = tuning.terminal.say, tuning.config.wake
    new: dict[str, float] = {}
    for proposal in proposals:
        say()
        for line in table(proposal):
            say(line)
        if proposal.threshold is None:
            say(f"{proposal.model} was not heard once: there is nothing to propose.")
            if tuning.loudness.samples:
                audio = tuning.config.audio
                say(diagnosis(proposal.model, audio, tuning.loudness, tuning.stood_out_db))
        elif proposal.threshold != wake.threshold_of(proposal.model):
            new[proposal.model] = proposal.threshold
    say()
    if new and (write or tuning.terminal.ask(f"Write wake.thresholds = {shown_thresholds(new)} to {path}?")):
        write_thresholds(path, new)
        say(f"wrote wake.thresholds = {shown_thresholds(new)} to {path}; sudo systemctl restart pivoice")
    elif new:
        say(f"not written; --write does, or in {path}, section [wake]: thresholds = {shown_thresholds(new)}")
    elif any(proposal.threshold is not None for proposal in proposals):
        say("what is proposed is in force already")
    return all(proposal.threshold is not None for proposal in proposals)
