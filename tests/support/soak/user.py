"""Who lives with the device: talks to it, interrupts, mutes and changes it, writes rubbish to its socket.

Event loop only. A talk that nothing disturbs is answered: that is a promise. All else only has to leave
nothing behind.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from pivoice.agent.simulated_plan import ScriptedCall, Turn
from pivoice.agent.simulated_voice import load_voice, speech_directory
from pivoice.errors import PivoiceError
from pivoice.panel.simulated import SimulatedPanel
from tests.support.soak.disturbance import Calm
from tests.support.soak.ground import MIC_HZ, TALK_BUTTON, SoakWorld, wake_word
from tests.support.speech import load_speech

_WAKE = wake_word()
_QUIET_S = 8.0  # after a fault, until an answer is owed again
_ANSWERED_S = 15.0
_SHORT_DAY = 8  # minutes of talk: on many a day the cap is reached
_OVER_S = 150.0  # the longest talk, its deadlines included
_ECHOES = ("none", "none", "half_duplex", "webrtc")

Act = Callable[[], Awaitable[None]]


def turns() -> dict[str, Turn]:
    """Return what the agent can be made to answer, by name."""

    def voice(name: str) -> Any:
        return load_voice(speech_directory() / f"{name}.wav")

    goodbye = (ScriptedCall("end_conversation", {}),)
    return {
        "weather": Turn(voice("agent_weather"), "what is the weather"),
        "long": Turn(voice("agent_long"), "tell me a story"),
        "time": Turn(voice("agent_time"), "what time is it", tools=(ScriptedCall("get_time", {}),)),
        "short": Turn(voice("agent_short"), "thanks"),
        "stale": Turn(voice("agent_long"), "tell me a story", stale_s=2.0),
        "unknown": Turn(voice("agent_time"), "fly", tools=(ScriptedCall("fly", {"to": "the moon"}),)),
        "goodbye": Turn(voice("agent_short"), "goodbye", tools=goodbye),
        "silent": Turn(voice("agent_short"), "hm", silent=True),
        "failing": Turn(voice("agent_short"), "hm", error="llm_error"),
    }


class User:
    """One lane: every kind of act once, then whichever comes."""

    def __init__(self, world: SoakWorld, calm: Calm, *, seed: int) -> None:
        self._world = world
        self._calm = calm
        self._random = random.Random(f"{seed} user")
        self._turns = turns()
        self._due: list[str] = []
        self._acts: dict[str, Act] = {
            "asks": self._ask,
            "asks twice": self._ask_twice,
            "interrupts": self._interrupt,
            "uses a tool": self._use_tool,
            "says goodbye": self._say_goodbye,
            "wakes and says nothing": self._wake_for_nothing,
            "stops": self._stop,
            "mutes": self._mute,
            "mutes in a talk": self._mute_in_talk,
            "changes the volume": self._change_volume,
            "lets say": self._let_say,
            "reloads": self._reload,
            "reloads in a talk": self._reload_in_talk,
            "reloads a mistake": self._reload_mistake,
            "writes rubbish": self._write_rubbish,
            "watches and does not read": self._watch_without_reading,
            "calls in crowds": self._call_in_crowds,
            "hears nothing of it": self._ask_in_vain,
            "presses": self._press,
            "talks by a button": self._talk_by_button,
            "puts the switch": self._switch,
        }
        self._talks = tuple(self._acts)[:6]

    async def live(self, until_s: float, *, acts: int) -> None:
        """Do so many things until then, each over by then; each kind once, and more talks, when 0."""
        loop = self._world.loop
        due = self._drawn(acts or len(self._acts) + len(self._talks))
        while due:
            slot_s = (until_s - loop.time() - _OVER_S) / len(due)
            if slot_s < 1.0:
                return
            await asyncio.sleep(self._random.uniform(0.0, 0.9) * max(0.0, slot_s - 20.0))
            name = due.pop()
            self._world.promises.happened[name] += 1
            await self._acts[name]()

    def _drawn(self, count: int) -> list[str]:
        while len(self._due) < count:
            kinds = [*self._acts, *self._talks]  # half of all is talk
            self._due = [*self._random.sample(kinds, len(kinds)), *self._due]
        cut = max(0, len(self._due) - count)
        self._due, drawn = self._due[:cut], self._due[cut:]
        return drawn

    # --- talks ---

    async def _wake(self) -> None:
        how = self._random.choice(["word", "word", "button", "command"])
        if how == "word":
            over_s = self._world.speak(_WAKE)
            await asyncio.sleep(over_s - self._world.loop.time() + self._random.choice([0.15, 0.9]))
        elif how == "button":
            self._panel.press()
        else:
            await self._tell("wake")

    @property
    def _panel(self) -> SimulatedPanel:
        panel = self._world.daemon.panel
        assert isinstance(panel, SimulatedPanel)
        return panel

    async def _talk(self, *names: str, speech: str = "user_weather") -> bool:
        """Wake it and speak, once for each answer; return whether the last one began to sound."""
        if self._world.daemon.turn.muted:
            await self._tell("unmute")
            await self._world.becomes(lambda: self._world.daemon.seen.hears, 6.0)
        await self._world.becomes(lambda: self._world.state == "idle", _OVER_S)
        is_owed, changes = self._is_owed(), self._calm.changes
        began_s = self._world.loop.time()
        await self._wake()
        answered = False
        for name in names:
            answered = await self._speak(name, speech)
            if not answered or name != names[-1]:
                await self._world.becomes(lambda: self._world.state in ("idle", "listening"), 60.0)
        if is_owed and changes == self._calm.changes and self._turns[names[-1]].voice and not answered:
            session = self._world.daemon.session.status()
            told = f"a talk from {began_s:.1f} s on that nothing disturbed got no answer ({names}; {session})"
            self._world.promises.check(False, told)
        return answered

    def _is_owed(self) -> bool:
        """Whether nothing is in the way of an answer."""
        world = self._world
        most = world.daemon.config.agent.daily_minutes
        spent = float(str(world.daemon.session.status()["minutes_today"]))
        is_paid = not most or spent < most - 2.0  # a talk must not run into the cap
        is_calm = self._calm.holds(_QUIET_S) and world.daemon.seen.hears
        return is_calm and is_paid and not world.daemon.turn.muted

    async def _speak(self, name: str, speech: str) -> bool:
        world = self._world
        world.agent.plan.turns = [self._turns[name]]
        over_s = world.speak(load_speech(speech).at_rate(MIC_HZ))
        await asyncio.sleep(over_s - world.loop.time())
        return await world.becomes(lambda: world.state == "speaking", _ANSWERED_S)

    async def _ends(self) -> None:
        await self._world.becomes(lambda: self._world.state == "idle", _OVER_S)

    async def _ask(self) -> None:
        await self._talk("weather")
        await self._ends()

    async def _ask_twice(self) -> None:
        await self._talk("short", "weather", speech="user_wake_time")
        await self._ends()

    async def _interrupt(self) -> None:
        if await self._talk(self._random.choice(["long", "stale"])):
            await asyncio.sleep(self._random.uniform(0.2, 4.0))
            self._world.agent.plan.turns = [self._turns["short"]]
            if self._random.random() < 0.7:
                self._world.speak(
                    load_speech(self._random.choice(["user_barge", "user_uhuh"])).at_rate(MIC_HZ)
                )
            else:
                await self._wake()
            await asyncio.sleep(6.0)
            await self._tell("hush")
        await self._ends()

    async def _use_tool(self) -> None:
        await self._talk(self._random.choice(["time", "unknown"]))
        await self._ends()

    async def _say_goodbye(self) -> None:
        await self._talk("goodbye")
        await self._ends()

    async def _wake_for_nothing(self) -> None:
        await self._wake()
        await asyncio.sleep(1.0)
        await self._ends()

    async def _ask_in_vain(self) -> None:
        """The model fails: nothing is to be heard, and nothing is left behind."""
        await self._wake()
        await self._speak(self._random.choice(["silent", "failing"]), "user_thanks")
        await self._ends()

    async def _stop(self) -> None:
        await self._talk("long")
        await self._tell(self._random.choice(["stop", "hush"]))
        await self._ends()

    async def _press(self) -> None:
        """A child at the button."""
        for _ in range(self._random.randrange(2, 12)):
            self._panel.press()
            await asyncio.sleep(self._random.choice([0.0, 0.05, 0.4, 2.0]))
        await self._ends()

    async def _talk_by_button(self) -> None:
        """Hold it and speak; now and then something lies on it."""
        self._panel.down(TALK_BUTTON)
        await self._speak("weather", "user_weather")
        await asyncio.sleep(self._random.choice([0.0, 1.0, 200.0]))
        self._panel.up(TALK_BUTTON)
        await self._ends()

    # --- switches ---

    async def _switch(self) -> None:
        """Mute for good, by the switch, in a talk or out of it; nothing but the switch unmutes."""
        if self._random.random() < 0.5:
            await self._wake()
        panel = self._panel
        panel.switch(on=True)
        await self._tell("unmute")
        await asyncio.sleep(self._random.choice([1.0, 5.0, 300.0]))
        closed = await self._world.becomes(lambda: not self._world.daemon.ears.is_open, 1.0)
        # a panel that is closed tells of a daemon that was replaced, whose switch is where it is at first
        is_kept = closed or panel.is_closed
        self._world.promises.check(is_kept, "muted by the switch, and the microphone is open")
        panel.switch(on=False)
        await self._tell("unmute")
        await self._ends()

    async def _hold(self) -> None:
        self._panel.down()
        await asyncio.sleep(1.0 + self._random.random())
        self._panel.up()

    async def _mute(self) -> None:
        if self._random.random() < 0.5:
            await self._hold()
        else:
            await self._tell("mute")
        await asyncio.sleep(self._random.choice([0.1, 5.0, 300.0]))
        self._world.speak(_WAKE)  # nobody hears it
        await asyncio.sleep(1.0)
        if self._world.daemon.turn.muted:
            closed = await self._world.becomes(lambda: not self._world.daemon.ears.is_open, 1.0)
            self._world.promises.check(closed, "muted, and the microphone is open")
        await self._tell("unmute")

    async def _mute_in_talk(self) -> None:
        await self._wake()
        await asyncio.sleep(self._random.uniform(0.0, 6.0))
        await self._tell("mute")
        await self._ends()
        await asyncio.sleep(2.0)
        await self._tell("unmute")

    async def _change_volume(self) -> None:
        await self._tell("set", setting="agent.volume", value=self._random.randrange(20, 101))
        await self._talk("short")
        await self._tell("set", setting="agent.volume", value=self._random.randrange(20, 101))
        await self._ends()

    async def _let_say(self) -> None:
        self._world.agent.plan.turns = [self._turns["short"]]
        for _ in range(self._random.randrange(1, 4)):
            await self._tell("say", text="Tea is ready.")
        await asyncio.sleep(1.0)
        await self._ends()

    async def _reload(self) -> None:
        given = self._world.settings
        choose = self._random.choice
        self._world.settings = replace(
            given,
            audio=replace(given.audio, echo=choose(_ECHOES)),
            agent=replace(
                given.agent, linger=choose([True, False]), daily_minutes=choose([0, 0, _SHORT_DAY])
            ),
        )
        before = self._world.daemon
        answer = await self._tell("reload")
        if "error" not in answer:
            changed = await self._world.becomes(lambda: self._world.daemon is not before, _OVER_S)
            self._world.promises.check(changed, "a reload that was promised did not come")

    async def _reload_in_talk(self) -> None:
        await self._talk("weather")
        await self._reload()
        await self._ends()

    async def _reload_mistake(self) -> None:
        self._world.is_faulty = True
        before = self._world.daemon
        answer = await self._tell("reload")
        self._world.is_faulty = False
        self._world.promises.check("error" in answer, f"a faulty configuration was taken: {answer}")
        await asyncio.sleep(5.0)
        self._world.promises.check(before is self._world.daemon, "the old settings did not stay")

    # --- the control socket ---

    async def _tell(self, command: str, **arguments: object) -> dict[str, Any]:
        """Return the answer; an error when the daemon is just being replaced."""
        try:
            return await self._world.ask(command, **arguments)
        except (OSError, ValueError, PivoiceError) as error:
            return {"error": repr(error)}

    async def _connect(self) -> asyncio.StreamWriter | None:
        try:
            _, writer = await asyncio.open_unix_connection(self._world.daemon.config.control.socket)
        except OSError:
            return None
        return writer

    async def _write_rubbish(self) -> None:
        dice = self._random
        for _ in range(5):
            if writer := await self._connect():
                rubbish = dice.choice(
                    [
                        dice.randbytes(3000),
                        b"[" * 5000 + b"\n",
                        b'{"command": "say", "text": "' + b"x" * 70_000,
                        b'{"command": {"command": []}}\n{"command": "watch"}\n',
                        b'{"command": "statu',
                        json.dumps({"command": "set", "setting": "\ud800", "value": [None]}).encode() + b"\n",
                    ]
                )
                writer.write(rubbish)
                await asyncio.sleep(dice.choice([0.0, 0.5, 3.0]))
                writer.transport.abort() if dice.random() < 0.5 else writer.close()

    async def _watch_without_reading(self) -> None:
        if writer := await self._connect():
            writer.write(b'{"command": "watch"}\n')
            writer.transport.pause_reading()  # type: ignore[attr-defined]
            await self._talk("weather")
            await self._ends()
            writer.transport.abort()

    async def _call_in_crowds(self) -> None:
        callers = [await self._connect() for _ in range(70)]
        await asyncio.sleep(1.0)
        for writer in callers:
            if writer:
                writer.write(b'{"command": "status"}\n{"command": "metrics"}\n')
        await asyncio.sleep(1.0)
        for writer in callers:
            if writer:
                writer.close()
