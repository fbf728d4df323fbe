"""`run` fails loudly when a measured depth is more than its bound."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from stackemu.emu.errors import CheckFailedError
from stackemu.harness import survey
from stackemu.harness.bracket import CONTRADICTED
from stackemu.harness.cli import app

PASSTHROUGH = Path(__file__).resolve().parents[4] / "drivers" / "passthrough.sys"


def test_a_contradiction_fails_the_run_after_its_report(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(survey, "bracket", lambda _static, _measured: (CONTRADICTED, "the bound is wrong"))
    done = CliRunner().invoke(app, ["run", str(PASSTHROUGH), "--func", "PtAppendNumber", "--effort", "quick"])
    assert isinstance(done.exception, CheckFailedError)
    assert done.exception.exit_code == 1
    assert "more than its bound" in str(done.exception)
