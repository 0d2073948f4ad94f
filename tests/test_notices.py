"""Who may use the bundled wake words for what is said wherever an owner looks."""

from __future__ import annotations

from pathlib import Path

import pytest

from pivoice import cli

ROOT = Path(__file__).resolve().parent.parent
WORDS = ("openWakeWord", "pre-trained models", "CC BY-NC-SA 4.0", "not for commercial use")


def said(text: str) -> str:
    """Return `text` on one line, without markup."""
    return " ".join(text.replace("*", "").split())


def test_the_version_says_what_the_wake_words_may_be_used_for(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as left:
        cli.main(["--version"])

    told = said(capsys.readouterr().out)
    assert left.value.code == 0
    assert all(word in told for word in WORDS)


def test_the_readme_says_what_the_wake_words_may_be_used_for():
    text = (ROOT / "README.md").read_text()

    _, _, licences = text.partition("\n## Licences\n")
    assert "CC BY-NC-SA 4.0: not for commercial use" in said(licences)
    before = said(text.partition("\n## Settings\n")[0])
    assert all(word in before for word in WORDS[:3])  # not only at the end
    assert "(#licences)" in before


def test_every_installation_says_what_the_wake_words_may_be_used_for():
    """Also one that brings an older one up to date, and one whose service does not start."""
    script = (ROOT / "scripts" / "install").read_text()

    _, _, rest = script.partition("\ncat << EOT\n")  # at the margin: under no condition
    notice, _, after = rest.partition("\nEOT\n")
    assert all(word in said(notice) for word in WORDS)
    assert "\nif ! start " in after


def test_the_installation_says_which_engines_use_none_of_them():
    script = (ROOT / "scripts" / "install").read_text()

    assert 'With wake.engine = "none" (button alone) or "micro" (Apache-2.0)' in said(script)


def test_no_model_is_in_the_repository():
    endings = {".onnx", ".tflite"}
    kept = [path for place in ("pivoice", "scripts", "tests", "config") for path in (ROOT / place).rglob("*")]

    assert [path for path in kept if path.suffix in endings] == []
