"""Counters and histograms, read back by the parser of Prometheus' own library."""

from __future__ import annotations

import subprocess
import sys

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from pivoice.chronicle import Chronicle
from pivoice.exposition import text_of
from pivoice.metrics import Metrics, Readings

COUNTERS = {
    "capture_xruns": 3,
    "playback_xruns": 1,
    "wake": {"blocks_scored": 100, "gate_openings": 5, "near_misses": 2, "in_own_voice": 1},
    "uplink_dropped_frames": 48_000,
    "dead_reply_s": 1.5,
    "ducks": {"on_suspicion": 4, "on_word": 3, "confirmed": 2, "came_back": 5, "cut": 1, "played_out": 1},
    "echo": {"slips": 2},
    "says_lost": 1,
    "ignored_events": {"SpeechStopped": 7},
}
NOW = {
    "version": "1.2.3",
    "state": "listening",
    "link": "up",
    "muted": False,
    "hears": True,
    "conditions": ["no_speaker", "reconnecting"],
    "uptime_s": 12.5,
    "session": {"seconds_today": 61.5, "cost_today": 0.0761},
}


def families(
    metrics: Metrics, readings: Readings | None = None, *, time_s: float = 100.0
) -> dict[str, Metric]:
    text = text_of(metrics.families(readings or Readings(), time_s=time_s))
    return {each.name: each for each in text_string_to_metric_families(text)}


def values(metrics: Metrics, readings: Readings | None = None, *, time_s: float = 100.0) -> dict[str, float]:
    """Return each sample as `name{label=value}`."""
    found = {}
    for family in families(metrics, readings, time_s=time_s).values():
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def observed(*lines: dict[str, object]) -> Metrics:
    metrics = Metrics()
    for number, line in enumerate(lines):
        metrics.observe({"time_s": float(number), **line})
    return metrics


def session(state: str, **facts: object) -> dict[str, object]:
    return {"event": "session", "state": state, "session": 1, **facts}


def test_every_metric_has_help_a_type_and_a_name_by_the_conventions():
    found = families(observed({"event": "wake", "model": "a", "score": 0.7}), Readings(COUNTERS, NOW))

    assert len(found) > 30
    for name, family in found.items():
        assert name.startswith("pivoice_")
        assert family.documentation.endswith(".")
        assert family.type in ("counter", "gauge", "histogram")
        if family.type == "counter":
            assert all(sample.name.endswith("_total") for sample in family.samples)
        assert not any(unit in name for unit in ("_ms", "_minutes", "_frames", "_percent"))


def test_what_the_parts_counted_is_there_in_base_units():
    found = values(Metrics(), Readings(COUNTERS))

    assert found["pivoice_xruns_total{side=capture}"] == 3
    assert found["pivoice_xruns_total{side=playback}"] == 1
    assert found["pivoice_wake_blocks_scored_total"] == 100
    assert found["pivoice_wake_near_misses_total"] == 2
    assert found["pivoice_wakes_in_own_voice_total"] == 1
    assert found["pivoice_uplink_dropped_seconds_total"] == 2.0
    assert found["pivoice_dead_reply_seconds_total"] == 1.5
    assert found["pivoice_ducks_total{heard_by=device}"] == 4
    assert found["pivoice_duck_ends_total{end=came_back}"] == 5
    assert found["pivoice_echo_events_total{what=slips}"] == 2
    assert found["pivoice_ignored_events_total{what=SpeechStopped}"] == 7


def test_what_is_so_now_is_there():
    found = values(Metrics(), Readings({}, NOW))

    assert found["pivoice_build_info{version=1.2.3}"] == 1
    assert found["pivoice_state{state=listening}"] == 1
    assert found["pivoice_state{state=idle}"] == 0
    assert found["pivoice_link{link=up}"] == 1
    assert (found["pivoice_hears"], found["pivoice_muted"]) == (1, 0)
    assert found["pivoice_fault{fault=no_speaker}"] == 1
    assert found["pivoice_fault{fault=no_microphone}"] == 0
    assert found["pivoice_uptime_seconds"] == 12.5
    assert found["pivoice_session_today_seconds"] == 61.5


def test_what_can_be_told_from_the_start_stands_at_zero():
    found = values(Metrics())

    assert found["pivoice_false_wakes_total"] == 0
    assert found["pivoice_turns_total{outcome=answered}"] == 0
    assert found["pivoice_faults_total{fault=no_microphone}"] == 0
    assert found["pivoice_restarts_total{part=capture}"] == 0
    assert found["pivoice_time_to_first_audio_seconds_count"] == 0


def test_a_session_is_counted_through_drop_resume_and_refusal():
    metrics = observed(
        session("connecting"),
        session("retrying", reason="no route"),
        session("ready", id="sess_1"),  # at 2 s
        session("dropped", code=1006),  # at 3 s
        session("refused", code="gone"),
        session("ready", id="sess_2"),  # at 5 s
        session("lingering"),  # at 6 s
        session("resumed", id="sess_2"),  # at 7 s
        session("lost", reason="gone"),  # at 8 s
    )

    found = values(metrics)

    assert found["pivoice_sessions_total"] == 2
    assert found["pivoice_connects_total"] == 3
    assert found["pivoice_reconnects_total"] == 1
    assert found["pivoice_connect_failures_total"] == 1
    assert found["pivoice_link_drops_total"] == 1
    assert found["pivoice_resumes_total{answer=accepted}"] == 1
    assert found["pivoice_resumes_total{answer=refused}"] == 1
    assert found["pivoice_sessions_lost_total"] == 1
    assert found["pivoice_session_open_seconds_total"] == 3.0


def test_a_session_that_is_open_counts_up_to_now():
    metrics = observed(session("ready", id="sess_1"))

    assert values(metrics, time_s=4.5)["pivoice_session_open_seconds_total"] == 4.5
    assert values(metrics, time_s=6.0)["pivoice_session_open_seconds_total"] == 6.0


def test_latencies_are_histograms_in_seconds():
    metrics = observed(
        {"event": "latency", "name": "speech_stopped_to_sound", "ms": 750.0},
        {"event": "latency", "name": "speech_stopped_to_sound", "ms": 750.1},
        {"event": "latency", "name": "speech_stopped_to_sound", "ms": 60_000.0},
        {"event": "latency", "name": "interruption_to_silence", "ms": 45.0},
        {"event": "latency", "name": "wake_to_ready", "ms": 400.0},
    )

    found = values(metrics)

    first_audio = "pivoice_time_to_first_audio_seconds"
    assert found[f"{first_audio}_bucket{{le=0.5}}"] == 0
    assert found[f"{first_audio}_bucket{{le=0.75}}"] == 1
    assert found[f"{first_audio}_bucket{{le=1.0}}"] == 2
    assert found[f"{first_audio}_bucket{{le=+Inf}}"] == found[f"{first_audio}_count"] == 3
    assert found[f"{first_audio}_sum"] == 61.5001
    assert found["pivoice_flush_seconds_bucket{le=0.05}"] == 1
    assert found["pivoice_connect_seconds_sum"] == 0.4


def test_wake_words_are_counted_by_model_and_their_scores_kept():
    metrics = observed(
        {"event": "wake", "model": "hey_pi", "score": 0.62},
        {"event": "wake", "model": "hey_pi", "score": 0.97},
        {"event": "wake", "model": "jarvis", "score": 0.5},
        {"event": "wake", "model": "jarvis", "score": 0.9, "ignored": True},
    )

    found = values(metrics)

    assert found["pivoice_wakes_total{model=hey_pi}"] == 2
    assert found["pivoice_wakes_total{model=jarvis}"] == 1
    assert found["pivoice_wake_score_bucket{le=0.7,model=hey_pi}"] == 1
    assert found["pivoice_wake_score_sum{model=jarvis}"] == 0.5


def test_turns_conversations_and_what_went_wrong_are_counted():
    metrics = observed(
        {"event": "turn", "turn": 1, "outcome": "answered"},
        {"event": "conversation", "by": "wake word", "turns": 1, "seconds": 9.5, "is_false_wake": True},
        {"event": "conversation", "by": "button", "turns": 1, "seconds": 0.5, "is_false_wake": False},
        {"event": "interrupted", "reply": 1},
        {"event": "playback", "what": "underrun", "reply": 1},
        {"event": "playback", "what": "silence", "reply": 1},
        {"event": "error", "code": "x", "message": "y"},
        {"event": "restart", "part": "capture"},
    )

    found = values(metrics)

    assert found["pivoice_turns_total{outcome=answered}"] == 1
    assert found["pivoice_conversations_total{by=wake word}"] == 1
    assert found["pivoice_conversation_seconds_total"] == 10
    assert found["pivoice_false_wakes_total"] == 1
    assert found["pivoice_interruptions_total"] == 1
    assert found["pivoice_reply_underruns_total"] == 1
    assert found["pivoice_agent_errors_total"] == 1
    assert found["pivoice_restarts_total{part=capture}"] == 1


def test_a_fault_counts_once_until_it_is_mended():
    lost: dict[str, object] = {"event": "state", "state": "idle", "conditions": ["no_microphone", "starting"]}
    well: dict[str, object] = {"event": "state", "state": "idle", "conditions": []}

    found = values(observed(lost, {**lost, "state": "listening"}, well, lost))

    assert found["pivoice_faults_total{fault=no_microphone}"] == 2
    assert "pivoice_faults_total{fault=starting}" not in found


def test_a_reload_resets_nothing():
    chronicle = Chronicle()
    chronicle.observe({"event": "wake", "time_s": 1.0, "model": "hey_pi", "score": 0.9})
    chronicle.observe({"event": "session", "time_s": 1.4, "session": 1, "state": "ready", "id": "s"})

    chronicle.close(Readings(COUNTERS, NOW))  # the daemon ends; the next one begins to count at 0
    found = values(chronicle.metrics, Readings({"capture_xruns": 2, "wake": {"blocks_scored": 1}}))

    assert found["pivoice_wakes_total{model=hey_pi}"] == 1
    assert found["pivoice_xruns_total{side=capture}"] == 5
    assert found["pivoice_xruns_total{side=playback}"] == 1
    assert found["pivoice_wake_blocks_scored_total"] == 101
    assert found["pivoice_ignored_events_total{what=SpeechStopped}"] == 7
    assert chronicle.latencies.summary()["wake_to_ready"]["count"] == 1


def test_what_a_server_or_a_user_says_is_in_no_metric():
    metrics = observed(
        {"event": "transcript", "who": "user", "text": "grepme", "final": True},
        {"event": "error", "code": "grepme", "message": "grepme"},
        session("lost", reason="grepme", code="grepme"),
        session("ready", id="grepme"),
        {"event": "fault", "part": "microphone", "state": "lost", "reason": "grepme"},
        {"event": "restart", "part": "grepme"},
        {"event": "state", "state": "idle", "conditions": ["grepme"]},
    )
    now = {**NOW, "session": {"id": "grepme", "complaints": {"grepme": 1}}, "conditions": ["grepme"]}

    assert "grepme" not in text_of(metrics.families(Readings(COUNTERS, now), time_s=9.0))


def test_the_library_is_not_loaded_until_somebody_asks():
    code = "import sys, pivoice.daemon; sys.exit('prometheus_client' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
