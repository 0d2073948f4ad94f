"""The switches of `pivoice simulate-agent`. Imports nothing heavy: every verb's `--help` passes by here."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the switches of `pivoice simulate-agent`."""
    add = parser.add_argument
    add("--port", type=int, default=0, help="port to listen on; 0 picks one (default)")
    add("--host", default="127.0.0.1", help="address to listen on (default: loopback)")
    add("--reply", action="append", default=[], metavar="FILE.wav", help="what the agent says; repeatable")
    add("--script", metavar="FILE.json", help="list of turns: text, wav, user_text, tool, drop_after_s, ...")
    add(
        "--user-text", action="append", default=[], metavar="TEXT", help="what the user is taken to have said"
    )
    add("--key", default="", help="the only key accepted")
    add("--ready-delay", type=float, default=0.4, metavar="S", help="until session.ready")
    add("--silence", type=float, default=0.9, metavar="S", help="silence that ends the user's turn")
    add("--reply-delay", type=float, default=0.3, metavar="S", help="from the turn's end to the reply")
    add("--lead", type=float, default=0.25, metavar="S", help="silence at the head of a reply")
    add(
        "--burst",
        nargs="?",
        type=float,
        const=0.0,
        default=1.0,
        metavar="X",
        help="send X times real time; bare: at once",
    )
    add("--interruption-delay", type=float, default=0.5, metavar="S", help="speech that interrupts a reply")
    add("--transcript-only", action="store_true", help="tell interruptions by transcript.agent alone")
    add("--stale-seconds", type=float, default=0.0, metavar="S", help="audio sent after an interruption")
    add(
        "--refuse-resume",
        nargs="?",
        choices=("close", "open"),
        const="close",
        default="",
        help="refuse resumes",
    )
    add("--error", default="", metavar="CODE", help="answer the first message with this error")
    add("--error-times", type=int, default=0, metavar="N", help="... only the first N times")
    add("--error-in-band", default="", metavar="CODE", help="complain with this code in every reply")
    add("--http-status", type=int, default=0, metavar="N", help="refuse the upgrade with this status")
    add(
        "--max-rate",
        type=float,
        default=0.0,
        metavar="X",
        help="take audio at X times real time, drop the rest",
    )
    add("--drop-after", type=float, metavar="S", help="break the connection once, so far into a reply")
    add("--garbage", action="store_true", help="send nonsense between the messages")
    add("--log", metavar="FILE.jsonl", help="write every event with its CLOCK_MONOTONIC time")
    add("--save-audio", metavar="DIR", help="write what each session received as DIR/SESSION.wav")
