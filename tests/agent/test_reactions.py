"""Every code of the vendor's table of errors has its reaction, in each phase of a session."""

from __future__ import annotations

import pytest

from pivoice.agent import reactions, wire
from pivoice.agent.reactions import GoneError, ResumeRefusedError, VoiceRefusedError, judge, judge_close
from pivoice.errors import AgentError, AuthError, LinkError

DOCUMENTED = {
    *("unauthorized", "forbidden", "at_capacity", "concurrency_exceeded", "internal_error", "server_error"),
    *("agent_init_failed", "agent_timeout", "session_not_found", "session_forbidden", "session_expired"),
    *("invalid_value", "invalid_config", "agent_id_not_first", "agent_not_found", "immutable_field"),
    *("invalid_format", "invalid_audio", "audio_rate_violation", "invalid_webhook"),
}


def complaint(code: str, message: str = "as ordered", param: str = "") -> wire.Failure:
    return wire.Failure(code, message, param)


def judged(
    failure: wire.Failure, *, is_resume: bool = False, has_voice: bool = False
) -> type[Exception] | None:
    try:
        judge(failure, is_resume=is_resume, has_voice=has_voice)
    except AgentError as error:
        return type(error)
    return None


def test_every_documented_code_has_its_row():
    assert set(reactions.TABLE) == DOCUMENTED


@pytest.mark.parametrize(
    ("code", "connect", "resume"),
    [
        ("unauthorized", AuthError, ResumeRefusedError),
        ("forbidden", AuthError, ResumeRefusedError),
        ("at_capacity", LinkError, LinkError),
        ("concurrency_exceeded", LinkError, LinkError),
        ("internal_error", LinkError, LinkError),
        ("server_error", LinkError, LinkError),
        ("agent_init_failed", LinkError, LinkError),
        ("agent_timeout", LinkError, LinkError),
        ("session_not_found", LinkError, ResumeRefusedError),
        ("session_forbidden", LinkError, ResumeRefusedError),
        ("session_expired", LinkError, ResumeRefusedError),
        ("invalid_value", AgentError, ResumeRefusedError),
        ("invalid_config", AgentError, ResumeRefusedError),
        ("invalid_webhook", AgentError, ResumeRefusedError),
        ("agent_id_not_first", AgentError, ResumeRefusedError),
        ("agent_not_found", AgentError, ResumeRefusedError),
        ("immutable_field", None, None),
        ("invalid_format", None, ResumeRefusedError),
        ("invalid_audio", None, None),
        ("audio_rate_violation", None, None),
        ("a_code_of_tomorrow", None, ResumeRefusedError),
        ("", None, None),
    ],
)
def test_a_complaint_before_ready_is_judged(
    code: str, connect: type[Exception] | None, resume: type[Exception] | None
):
    assert judged(complaint(code)) is connect
    assert judged(complaint(code), is_resume=True) is resume


@pytest.mark.parametrize(
    ("said", "param"), [("unknown voice 'ivy'", ""), ("invalid", "session.output.voice"), ("Voice", "")]
)
def test_a_voice_that_is_not_known_can_be_left_out(said: str, param: str):
    failure = complaint("invalid_value", said, param)

    assert judged(failure, has_voice=True) is VoiceRefusedError
    assert judged(failure, has_voice=False) is AgentError


@pytest.mark.parametrize("said", ["Unauthorized", "the API key is not valid"])
def test_a_complaint_without_a_code_explains_a_close_by_policy(said: str):
    assert type(judge_close(1008, "", complaint("", said), phase="connect")) is AuthError


@pytest.mark.parametrize("reason", ["Invalid voice 'ivy'", "invalid_value: session.output.voice"])
def test_a_voice_that_only_the_close_complains_of_can_be_left_out(reason: str):
    def kind(reason: str, *, has_voice: bool = True, phase: reactions.Phase = "connect") -> type[AgentError]:
        return type(judge_close(1008, reason, None, phase=phase, has_voice=has_voice))

    assert kind(reason) is VoiceRefusedError
    assert kind(reason, has_voice=False) is AgentError
    assert kind(reason, phase="resume") is ResumeRefusedError
    assert kind("invalid_value: voice_focus") is AgentError
    assert kind("unauthorized for voice agents") is AuthError


def test_a_refused_voice_focus_is_not_a_refused_voice():
    failure = complaint("invalid_value", "must be at most 1", "session.input.voice_focus_threshold")

    assert judged(failure, has_voice=True) is AgentError


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1005, 1006, 1009, 1011, 1012, 1013, 3005, 4999])
def test_a_link_that_breaks_is_taken_up_again(code: int):
    assert type(judge_close(code, "", None, phase="live")) is LinkError
    assert type(judge_close(code, "", None, phase="connect")) is LinkError
    assert type(judge_close(code, "", None, phase="resume")) is LinkError


@pytest.mark.parametrize("code", [3006, 3007, 3008, 3009])
@pytest.mark.parametrize("phase", ["connect", "resume", "live"])
def test_a_close_listed_as_fatal_stops(code: int, phase: reactions.Phase):
    assert type(judge_close(code, "", None, phase=phase)) is AgentError


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("unauthorized", AuthError),
        ("forbidden", AuthError),
        ("at_capacity", GoneError),
        ("concurrency_exceeded", GoneError),
        ("internal_error", LinkError),
        ("server_error", LinkError),
        ("session_expired", GoneError),
        ("session_not_found", GoneError),
        ("session_forbidden", GoneError),
        ("invalid_value", AgentError),
        ("audio_rate_violation", GoneError),  # that is not why; whatever was, the session is not resumable
        ("a_code_of_tomorrow", GoneError),
        ("", GoneError),
    ],
)
def test_a_live_session_closed_by_policy_is_judged_by_its_last_complaint(code: str, kind: type[Exception]):
    assert type(judge_close(1008, "", complaint(code), phase="live")) is kind


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        ("Invalid API key", AuthError),
        ("UNAUTHORIZED", AuthError),
        ("Session expired", GoneError),
        ("session_not_found: gone", GoneError),
        ("policy violation", GoneError),
        ("", GoneError),
    ],
)
def test_a_policy_close_without_a_complaint_is_judged_by_its_reason(reason: str, kind: type[Exception]):
    assert type(judge_close(1008, reason, None, phase="live")) is kind


@pytest.mark.parametrize("code", [1000, 1006, 1011])
def test_an_expired_session_is_not_resumed_however_it_was_closed(code: int):
    error = judge_close(code, "", complaint("session_expired"), phase="live")

    assert type(error) is GoneError
    assert error.code == "session_expired"


@pytest.mark.parametrize(
    ("reason", "kind"),
    [("bad settings", AgentError), ("Invalid API key", AuthError), ("at_capacity", LinkError)],
)
def test_a_policy_close_before_ready_is_the_owners_matter_unless_it_says_why(
    reason: str, kind: type[Exception]
):
    assert type(judge_close(1008, reason, None, phase="connect")) is kind
    assert issubclass(type(judge_close(1008, "bad", None, phase="resume")), ResumeRefusedError)


def test_a_refusal_tells_the_code_the_field_and_the_next_step():
    failure = complaint("invalid_value", "must be below 3000", "session.input.turn_detection.min_silence")

    with pytest.raises(AgentError) as caught:
        judge(failure, is_resume=False, has_voice=False)

    told = str(caught.value)
    assert "invalid_value session.input.turn_detection.min_silence: must be below 3000" in told
    assert told.endswith("check the [agent] settings")
