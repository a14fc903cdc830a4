"""`cookbook filter`: files and folders judged, reasons printed, everything as lines of JSON."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from orchestration import filter_files
from orchestration.cli import main
from tests.assets.refinecode.test_filtered import good_code


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {
        "src/good.py": good_code(),
        "src/tiny.py": "x = 1\n",
        "notes.bin": b"\xff\xfe\0",
        ".git/config.py": "x = 1\n",
    }
    for name, content in files.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    (tmp_path / "src" / "link.py").symlink_to(tmp_path / "src" / "tiny.py")
    return tmp_path


def test_table_says_why_a_file_is_dropped(folder: Path) -> None:
    result = CliRunner().invoke(main, ["filter", str(folder)])
    assert result.exit_code == 0, result.output
    assert f"DROPPED  {folder}/src/tiny.py  (python, code)" in result.output
    assert "qsc_code_num_words  2 < 30" in result.output
    assert "notes.bin  (unknown, unknown)" in result.output and ".git" not in result.output
    assert "good.py" not in result.output and "link.py" not in result.output
    assert "kept              1 files" in result.output
    assert "good.py" in CliRunner().invoke(main, ["filter", "--all", str(folder)]).output


def test_jsonl_has_everything(folder: Path) -> None:
    arguments = ["filter", "--format", "jsonl", "--rules", "opencoder", str(folder / "src")]
    result = CliRunner().invoke(main, arguments)
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    assert [Path(row["path"]).name for row in rows] == ["good.py", "tiny.py"]
    good, tiny = rows
    assert good["kept"] and good["signals"]["qsc_codepython_cate_ast"] == 1 and not good["hits"]
    assert tiny["hits"][0] == {
        "rule": "qsc_code_num_words", "value": 2, "comparison": "<", "threshold": 30,
        "probability": 1.0, "fires": True,
    }  # fmt: skip
    assert len(tiny["signals"]) == 41


def test_files_that_cannot_be_judged_do_not_stop_the_others(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    read_bytes = Path.read_bytes

    def refuse(path: Path) -> bytes:
        if path.name == "good.py":
            raise PermissionError(13, "Permission denied")
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    monkeypatch.setattr(filter_files, "MAX_BYTES", 5)
    result = CliRunner().invoke(main, ["filter", str(folder)])
    assert result.exit_code == 0, result.output
    assert "not judged        2 files" in result.output
    assert "dropped           1 files" in result.output
    assert "over 5 bytes" in caplog.text


def test_a_path_that_is_not_there_is_refused() -> None:
    result = CliRunner().invoke(main, ["filter", "no-such-folder"])
    assert result.exit_code == 2 and "does not exist" in result.output
