"""What tuning came to, in words: a proposal's table, and what is likely wrong where there is none. PURE."""

from __future__ import annotations

from collections.abc import Iterator

from pivoice.config import AudioConfig
from pivoice.thresholds import GRID, Proposal, Row
from pivoice.tune_ear import Loudness

HEARD = GRID[0]
"""A score that may have been the word: the lowest threshold that is tried."""
_SOFT_DBFS = -35.0
_AIM_DBFS = -12  # what the loudest sample of a voice may come to
_MARGIN_DB = 10.0
_MOST_CLIPPED = 0.001


def spoken(model: str) -> str:
    """Return how a model's word is said, as far as its name tells."""
    return model.replace("_", " ").replace("-", " ")


def scored(peak: float) -> str:
    """Say what one time came to."""
    return f"heard: {peak:.2f}" if peak >= HEARD else f"not heard ({peak:.2f}): it counts as missed"


def table(proposal: Proposal) -> Iterator[str]:
    """Yield the lines of what each threshold would have come to for one model."""
    heard = [peak for peak in proposal.peaks if peak >= HEARD]
    span = f", {min(heard):.2f} to {max(heard):.2f}" if heard else ""
    noise = f"; noise came to {proposal.noise_peak:.2f}" if proposal.noise_s else ""
    yield f"{proposal.model}: {len(heard)} of {proposal.words} heard{span}{noise}"
    yield f"     threshold   missed of {proposal.words}   false wakes in {proposal.noise_s:.0f} s"
    chosen, now = proposal.threshold, proposal.in_force.threshold
    shown = {row.threshold: row for row in proposal.rows if _is_tenth(row) or row.threshold == chosen}
    shown[now] = proposal.in_force
    for threshold in sorted(shown):
        yield _line(
            shown[threshold], ["proposed"] * (threshold == chosen) + ["in force"] * (threshold == now)
        )
    for remark in proposal.remarks:
        yield f"  {remark}"
    yield "  while the gate is closed nothing is scored, here or in the daemon: that counts as no wake word"


def diagnosis(model: str, audio: AudioConfig, loudness: Loudness, stood_out_db: float) -> str:
    """Return what is likely wrong where a microphone brought no wake word at all.

    `stood_out_db`: how far the loudest block rose above the room.
    """
    microphone = f"{audio.capture!r} (channel {audio.channel})"
    if loudness.peak <= 2:
        return (
            f"The microphone {microphone} gives nothing but zeros: it may be switched off (alsamixer), "
            "audio.channel may be the wrong one, or it is another card (pivoice devices)."
        )
    if loudness.clipped > _MOST_CLIPPED * loudness.samples:
        return "The microphone is overdriven: turn its capture level down (alsamixer), or audio.gain_db."
    if stood_out_db < _MARGIN_DB:
        return (
            f"Nothing stood out from the room's own noise: is {microphone} the one that you speak to? "
            "pivoice devices lists them all."
        )
    if loudness.peak_dbfs < _SOFT_DBFS:
        gain_db = min(40, round(audio.gain_db + _AIM_DBFS - loudness.peak_dbfs))
        return (
            f"You came in softly, {loudness.peak_dbfs:.0f} dBFS at the loudest: raise the capture level "
            f"(alsamixer), or set audio.gain_db = {gain_db}, or come nearer."
        )
    return (
        f'You were heard, but not this word: it answers to "{spoken(model)}", said in one breath. '
        "wake.models says which words it listens for."
    )


def _is_tenth(row: Row) -> bool:
    return round(100 * row.threshold) % 10 == 0


def _line(row: Row, notes: list[str]) -> str:
    mark = "->" if "proposed" in notes else "  "
    return (
        f"  {mark} {row.threshold:9.2f}   {row.missed:9}   {row.false_wakes:11}   {', '.join(notes)}".rstrip()
    )
