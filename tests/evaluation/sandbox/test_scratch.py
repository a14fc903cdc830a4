"""The folder that level container gives a program: watched, and emptied whatever it holds."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from evaluation.sandbox import scratch, view


def deep(levels: int, name: str) -> None:
    here = Path.cwd()
    with contextlib.suppress(OSError):  # deeper than some file systems go
        for _ in range(levels):
            os.mkdir(name)  # noqa: PTH102 (the whole path would be too long)
            os.chdir(name)
        Path("file").write_text("x")
    os.chdir(here)


def test_a_folder_is_removed_however_deep_closed_or_odd(tmp_path: Path) -> None:
    folder = Path(scratch.make())
    outside = tmp_path / "outside"
    outside.write_text("kept")
    (folder / "closed").mkdir()
    (folder / "closed" / "file").touch()
    (folder / "closed").chmod(0)
    (folder / "link").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    Path(os.fsdecode(bytes(folder) + b"/\xff\n")).touch()
    here = Path.cwd()
    os.chdir(folder)
    deep(1200, "d" * 8)
    os.chdir(here)
    scratch.remove(str(folder))
    assert not folder.exists()
    assert outside.read_text() == "kept"


def test_a_folder_that_is_gone_is_no_error(tmp_path: Path) -> None:
    scratch.remove(str(tmp_path / "none"))


def test_full_is_too_many_bytes_or_entries_or_what_cannot_be_counted(tmp_path: Path) -> None:
    folder = str(tmp_path)
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 1 << 30)
    assert not scratch.is_full(folder, 1 << 20)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "file").write_bytes(bytes((1 << 20) + 4096))
    assert scratch.is_full(folder, 1 << 20)
    assert not scratch.is_full(folder, 1 << 22)
    for number in range(scratch.MOST_ENTRIES):
        (tmp_path / "inner" / str(number)).touch()
    assert scratch.is_full(folder, 1 << 30)
    assert not scratch.is_full(str(tmp_path / "gone"), 0)


def test_hidden_places_stay_out_of_what_can_be_read(tmp_path: Path) -> None:
    for name in ("lib/kept", "lib/site/answers", "lib/site/other", "bin"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "lib")
    hidden = [str(tmp_path / "link" / "site" / "answers"), str(tmp_path / "elsewhere")]
    read, listed = view.without(hidden, [str(tmp_path), "/nowhere"])
    assert sorted(read) == sorted(
        ["/nowhere", *(str(tmp_path / name) for name in ("bin", "lib/kept", "lib/site/other"))]
    )
    assert sorted(listed) == sorted(str(tmp_path / name) for name in (".", "lib", "lib/site"))
