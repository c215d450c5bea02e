"""What a command is doing is shown: on a terminal it moves, a log gets a line a minute."""

import io

from experiments.core import progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_the_stage_at_each_beat() -> None:
    terminal = Terminal()
    heartbeat = progress.Heartbeat(terminal)
    for doing in ("reading", "drawing"):
        progress.stage(doing)
        heartbeat.beat()
        assert terminal.getvalue().split("\r")[-1].startswith(doing)
    heartbeat.bar.close()


def test_a_log_gets_a_line_a_minute() -> None:
    log, now = io.StringIO(), 0.0
    heartbeat = progress.Heartbeat(log, lambda: now)
    progress.stage("final fit")
    for half_seconds in range(1, 361):
        now = half_seconds / 2
        progress.detail(f"{half_seconds} of 360 steps")
        heartbeat.beat()
    assert log.getvalue().splitlines() == [
        "1 min: final fit, 120 of 360 steps",
        "2 min: final fit, 240 of 360 steps",
        "3 min: final fit, 360 of 360 steps",
    ]


def test_another_stage_has_no_detail_of_the_last(capsys) -> None:
    with progress.showing():
        progress.detail("all")
        progress.stage("report")
    log, now = io.StringIO(), 0.0
    heartbeat = progress.Heartbeat(log, lambda: now)
    now = progress.LOG_S
    heartbeat.beat()
    assert log.getvalue() == "1 min: report\n"
    assert capsys.readouterr().err == ""  # less than a minute
