"""One session's talk: what the server says becomes what the turn machine hears."""

from __future__ import annotations

import numpy as np

from pivoice.agent.simulated import Turn
from pivoice.turn import events
from tests.agent.scene import Scene, scene, settle, speech, tone


@scene(turns=[Turn(speech("agent_time"), "What time is it?")])
async def test_a_spoken_question_is_answered_by_voice(s: Scene):
    await s.ready()

    s.speak(speech("user_wake_time").samples)
    await s.event(events.ReplyEnded)

    assert s.kinds() == [
        "SessionReady",
        "SpeechStarted",
        "SpeechStopped",
        "UserSaid",
        "ReplyStarted",
        "ReplyEnded",
    ]
    assert s.all(events.UserSaid)[0].text == "What time is it?"
    heard = s.heard(1)
    lead = round(0.25 * 24000)
    assert np.array_equal(heard[lead:], speech("agent_time").samples)
    assert s.ended == [1]


@scene(turns=[Turn(tone(3.0))])
async def test_speech_over_a_reply_interrupts_it_once(s: Scene):
    await s.ready()
    s.session.say("talk")
    await s.event(events.ReplyStarted)

    s.speak(speech("user_wake_time").samples, pause_s=0.5)
    await s.event(events.ReplyInterrupted)
    await settle(1.0)

    assert s.all(events.ReplyInterrupted) == [events.ReplyInterrupted(1, 1)]
    assert [data["reply"] for data in s.reported("interrupted")] == [1]
    assert not s.all(events.ReplyEnded)


@scene(turns=[Turn(tone(3.0))], transcript_only=True)
async def test_an_interruption_told_by_the_transcript_alone_counts(s: Scene):
    await s.ready()
    s.session.say("talk")
    await s.event(events.ReplyStarted)

    s.speak(speech("user_wake_time").samples, pause_s=0.5)
    await s.event(events.ReplyInterrupted)
    await settle(0.2)

    assert len(s.all(events.ReplyInterrupted)) == 1
    assert not s.all(events.ReplyEnded)


@scene(turns=[Turn(tone(3.0))], transcript_only=True, speed=0)
async def test_a_reply_that_was_wholly_sent_can_still_be_interrupted_by_its_transcript(s: Scene):
    await s.ready()
    s.session.say("talk")
    await s.event(events.ReplyEnded)

    s.speak(speech("user_wake_time").samples, pause_s=0.5)

    assert await s.event(events.ReplyInterrupted) == events.ReplyInterrupted(1, 1)


@scene(turns=[Turn(tone(3.0))], stale_s=2.0, reply_delay_s=2.5)
async def test_stale_audio_after_an_interruption_is_never_played(s: Scene):
    await s.ready()
    s.session.say("talk")
    await s.event(events.ReplyStarted)
    s.speak(speech("user_wake_time").samples, pause_s=0.5)
    await s.event(events.ReplyInterrupted)
    played = len(s.heard(1))

    await settle(2.3)

    assert len(s.heard(1)) == played
    assert s.session.status()["discarded_chunks"] >= 190


@scene(turns=[Turn(tone(2.0))], stale_s=2.0, speed=0, transcript_only=True)
async def test_stale_audio_is_not_taken_for_the_next_reply(s: Scene):
    await s.ready()
    s.session.say("talk")
    await s.event(events.ReplyEnded)
    s.speak(speech("user_wake_time").samples, pause_s=0.2)

    await s.event(events.ReplyEnded, count=2)

    assert len(s.heard(2)) == round(2.25 * 24000)


@scene(turns=[Turn(tone(3.0))])
async def test_a_dropped_reply_is_not_played_on_and_the_next_one_is(s: Scene):
    await s.ready()
    s.session.say("talk")
    await s.event(events.ReplyStarted)
    await settle(0.5)

    s.session.drop_reply(1)
    played = len(s.heard(1))
    s.session.say("more")
    await s.event(events.ReplyEnded, count=2)

    assert len(s.heard(1)) == played
    assert len(s.heard(2)) == round(3.25 * 24000)


@scene(turns=[Turn(tone(4.0))])
async def test_an_uh_huh_is_told_as_speech_and_interrupts_nothing(s: Scene):
    await s.ready()
    s.session.say("talk")
    await s.event(events.ReplyStarted)

    s.speak(speech("user_uhuh").samples, pause_s=1.0)
    await s.event(events.ReplyEnded)

    assert s.kinds() == ["SessionReady", "ReplyStarted", "SpeechStarted", "SpeechStopped", "ReplyEnded"]
    assert len(s.heard(1)) == round(4.25 * 24000)


@scene(turns=[Turn(tone(1.0), silent=True)])
async def test_a_reply_without_sound_is_silent_not_ended(s: Scene):
    await s.ready()

    s.session.say("talk")
    await s.event(events.ReplySilent)

    assert not s.all(events.ReplyEnded)
    assert s.ended == [1]


@scene(turns=[Turn(tone(1.0), error="llm_failed")])
async def test_a_reply_that_failed_is_silent_and_the_session_goes_on(s: Scene):
    await s.ready()

    s.session.say("talk")
    await s.event(events.ReplySilent)
    s.session.say("again")
    await s.event(events.ReplySilent, count=2)

    assert not s.all(events.SessionLost)
    assert {"code": "llm_failed", "message": "as ordered"} in s.reported("error")


@scene(turns=[Turn(tone(2.0))], garbage=True)
async def test_garbage_is_counted_and_survived(s: Scene):
    await s.ready()

    s.session.say("talk")
    await s.event(events.ReplyEnded)
    await settle()

    assert len(s.all(events.ReplyEnded)) == 1  # although it was told twice
    assert len(s.heard(1)) == round(2.25 * 24000)
    unusable = s.session.status()["unusable_messages"]
    assert unusable["not JSON"] == 2
    assert unusable["binary frame"] == 2
    assert unusable["bad reply.audio"] == 6
    assert unusable["unknown type 'weather.report'"] == 2


@scene(error_in_band="internal_error")
async def test_an_error_in_band_does_not_end_the_session(s: Scene):
    await s.ready()

    s.session.say("talk")
    await s.event(events.ReplyEnded)

    assert not s.all(events.SessionLost)
    assert not s.all(events.LinkDropped)
    assert s.reported("error")[0]["code"] == "internal_error"


@scene()
async def test_transcripts_of_both_sides_are_reported(s: Scene):
    await s.ready()

    s.speak(speech("user_wake_time").samples)
    await s.event(events.ReplyEnded)

    final = [(each["who"], each["text"]) for each in s.reported("transcript") if each["final"]]
    assert final[0][0] == "user"
    assert final[1] == ("agent", "A tone, nothing but a tone.")
    partial = [
        each["text"] for each in s.reported("transcript") if not each["final"] and each["who"] == "agent"
    ]
    assert partial[-1] == "A tone, nothing but a tone."


@scene(turns=[Turn(tone(0.5))])
async def test_replies_are_numbered_over_all_sessions(s: Scene):
    await s.ready(1)
    s.session.say("one")
    await s.event(events.ReplyEnded)
    s.session.end()

    await s.ready(2)
    s.session.say("two")
    await s.event(events.ReplyEnded, count=2)

    assert [(each.session, each.reply) for each in s.all(events.ReplyStarted)] == [(1, 1), (2, 2)]


@scene(turns=[Turn(tone(1.0))])
async def test_requests_to_speak_wait_for_one_another(s: Scene):
    await s.ready()

    for text in ("one", "two", "three"):
        s.session.say(text)
    await s.event(events.ReplyEnded, count=3)

    assert s.agent.session.instructions == ["one", "two", "three"]  # and no violation: none while one spoke


@scene(turns=[Turn(tone(1.0))], config={"greeting": "Yes?"})
async def test_a_request_to_speak_does_not_replace_the_greeting(s: Scene):
    s.session.open(1)
    s.session.say("hello")

    await s.event(events.ReplyEnded, count=2)

    assert s.agent.session.instructions == ["hello"]
    assert s.kinds() == ["SessionReady", *["ReplyStarted", "ReplyEnded"] * 2]
