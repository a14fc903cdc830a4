"""metrics.jsonl: continued, torn lines left out, and never a reason to stop."""

import errno
import json
import logging
import weakref
from pathlib import Path
from typing import Any

import pytest

from training import report
from training.plot import plot_run
from training.report import MetricsLog, NoChannel, Progress, StepMetrics, read_metrics


def test_torn_lines_do_not_stop_a_resume(tmp_path: Path) -> None:
    file = tmp_path / "logs/metrics.jsonl"
    log = MetricsLog(file, 0)
    for step in (1, 2, 3):
        log.write({"step": step})
    log.close()
    whole = file.read_bytes()
    file.write_bytes(whole[:12] + b'{"step": 2, "lo\n\xff\x00\x00\n' + whole[12:] + b'{"step": 4')
    assert [line["step"] for line in read_metrics(file)] == [1, 2, 3]
    log = MetricsLog(file, 2)
    log.write({"step": 3})
    log.close()
    assert file.read_bytes() == whole


def test_lines_wait_for_room_on_a_full_disk(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl", 0)

    class Disk:
        """A stream with room for some bytes."""

        def __init__(self, room: int) -> None:
            self.content, self.room = b"", room

        def write(self, data: bytes) -> int:
            if not self.room:
                raise OSError(errno.ENOSPC, "No space left on device")
            taken = data[: self.room]
            self.content += taken
            self.room -= len(taken)
            return len(taken)

        def close(self) -> None:
            pass

    log.close()
    log._stream = disk = Disk(20)  # type: ignore[assignment]
    with caplog.at_level(logging.ERROR):
        for step in range(4):
            log.write({"step": step})
        disk.room = 20
        log.write({"step": 4})
        disk.room = 1000
    log.close()
    lines = [json.loads(line)["step"] for line in disk.content.splitlines()]
    assert lines == [0, 1, 2, 3, 4] and caplog.text.count("wait for room") == 1


def test_a_long_run_is_resumed_and_drawn_a_line_at_a_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = {"loss": 2.0, "lr": 1e-3, "grad_norm": 0.5, "skipped": False}
    file = tmp_path / "metrics.jsonl"
    file.write_text("".join(json.dumps({"step": step, **line}) + "\n" for step in range(1, 501)))
    whole = file.read_bytes()

    class Line(dict[str, Any]):
        __hash__ = object.__hash__

    alive: weakref.WeakSet[Line] = weakref.WeakSet()
    most, loads = 0, json.loads

    def counting(text: bytes) -> Line:
        nonlocal most
        found = Line(loads(text))
        alive.add(found)
        most = max(most, len(alive))
        return found

    monkeypatch.setattr(report.json, "loads", counting)
    MetricsLog(file, 500).close()
    assert file.read_bytes() == whole
    if plot_run(file, tmp_path / "loss.png", "long"):
        assert (tmp_path / "loss.png").is_file()
    assert 1 <= most <= 2


def test_progress_lines_become_rarer_in_a_long_run(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(report.time, "perf_counter", lambda: now)
    monkeypatch.setattr(report.sys.stderr, "isatty", lambda: False)
    when: list[float] = []

    class Channel(NoChannel):
        def line(self, text: str) -> None:
            when.append(now)

    week = 7 * 24 * 3600
    progress = Progress("pretrain", week // 2, 0, Channel())
    for step in range(1, week // 2 + 1):
        now += 2.0
        progress.step(StepMetrics(step, 2.0, 1.0, 1e-3, 0.5, False, None, step, 2.0, 0.5, 0.0))
    assert sum(moment <= 60 for moment in when) >= 8  # every few seconds at first
    assert week / 60 - 100 < len(when) < week / 60 + 400
    assert when[-1] == week


def test_a_terminal_shows_what_is_no_step_above_the_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    progress = Progress("pretrain", 4, 0, NoChannel())
    progress.say("held-out 2.1000 bits per byte")
    progress.close()
    assert "pretrain: held-out 2.1000 bits per byte\n" in capsys.readouterr().err
