"""PURE: words that stop a ringing timer, in the languages that the agent understands.

Only while something rings, and only where they are nearly all that was said: "stop", "okay, stop", "halt!".
Whatever else is said goes to the agent, which has a tool for it.
"""

from __future__ import annotations

import re

_STOP_WORDS = """
stop quiet silence enough off shush
halt stopp aus ruhe genug
arrête assez tais-toi
para basta silencio alto calla pare chega silêncio ferma fermati silenzio zitto
stil genoeg klaar sluta stoppa tyst stans nok stille hiljaa seis lopeta riittää
dur yeter sus dừng रुको बंद توقف كفى עצור די
止めて 止まれ ストップ やめて 停 停止 停下 停下来 别响了 闭嘴
"""
_STOP = frozenset(_STOP_WORDS.split())
_MOST_WORDS = 4


def means_stop(text: str) -> bool:
    """Return whether `text` is somebody telling a ring to stop."""
    words = [word for word in re.split(r"[\s.,;:!?…¡¿।。、，！？\"'“”„«»]+", text.lower()) if word]
    return len(words) <= _MOST_WORDS and any(word in _STOP for word in words)
