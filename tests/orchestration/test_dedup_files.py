"""`cookbook dedup`: any table or folder in, the rows that stay and a decision for each row out."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from assets.recipe import Dedup, RecipeError
from assets.refinecode.minhash import PRESETS, candidate_probability
from orchestration.cli import main
from orchestration.dedup_files import Summary, dedup_files, dedup_params
from orchestration.dedup_inputs import Columns, DedupInputError, open_rows
from tests.assets.refinecode.conftest import words

PARAMS = dedup_params({})


def text_of(seed: int, changed: int = 0) -> str:
    own = words(seed, 300)
    own[100 : 100 + changed] = words(1000 + seed, changed)
    return " ".join(own) + "\n"


#: Text, stars: 0 and 2 are equal, 3 is near them and has the most stars, 5 is near 4.
TEXTS: list[tuple[str | None, int]] = [
    (text_of(1), 1), (text_of(7), 0), (text_of(1), 2), (text_of(1, 4), 9),
    (text_of(2), 0), (text_of(2, 5), 0), ("", 0), (None, 0), ("tiny", 0),
]  # fmt: skip


def rows() -> list[dict[str, Any]]:
    return [
        {"key": f"row-{i}", "text": text, "stars": stars, "meta": {"n": i, "day": "2020-01-02"}}
        for i, (text, stars) in enumerate(TEXTS)
    ]


def decisions(out: Path) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in pq.read_table(out / "decisions.parquet").to_pylist()}


def test_rows_that_stay_keep_all_their_columns(tmp_path: Path) -> None:
    table = pa.Table.from_pylist(rows()).replace_schema_metadata({"made": "here"})
    source, out = tmp_path / "in" / "a.parquet", tmp_path / "new" / "out"
    source.parent.mkdir()
    pq.write_table(table, source, row_group_size=2)
    summary = dedup_files(source, out, PARAMS, columns=Columns(text="text", id="key"))
    kept = pq.read_table(out / "kept")
    assert kept.schema.remove_metadata() == table.schema.remove_metadata()
    said = decisions(out)
    assert [row["id"] for row in said.values()] == [row["key"] for row in rows()]
    assert kept.to_pylist() == [row for row in rows() if said[row["key"]]["verdict"] == "kept"]
    assert {k for k, row in said.items() if row["verdict"] == "dropped"} >= {"row-0", "row-2"}
    for key in ("row-0", "row-2"):  # one is the exact duplicate of the other, both near row-3
        assert said[key]["duplicate_of"] == "row-3"
        assert 0.9 < said[key]["similarity"] < 1
    assert {said[k]["reason"] for k in ("row-0", "row-2")} == {"exact_duplicate", "near_duplicate"}
    assert sum(said[k]["verdict"] == "kept" for k in ("row-4", "row-5")) == 1
    assert sum(said[k]["verdict"] == "kept" for k in ("row-6", "row-7")) == 1  # no text
    assert summary.rows == 9 and summary.kept == kept.num_rows == 5
    assert (summary.exact, summary.near) == (2, 2)
    assert summary.bytes_kept == sum(len(row["text"] or "") for row in kept.to_pylist())


def test_json_lines_and_the_first_row_stays(tmp_path: Path) -> None:
    source, out = tmp_path / "a.jsonl", tmp_path / "out"
    plain = [{k: v for k, v in row.items() if k not in ("key", "stars")} for row in rows()]
    source.write_text("".join(json.dumps(row) + "\n" for row in plain))
    dedup_files(source, out, PARAMS, columns=Columns(text="text"))
    kept = pq.read_table(out / "kept").to_pylist()
    assert kept == [plain[i] for i in (0, 1, 4, 6, 8)]
    said = decisions(out)
    assert said["3"]["duplicate_of"] == "0" and said["2"]["similarity"] == 1.0
    assert said["7"]["duplicate_of"] == "6" and said["0"]["duplicate_of"] is None


def test_a_folder_of_files(tmp_path: Path) -> None:
    folder, out = tmp_path / "code", tmp_path / "out"
    files = {"one/a.py": text_of(1), "two/b.py": text_of(1, 3), "two/c.go": text_of(1),
             "two/d.py": text_of(5), ".git/e.py": text_of(5)}  # fmt: skip
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    (folder / "one" / "image.bin").write_bytes(b"\0\1")
    dedup_files(folder, out, PARAMS)
    kept = pq.read_table(out / "kept").to_pylist()
    assert [(row["path"], row["repository"], row["language"]) for row in kept] == [
        ("one/a.py", "one", "python"), ("two/d.py", "two", "python")
    ]  # fmt: skip
    assert {k: row["duplicate_of"] for k, row in decisions(out).items()} == {
        "one/a.py": None, "two/b.py": "one/a.py", "two/c.go": "one/a.py", "two/d.py": None
    }  # fmt: skip
    by_language = tmp_path / "by-language"
    params = dedup_params({"across": "language"})
    dedup_files(folder, by_language, params)
    assert decisions(by_language)["two/c.go"]["verdict"] == "kept"


@pytest.mark.spark
def test_every_engine_gives_the_same(spark: Any, tmp_path: Path) -> None:
    draw = random.Random(0)
    texts = [text_of(seed, changed) for seed in range(5) for changed in (0, 0, 3, 90)]
    texts += [" ".join(words(1, 128)) + " " + text for text in texts[4:8]]
    draw.shuffle(texts)
    table = pa.table({
        "content": texts, "repository": [f"r{i % 5}" for i in range(len(texts))],
        "stars": [draw.choice([None, 1, 2]) for _ in texts],
        "n": range(len(texts)),
    })  # fmt: skip
    pq.write_table(table, tmp_path / "in.parquet", row_group_size=7)
    params = dedup_params({"level": "file+chunk", "chunk_tokens": 64, "fuzzy": False})
    summaries, results = [], []
    for engine in (None, lambda: spark):
        out = tmp_path / ("spark" if engine else "local")
        summaries.append(dedup_files(tmp_path / "in.parquet", out, params, spark=engine))
        results.append([pq.read_table(out / name) for name in ("kept", "decisions.parquet")])
    assert summaries[0] == summaries[1] and results[0] == results[1]
    assert summaries[0].changed and summaries[0].exact
    assert results[0][0].schema.equals(table.schema)


def test_whole_repositories_name_the_repository_that_stays(tmp_path: Path) -> None:
    table = pa.table({
        "content": [text_of(1), text_of(2), text_of(1), text_of(2), text_of(3)],
        "repository": ["a", "a", "b", "b", "c"], "stars": [1, 1, 5, 5, 0],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "in.parquet")
    out = tmp_path / "out"
    dedup_files(tmp_path / "in.parquet", out, dedup_params({"level": "repository"}))
    assert pq.read_table(out / "kept")["repository"].to_pylist() == ["b", "b", "c"]
    assert decisions(out)["0"]["duplicate_of"] == "b"


def test_chunks_that_repeat_are_cut_out_of_the_text(tmp_path: Path) -> None:
    first, second, third = (" ".join(words(seed, 64)) for seed in (1, 2, 3))
    texts = [f"{first} {second}", f"{first} {third}", f"{second} {first}", third + " end"]
    pq.write_table(pa.table({"content": texts}), tmp_path / "in.parquet")
    params = dedup_params({"level": "chunk", "chunk_tokens": 64})
    summary = dedup_files(tmp_path / "in.parquet", tmp_path / "out", params)
    kept = pq.read_table(tmp_path / "out" / "kept")["content"].to_pylist()
    assert kept[0] == texts[0] and kept[1].split() == third.split()
    said = decisions(tmp_path / "out")
    assert said["1"]["verdict"] == "changed" and summary.changed >= 1
    assert said["2"]["verdict"] == "dropped"
    assert summary.bytes_kept == sum(map(len, kept)) < summary.bytes_in


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist(rows()), tmp_path / "a.parquet")
    arguments = ["dedup", str(tmp_path / "a.parquet"), "--out", str(tmp_path / "out"),
                 "--text-column", "text", "--id-column", "key", "--no-fuzzy"]  # fmt: skip
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    lines = {" ".join(line.split()[:2]): line.split()[2:] for line in result.stdout.splitlines()}
    assert lines["exact duplicates"] == ["2"] and lines["near-duplicates 0"] == []
    assert decisions(tmp_path / "out")["row-2"]["verdict"] == "kept"  # more stars than row-0
    again = CliRunner().invoke(main, arguments)
    assert again.exit_code == 2 and "expected a new or empty folder (--out)" in again.output


BAD: list[tuple[dict[str, Any], Columns, str]] = [
    ({"body": ["a"]}, Columns(), r"a\.parquet: no column 'content' \(--text-column\); it has body"),
    ({"content": [1]}, Columns(), r"'content' \(--text-column\) is int64, expected text"),
    ({"content": ["a"]}, Columns(id="key"), r"no column 'key' \(--id-column\)"),
    ({"content": ["a", "b"], "key": ["1", None]}, Columns(id="key"), r"null in row 1"),
    ({"content": ["a", "b"], "key": ["x", "x"]}, Columns(id="key"), r"2 rows have the id 'x'"),
    ({"content": ["a"], "stars": ["many"]}, Columns(), r"'stars' cannot be used as stars"),
]


@pytest.mark.parametrize(("columns", "named", "message"), BAD)
def test_input_that_cannot_be_read(
    columns: dict[str, Any], named: Columns, message: str, tmp_path: Path
) -> None:
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")

    def never() -> Any:
        raise AssertionError("Spark was started for input that cannot be read")

    with pytest.raises(DedupInputError, match=message):
        dedup_files(tmp_path / "a.parquet", tmp_path / "out", PARAMS, spark=never, columns=named)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.parquet"]


def test_files_that_are_not_what_their_name_says(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.jsonl", "a.csv"):
        (tmp_path / name).write_text("no, no\n")
        (tmp_path / f"scratch-{name}").mkdir()
        with pytest.raises(DedupInputError, match=name):
            open_rows(tmp_path / name, Columns(), None, tmp_path / f"scratch-{name}")
    with pytest.raises(DedupInputError, match=r"expected JSON lines"):
        open_rows(tmp_path / "a.csv", Columns(), "jsonl", tmp_path)


def test_columns_that_a_level_needs(tmp_path: Path) -> None:
    pq.write_table(pa.table({"content": ["a"]}), tmp_path / "a.parquet")
    for option in ({"level": "repository"}, {"across": "language"}):
        with pytest.raises(DedupInputError, match=r"name one with --(repository|language)-column"):
            dedup_files(tmp_path / "a.parquet", tmp_path / "out", dedup_params(option),
                        spark=lambda: None)  # type: ignore[arg-type, return-value] # fmt: skip


def test_choices_of_the_command_line() -> None:
    assert dedup_params({"preset": None}) == Dedup(preset="verified")
    assert dedup_params({"bands": 4, "rows": 4, "permutations": 16}).verify == "none"
    with pytest.raises(RecipeError, match=r"(?s)do not fit.*--level"):
        dedup_params({"level": "folder"})
    with pytest.raises(RecipeError, match=r"bands x rows = 500"):
        dedup_params({"bands": 50, "rows": 10, "permutations": 256})


def test_summary_of_nothing() -> None:
    [*_, last] = Summary(0, 0, 0, 0, 0, 0, 0).lines()
    assert last.split() == ["kept", "0", "0.0", "MB", "of", "text"]


def test_the_curve_in_the_documentation_is_the_one_of_the_presets() -> None:
    page = (Path(__file__).resolve().parents[2] / "docs" / "dedup.md").read_text()
    table = page.partition("<!-- curve:")[2].partition("<!-- /curve -->")[0]
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    settings = [PRESETS[name].params for name in ("paper", "stack", "verified")]
    named = zip(PRESETS, settings, strict=True)
    assert lines[0][1:] == [f"{name}: {p.bands} x {p.rows}" for name, p in named]
    assert len(lines) == 13
    for similarity, *chances in lines[2:]:
        assert chances == [
            f"{candidate_probability(float(similarity), p.bands, p.rows):.4f}" for p in settings
        ]
