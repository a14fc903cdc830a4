"""metrics.jsonl: continued, torn lines left out, and never a reason to stop."""

import errno
import json
import logging
from pathlib import Path

import pytest

from training.report import MetricsLog, read_metrics


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
        disk.room = 1000
        log.write({"step": 4})
    log.close()
    lines = [json.loads(line)["step"] for line in disk.content.splitlines()]
    assert lines == [0, 1, 2, 3, 4] and caplog.text.count("wait for room") == 1
