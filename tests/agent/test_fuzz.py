"""`scripts/fuzz` in short: a conversation of damaged messages is survived, and always the same one."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

from tests.support import fuzzing

ROOT = Path(__file__).resolve().parent.parent.parent


def test_three_thousand_damaged_messages_are_survived_by_a_dialogue():
    spec = importlib.util.spec_from_file_location("fuzz_script", ROOT / "scripts" / "fuzz.py")
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)

    outcomes, faults = script.fuzz(3000, seed=2)

    assert outcomes.total() == 3000
    assert len(outcomes) > 12
    assert len(faults.counts) <= script.MAX_KINDS


def test_the_same_seed_makes_the_same_messages():
    twice = [list(fuzzing.frames(seed=7, count=200)) for _ in range(2)]

    assert twice[0] == twice[1]
    assert twice[0] != list(fuzzing.frames(seed=8, count=200))


def test_a_broken_promise_is_told_with_the_message_that_broke_it(tmp_path: Path):
    broken = tmp_path / "broken.py"
    broken.write_text(
        "import runpy, sys\n"
        "import pivoice.agent.reading as reading\n"
        "def fail(message): raise KeyError('oops')\n"
        "reading._READERS['reply.done'] = fail\n"
        f"sys.argv = ['fuzz.py', '500', '--seed', '3']\n"
        f"runpy.run_path({str(ROOT / 'scripts' / 'fuzz.py')!r}, run_name='__main__')\n"
    )

    run = subprocess.run(
        [sys.executable, str(broken)], cwd=ROOT, env={"PYTHONPATH": str(ROOT)}, capture_output=True
    )

    assert run.returncode == 1
    assert b"of seed 3 did it" in run.stderr
    assert b"reply.done" in run.stderr.splitlines()[-1]
