"""Benchmark data: found in order, hash-checked, and honest about what is missing."""

from __future__ import annotations

import gzip
import hashlib
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from evaluation.benchmarks import registry, select
from evaluation.benchmarks.base import UnavailableError
from evaluation.benchmarks.data import SETTING, DataFile, Hub, rows_digest
from evaluation.benchmarks.generative import GenerativeBenchmark

TEXT = b'{"a": 1, "b": "x"}\n{"a": 2, "b": "y\xe2\x80\xa8z"}\n'
ROWS = [{"a": 1, "b": "x"}, {"a": 2, "b": "y\u2028z"}]


def test_a_folder_comes_first_and_its_files_are_hash_checked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = DataFile(name="Demo.jsonl", sha256="9e4f" + "0" * 60, how_to_get="make it")
    monkeypatch.delenv(SETTING, raising=False)
    with pytest.raises(UnavailableError, match=r"Demo\.jsonl not found; make it"):
        file.rows()
    monkeypatch.setenv(SETTING, str(tmp_path))
    (tmp_path / "Demo.jsonl.gz").write_bytes(gzip.compress(TEXT))
    with pytest.raises(ValueError, match="expected sha256 9e4f"):
        file.rows()
    right = DataFile("Demo.jsonl", hashlib.sha256(TEXT).hexdigest(), "make it")
    assert right.rows() == ROWS


def test_the_hubs_rows_are_checked_by_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, ...]] = []

    def download(repository: str, name: str, *, repo_type: str, revision: str) -> str:
        asked.append((repository, name, repo_type, revision))
        path = tmp_path / "rows.parquet"
        parquet.write_table(pa.Table.from_pylist([row | {"more": 0} for row in ROWS]), path)
        return str(path)

    monkeypatch.delenv(SETTING, raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.hf_hub_download", download)
    hub = Hub("owner/set", ("a", "b"), rows_digest(ROWS, ("a", "b")), config="c", splits=("s",))
    file = DataFile("Demo.jsonl", "0" * 64, "make it", hub=hub)
    assert file.missing() is None
    assert [row["b"] for row in file.rows()] == ["x", "y\u2028z"]
    assert asked == [("owner/set", "c/s/0000.parquet", "dataset", "refs/convert/parquet")]
    changed = DataFile("Demo.jsonl", "", "make it", hub=Hub("owner/set", ("a",), "1" * 64))
    with pytest.raises(ValueError, match="the data set changed there"):
        changed.rows()

    def offline(*arguments: object, **options: object) -> str:
        raise ConnectionError("no network")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(UnavailableError, match=r"owner/set cannot be read .*; make it, or set"):
        file.rows()
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert "not found" in str(file.missing())


def test_registry_finds_modules_and_refuses_unknown_names() -> None:
    wanted = {
        "bigcodebench_hard_complete",
        "cruxeval_input",
        "doctest_eval",
        "heldout",
        "humaneval",
        "humaneval+",
        "humaneval-x-java",
        "humaneval_bpb",
        "humaneval_mutants",
        "leetcode",
        "livecodebench",
        "mbpp",
        "mbpp+",
        "mbpp_3shot",
        "mceval-rs",
        "mceval_completion-py",
        "mceval_explanation-py",
        "mdeval-json",
        "mmlu_cs",
        "multipl-e-mbpp-sh",
        "multipl-e-ts",
    }
    assert wanted <= set(registry())
    with pytest.raises(ValueError, match="unknown benchmark 'humanevil'; known: bigcode"):
        select(["humanevil"])
    with pytest.raises(ValueError, match="no benchmark matches nothing-\\*"):
        select(["nothing-*"])


def test_every_missing_file_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SETTING, str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name, benchmark in registry().items():
        lacking = benchmark.missing()
        if lacking is None:  # HumanEval comes with its package
            assert name.startswith("humaneval")
        else:
            assert "--heldout" in lacking or SETTING in lacking, name


@pytest.mark.slow
def test_the_pinned_hashes_are_those_of_the_files(benchmark_files: Path) -> None:
    """Each file reads with its hash, and its rows give the hub's digest."""
    files = set()
    for benchmark in registry().values():
        for value in [*vars(benchmark).values(), *_module_data(benchmark)]:
            if isinstance(value, DataFile) and value.locate() is not None:
                files.add(value)
    assert len(files) > 80
    for file in files:
        rows = file.rows()
        if file.hub is not None:
            assert rows_digest(rows, file.hub.fields) == file.hub.digest, file.name


def _module_data(benchmark: object) -> list[object]:
    import sys

    return [
        value
        for name, value in vars(sys.modules[type(benchmark).__module__]).items()
        if name in {"DATA", "_FULL", "_HARD"}
    ]


def test_prompts_of_all_benchmarks_can_be_built(benchmark_files: Path) -> None:
    """Base and chat prompts, and programs of any text, for a task of every benchmark."""
    built = 0
    for benchmark in registry().values():
        if not isinstance(benchmark, GenerativeBenchmark) or not _has_data(benchmark):
            continue
        for task in benchmark.tasks()[:1]:
            assert task.task_id
            assert isinstance(benchmark.base_prompt(task), str)
            assert task.prompt.strip()
            assert len(benchmark.instruction(task)) > 20
            for chat in (False, True):
                assert all(isinstance(word, str) and word for word in benchmark.stop(chat=chat))
                for text in ("", "```\n", "x = (", "Sure!\n```python\ndef f():\n    pass\n```"):
                    raw, sanitised = benchmark.programs(task, text, chat=chat)
                    assert isinstance(raw, str)
                    assert isinstance(sanitised, str)
        built += 1
    assert built > 150


def _has_data(benchmark: GenerativeBenchmark) -> bool:
    try:
        return bool(benchmark.tasks())
    except UnavailableError:
        return False
