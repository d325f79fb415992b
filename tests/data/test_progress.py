"""Long work that is no training shows its progress: a bar in a terminal, lines elsewhere, never on standard output."""

import io
import sys

import pytest

from trm.data.progress import show_progress


class Terminal(io.StringIO):
    """Standard error that is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_and_no_lines(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trm.data.progress.DELAY", -1.0)  # appears at once
    with monkeypatch.context() as patch, caplog.at_level("INFO"):
        patch.setattr(sys, "stderr", terminal := Terminal())
        with show_progress("solving", "puzzle") as watch:
            watch(5, 10)
            watch(10, 10)
    assert terminal.getvalue().startswith("\rsolving: ")
    assert " puzzles/s]" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r"), "it leaves nothing behind"
    assert not caplog.messages
    assert capsys.readouterr().out == ""


def test_elsewhere_each_tenth_is_a_line_even_if_more_turns_out_to_be_wanted(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"), show_progress("solving", "puzzle") as watch:
        for done in range(1, 21):
            watch(done, 20)
        watch(21, 40)
        watch(22, 40)
        watch(40, 40)
    assert caplog.messages[:2] == ["solving: 2 of 20 puzzles", "solving: 4 of 20 puzzles"]
    assert len(caplog.messages) == 10 + 2
    assert caplog.messages[-2:] == ["solving: 21 of 40 puzzles", "solving: 40 of 40 puzzles"]
    assert capsys.readouterr().out == ""
