"""Real cards' volume controls: libasound's simple mixer, one control at a time.

Any thread but the event loop's and the audio threads'. Not through pyalsaaudio: its mixer holds the GIL in
every transfer, so that a USB card that hangs (the kernel waits a second for each) takes the whole process
with it (other threads stood still for 1.0 s of a hang of 1 s, and for 16 ms here, 2026-11), and it gives back
what happens to be in memory for a control that tells no dB (0.11).
Every call here lets go of the GIL. Opened for each use: reading a card's controls takes ms, and nothing is
left that could be stale when the card was pulled out.
"""

from __future__ import annotations

import ctypes
import functools
import os
import re
from collections.abc import Callable
from ctypes import byref, c_char_p, c_int, c_long, c_void_p

from pivoice.audio import cards, chatter
from pivoice.audio.controls import choose
from pivoice.audio.loudness_scale import Scale
from pivoice.audio.ports import Side
from pivoice.errors import DeviceError

_CHANNELS = 32  # SND_MIXER_SCHN_LAST + 1
_MUTE = -9_999_900  # SND_CTL_TLV_DB_GAIN_MUTE and a little more: what counts as no dB at all, in 0.01 dB
_FEW_STEPS = 8  # of a control without dB: fewer are a switch, or a boost
_UP = 1  # to the next step above
_KERNEL_CARD = 0  # SND_CTL_TYPE_HW
_OF_THE_MIXER = 2  # SND_CTL_ELEM_IFACE_MIXER
_BARE = ("hw:", "plughw:")  # PCMs with nothing of software on their way
_CARD = re.compile(
    r"CARD=\"?(?P<named>[^\",]+)|^(?:hw|plughw|sysdefault|dmix|dsnoop|front|hdmi):(?P<first>\w+)"
)
_GONE = "check its cable; the samples are made softer or louder instead"


def open_control(
    pcm: str, side: Side, wanted: str = "auto", card_no: int | None = None
) -> CardControl | None:
    """Return the control of the card that a PCM is on; see controls.open_control."""
    place = _place_of(pcm, card_no)
    mixer = _Mixer(place)
    try:
        if mixer.error or (place == pcm and _is_a_guess(pcm, mixer)):
            mixer.close()
            return None
        control = _chosen(mixer, pcm, side, wanted)
    except BaseException:
        mixer.close()
        raise
    if control is None:
        mixer.close()
    return control


class CardControl:
    """Satisfies `controls.Control`."""

    def __init__(self, mixer: _Mixer, element: c_void_p, name: str, side: Side, scale: Scale) -> None:
        self.label = f"mixer {name!r} of card {mixer.card}"
        self.scale = scale
        self._mixer = mixer
        self._element = element
        self._side = side

    def read(self) -> float | None:
        self._mixer.refresh(self.label)
        if self._has("switch") and not any(self._each("switch", c_int)):
            return None
        if self.scale.has_db:
            loudest = max(self._each("dB", c_long))
            return None if loudest <= _MUTE else loudest / 100
        lowest, highest = _range(self._mixer.sound, self._element, self._side, "volume") or (0, 1)
        return (max(self._each("volume", c_long)) - lowest) / (highest - lowest)

    def write(self, value: float) -> None:
        if self.scale.has_db:
            self._do("dB_all", c_long(round(100 * value)), c_int(_UP))
        else:
            lowest, highest = _range(self._mixer.sound, self._element, self._side, "volume") or (0, 1)
            self._do("volume_all", c_long(lowest - int(-value * (highest - lowest) // 1)))
        if self._has("switch"):
            self._do("switch_all", c_int(1))

    def close(self) -> None:
        self._mixer.close()

    def _has(self, what: str) -> bool:
        ask = getattr(self._mixer.sound, f"snd_mixer_selem_has_{self._side}_{what}")
        return bool(ask(self._element))

    def _each(self, what: str, kind: type[c_int] | type[c_long]) -> list[int]:
        """Return the value of every channel there is."""
        sound, value = self._mixer.sound, kind()
        has = getattr(sound, f"snd_mixer_selem_has_{self._side}_channel")
        ask = getattr(sound, f"snd_mixer_selem_get_{self._side}_{what}")
        found = []
        for channel in range(_CHANNELS):
            if has(self._element, channel):
                self._mixer.check(ask(self._element, channel, byref(value)), "ask", self.label)
                found.append(int(value.value))
        return found or [0]

    def _do(self, what: str, *arguments: c_int | c_long) -> None:
        act = getattr(self._mixer.sound, f"snd_mixer_selem_set_{self._side}_{what}")
        self._mixer.check(act(self._element, *arguments), "move", self.label)


class _Mixer:
    """All controls of one card, open. `error`: why it is not, as strerror says it."""

    def __init__(self, place: str) -> None:
        self.sound = _library()
        self._handle = c_void_p()
        self._ctl = c_void_p()
        self.card = place
        error = self.sound.snd_mixer_open(byref(self._handle), 0)
        if error >= 0:
            error = self.sound.snd_mixer_attach(self._handle, os.fsencode(place))
        if error >= 0:
            error = self.sound.snd_mixer_selem_register(self._handle, None, None)
        if error >= 0:
            error = self.sound.snd_mixer_load(self._handle)
        self.error = self._text(error) if error < 0 else ""
        if not self.error:
            hctl = c_void_p()
            self.sound.snd_mixer_get_hctl(self._handle, os.fsencode(place), byref(hctl))
            self._ctl = c_void_p(self.sound.snd_hctl_ctl(hctl))
            self.card = self._id() or place

    @property
    def is_of_the_kernel(self) -> bool:
        """A card's own, not a sound server's."""
        return int(self.sound.snd_ctl_type(self._ctl)) == _KERNEL_CARD

    def elements(self) -> list[tuple[str, c_void_p]]:
        """Return its controls, each with its name."""
        found, next_ = [], self.sound.snd_mixer_first_elem(self._handle)
        while next_:
            element = c_void_p(next_)
            if self.sound.snd_mixer_selem_is_active(element):
                name = self.sound.snd_mixer_selem_get_name(element)
                found.append((name.decode(errors="replace"), element))
            next_ = self.sound.snd_mixer_elem_next(element)
        return found

    def is_softvol(self, name: str, side: Side) -> bool:
        """Whether a control is not the card's: a softvol PCM made it, and on the way of that alone it works.

        Who plays once to the `default` of an HDMI socket (vc4-hdmi.conf), or to a softvol of asound.conf,
        leaves such a `PCM` behind, over restarts.
        """
        sound, facts, id_ = self.sound, c_void_p(), c_void_p()
        if sound.snd_ctl_elem_info_malloc(byref(facts)) < 0:
            return False
        try:
            if sound.snd_ctl_elem_id_malloc(byref(id_)) < 0:
                return False
            sound.snd_ctl_elem_id_set_interface(id_, _OF_THE_MIXER)
            sound.snd_ctl_elem_id_set_name(id_, f"{name} {side.capitalize()} Volume".encode())
            sound.snd_ctl_elem_info_set_id(facts, id_)
            is_there = sound.snd_ctl_elem_info(self._ctl, facts) >= 0
            return is_there and bool(sound.snd_ctl_elem_info_is_user(facts))
        finally:
            sound.snd_ctl_elem_info_free(facts)
            if id_:
                sound.snd_ctl_elem_id_free(id_)

    def refresh(self, label: str) -> None:
        """Have what others changed meanwhile."""
        self.check(self.sound.snd_mixer_handle_events(self._handle), "ask", label)

    def check(self, error: int, doing: str, label: str) -> None:
        if error < 0:
            raise DeviceError(label, doing=doing, reason=self._text(error), advice=_GONE)

    def close(self) -> None:
        if self._handle:
            self.sound.snd_mixer_close(self._handle)
            self._handle = c_void_p()

    def _text(self, error: int) -> str:
        return str(self.sound.snd_strerror(error).decode(errors="replace"))

    def _id(self) -> str:
        facts = c_void_p()
        if self.sound.snd_ctl_card_info_malloc(byref(facts)) < 0:
            return ""
        try:
            if self.sound.snd_ctl_card_info(self._ctl, facts) < 0:
                return ""
            return str(self.sound.snd_ctl_card_info_get_id(facts).decode(errors="replace"))
        finally:
            self.sound.snd_ctl_card_info_free(facts)


def _place_of(pcm: str, card_no: int | None) -> str:
    """Return what libasound calls the controls of the card behind `pcm`: as itself, if none is named."""
    if card_no is not None:
        return f"hw:{card_no}"
    found = _CARD.search(pcm)
    if found:
        return f"hw:{found['named'] or found['first']}"
    return pcm.partition(":")[0] if pcm.startswith(("default", "sysdefault")) else pcm


def _is_a_guess(pcm: str, mixer: _Mixer) -> bool:
    """Whether `default` may be the PCM of one card and the controls of another: some file made it so."""
    return pcm == "default" and mixer.is_of_the_kernel and bool(cards.default_owner())


def _chosen(mixer: _Mixer, pcm: str, side: Side, wanted: str) -> CardControl | None:
    found: dict[str, CardControl] = {}
    for name, element in mixer.elements():
        scale = _scale_of(mixer.sound, element, side)
        is_bypassed = pcm.startswith(_BARE) and mixer.is_softvol(name, side)
        if scale is not None and name not in found and not is_bypassed:
            found[name] = CardControl(mixer, element, name, side, scale)
    if wanted == "auto":
        name_of_it = choose(list(found), side)
        return None if name_of_it is None else found[name_of_it]
    for name, control in found.items():
        if name.casefold() == wanted.casefold():
            return control
    setting = "audio.mixer" if side == "playback" else "audio.capture_mixer"
    there = f"it has {', '.join(map(repr, found))}" if found else "it has none"
    raise DeviceError(
        pcm,
        doing=f"find the mixer {wanted!r} of",
        reason=there,
        advice=f'set {setting} to one of these, or to "auto"' if found else f'set {setting} to "auto"',
    )


def _scale_of(sound: ctypes.CDLL, element: c_void_p, side: Side) -> Scale | None:
    """Return how far a control goes on one side; None where it has no volume there that is worth the name."""
    if not getattr(sound, f"snd_mixer_selem_has_{side}_volume")(element):
        return None
    steps = _range(sound, element, side, "volume")
    if steps is None:
        return None
    decibels = _range(sound, element, side, "dB")
    if decibels is None:
        return Scale(side, 0.0, 1.0, has_db=False) if steps[1] - steps[0] >= _FEW_STEPS else None
    lowest, value = decibels[0], c_long()
    if lowest <= _MUTE:  # its lowest step is off: the one above it is the softest
        ask = getattr(sound, f"snd_mixer_selem_ask_{side}_vol_dB")
        if ask(element, c_long(steps[0] + 1), byref(value)) < 0 or not _MUTE < value.value < decibels[1]:
            return None
        lowest = int(value.value)
    return Scale(side, lowest / 100, decibels[1] / 100)


def _range(sound: ctypes.CDLL, element: c_void_p, side: Side, what: str) -> tuple[int, int] | None:
    lowest, highest = c_long(), c_long()
    ask: Callable[..., int] = getattr(sound, f"snd_mixer_selem_get_{side}_{what}_range")
    if ask(element, byref(lowest), byref(highest)) < 0 or lowest.value >= highest.value:
        return None
    return int(lowest.value), int(highest.value)


@functools.cache
def _library() -> ctypes.CDLL:
    """Return libasound, told which of its functions return no int.

    Raises:
        DeviceError: it is not there.
    """
    with chatter.captured():  # from now on what it prints is kept off the journal
        pass
    try:
        sound = ctypes.CDLL("libasound.so.2")
    except OSError as error:
        raise DeviceError("libasound.so.2", doing="load", reason=str(error)) from error
    for name in ("snd_strerror", "snd_mixer_selem_get_name", "snd_ctl_card_info_get_id"):
        getattr(sound, name).restype = c_char_p
    for name in ("snd_mixer_first_elem", "snd_mixer_elem_next", "snd_hctl_ctl"):
        getattr(sound, name).restype = c_void_p
    return sound
